"""Whether the HDF5 library gets through a file, tried in a process of its own.

Damage inside a file makes the library crash, and the program with it, or take memory without bounds, or keeps it busy
for ever in a place where no thread can be stopped (seen with HDF5 2.0: one changed byte is enough). So another process
looks first at everything small of a file, at where its large datasets lie, and at both ends of them. What is damaged in
their midst it does not see.
"""

import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 60.0
"""Longest look at a file; a sound one takes milliseconds."""
_IDLE_S: Final = 20
"""How long the process waits for another file before it ends."""
_PROGRAM: Final = Path(__file__).with_name("hdf5_looker.py")
_ANSWERS: Final = {"looked": None, "greedy": "the HDF5 library takes more memory for its texts than the file can hold"}


class _Looker:
    """The process that looks; begun when there is a file to look at, and anew after one that it did not survive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._of_parent: subprocess.Popen[str] | None = None
        self._found: dict[tuple[Path, int, int], str | None] = {}

    def fault(self, path: Path) -> str | None:
        """Return what the library does over a file; None where it gets through."""
        facts = path.stat()
        known = path, facts.st_size, facts.st_mtime_ns
        with self._lock:
            if known not in self._found:
                self._found[known] = self._ask(path)
            return self._found[known]

    def _ask(self, path: Path) -> str | None:
        while True:
            process = self._running()
            begun = time.monotonic()
            patience = threading.Timer(PATIENCE_S, process.kill)
            patience.daemon = True
            patience.start()
            answer = _answer(process, os.fsencode(path.absolute()).hex())
            patience.cancel()
            if answer in _ANSWERS:
                return _ANSWERS[answer]
            code = process.wait()
            self.end()
            if time.monotonic() - begun >= PATIENCE_S:
                return "the HDF5 library gets stuck in it"
            if code != 0:  # 0: it was about to end when it was asked
                return "the HDF5 library crashes over it"

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self.end()
        if self._process is None:
            # -P: the program's own packages, and nothing that lies in the working directory. A session of its own: who
            # interrupts the program must not make a sound file look damaged.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(_IDLE_S)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                encoding="ascii",
            )
            if _answer(self._process) != "ready":
                self.end()
                raise RuntimeError(f"{sys.executable} cannot load h5py. Install this package's dependencies for it.")
        return self._process

    def end(self) -> None:
        """End the process, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def forget(self) -> None:
        """Leave the process to the one that began it, after a fork."""
        self._lock = threading.Lock()
        self._of_parent, self._process = self._process, None


def _answer(process: subprocess.Popen[str], question: str = "") -> str:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a process that looks at files has no pipes")
    if question:
        with contextlib.suppress(BrokenPipeError):
            print(question, file=process.stdin, flush=True)
    return process.stdout.readline().strip()


_looker: Final = _Looker()
atexit.register(_looker.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_looker.forget)


def fault_in(path: Path) -> str | None:
    """Say what keeps the HDF5 library from getting through a file.

    Parameters
    ----------
    path
        Of a file; it is looked at once for each size and time of change.

    Returns
    -------
    str or None
        None where the library gets through, or says itself what is wrong.

    Raises
    ------
    OSError
        When there is no such file.
    RuntimeError
        When no process with h5py can be started.
    """
    return _looker.fault(path)
