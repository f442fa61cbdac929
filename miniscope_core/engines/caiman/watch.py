"""Watch somebody else's program: what it tells, its memory and its time, and end it with all that it started.

It knows processes; it must not know CaImAn.
"""

import itertools
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import psutil

_LOOK_S: Final = 0.2
_MEMORY_EVERY_S: Final = 1.0
_BUSY: Final = 0.01
"""Share of one core below which a tree of processes does nothing."""
_WINDOW_S: Final = 20.0
_GRACE_S: Final = 20.0
_TAIL_BYTES: Final = 16_384
_LONGEST_LINE: Final = 1_000_000

Message = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What a watched process may use."""

    memory_bytes: int
    """Memory of its own and its children's, without what they map from files."""
    time_s: float
    idle_s: float
    """Time without any work, which is a hang: where a pool lost a process, its owner waits for ever."""


@dataclass(frozen=True)
class Ended:
    """How a watched process ended."""

    status: int
    """Exit status; negative: the signal that ended it."""
    reason: str
    """Why it was ended from here: ``""``, ``"memory"``, ``"time"`` or ``"idle"``."""
    peak_bytes: int
    seconds: float
    stray: tuple[str, ...]
    """The last lines on its standard output that were no message."""


def watch(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    log: Path,
    limits: Limits,
    receive: Callable[[Message], None],
) -> Ended:
    """Run a command to its end, in a session of its own, and leave none of its processes behind.

    Parameters
    ----------
    command
        Program and arguments.
    environment
        All of its environment.
    directory
        Where it runs.
    log
        File for its standard error.
    limits
        Where they are passed, it is killed.
    receive
        Called in this thread with every JSON object that the command prints on a line of its own.

    Returns
    -------
    Ended
        Whatever the end was; judging it is the caller's.
    """
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,  # stays open as long as we live: how the command learns of our end
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    tree = _Tree(process.pid)
    try:
        return _Watched(process, tree, limits, receive).run()
    finally:
        tree.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def last_lines(log: Path, count: int = 5) -> list[str]:
    """Return the last lines of a log that say something, one for those that repeat; none where there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    said = [line.strip() for line in lines if line.strip()]
    return [line for line, _ in itertools.groupby(said)][-count:]


class _Tree:
    """A process and everything that it started, also what it started meanwhile and left behind."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._known: dict[int, psutil.Process] = {}
        self.look()

    def look(self) -> list[psutil.Process]:
        """Return the processes that live."""
        with suppress(psutil.Error):
            root = psutil.Process(self.pid)
            for one in (root, *root.children(recursive=True)):
                self._known.setdefault(one.pid, one)
        self._known = {pid: one for pid, one in self._known.items() if one.is_running()}
        return list(self._known.values())

    def usage(self) -> tuple[int, float]:
        """Return memory in bytes and CPU seconds of the processes that live."""
        memory, seconds = 0, 0.0
        for one in self.look():
            with suppress(psutil.Error):
                memory += own_bytes(one)
                times = one.cpu_times()
                seconds += times.user + times.system
        return memory, seconds

    def kill(self) -> None:
        """End all of them, at once: nobody among them can be asked to tidy up."""
        known = self.look()
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        for one in known:
            with suppress(psutil.Error):
                one.kill()


def own_bytes(process: psutil.Process) -> int:
    """Return the memory that is a process's own, bytes: what it shares is split, what it maps from files left out.

    Where the system does not tell, all that is resident is counted.
    """
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss_Anon:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return int(process.memory_info().rss)


class _Watched:
    """One process while it runs."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", tree: _Tree, limits: Limits, receive: Callable[[Message], None]
    ) -> None:
        self.process, self.tree, self.limits, self.receive = process, tree, limits, receive
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.stray: list[str] = []
        self.peak = 0
        self.began = self.looked_at = time.monotonic()
        self.busy_at = self.window_at = self.began
        self.window_cpu_s = 0.0
        self.closed = False

    def run(self) -> Ended:
        threading.Thread(target=self._read, args=(self.process.stdout,), name="watched-output", daemon=True).start()
        reason = ""
        while self.process.poll() is None and not reason:
            self._take(_LOOK_S)
            reason = self._passed()
        self.tree.kill()
        status = self.process.wait(_GRACE_S)
        self._drain()
        return Ended(status, reason, self.peak, time.monotonic() - self.began, tuple(self.stray))

    def _read(self, stream: IO[bytes]) -> None:
        with suppress(OSError, ValueError):
            while line := stream.readline(_LONGEST_LINE):
                self.lines.put(line)
        self.lines.put(None)

    def _take(self, wait_s: float) -> bool:
        """Handle one line, and return False where there is none."""
        if self.closed:
            time.sleep(wait_s)  # a command may close its output before it ends
            return False
        try:
            line = self.lines.get(timeout=wait_s)
        except queue.Empty:
            return False
        if line is None:
            self.closed = True
            return False
        message = _message(line)
        if message is not None:
            self.receive(message)
        elif text := line.decode("utf-8", "replace").strip():
            self.stray = [*self.stray[-4:], text[:500]]
        return True

    def _drain(self) -> None:
        """Handle what was printed before the end."""
        deadline = time.monotonic() + _GRACE_S
        while not self.closed and time.monotonic() < deadline:
            self._take(_LOOK_S)

    def _passed(self) -> str:
        """Return which limit was passed, if any."""
        now = time.monotonic()
        if now - self.began > self.limits.time_s:
            return "time"
        if now - self.looked_at < _MEMORY_EVERY_S:
            return ""
        self.looked_at = now
        memory, cpu_s = self.tree.usage()
        self.peak = max(self.peak, memory)
        if memory > self.limits.memory_bytes:
            return "memory"
        return "idle" if self._idle_s(now, cpu_s) > self.limits.idle_s else ""

    def _idle_s(self, now: float, cpu_s: float) -> float:
        """Return for how long next to nothing was done, judged over windows: also who only waits uses some time."""
        window_s = now - self.window_at
        if window_s >= min(_WINDOW_S, self.limits.idle_s / 4):
            # Where a process ended, the sum fell: that is work too.
            if abs(cpu_s - self.window_cpu_s) > _BUSY * window_s:
                self.busy_at = now
            self.window_at, self.window_cpu_s = now, cpu_s
        return now - self.busy_at


def _message(line: bytes) -> Message | None:
    if not line.startswith(b"{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "event" in value else None
