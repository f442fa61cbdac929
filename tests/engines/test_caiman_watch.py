"""Watching somebody else's program: what it tells, what it may use, and that nothing of it is left."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from miniscope_core.engines.caiman.watch import Ended, Limits, Message, last_lines, watch

LIMITS = Limits(memory_bytes=2**30, time_s=60, idle_s=60)
Run = Callable[..., tuple[Ended, list[Message]]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that watches a Python program, given as its text."""

    def run(program: str, limits: Limits = LIMITS) -> tuple[Ended, list[Message]]:
        messages: list[Message] = []
        command = [sys.executable, "-c", textwrap.dedent(program)]
        ended = watch(command, os.environ, tmp_path, tmp_path / "log", limits, messages.append)
        return ended, messages

    return run


def alive(pid: int) -> bool:
    """Return whether a process runs; one that ended and waits to be noticed does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pid: int) -> bool:
    """Return whether a process ends within some seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_messages_are_told_from_noise(run: Run, tmp_path: Path) -> None:
    ended, messages = run(
        """
        import sys
        print("loading ...")
        print('{"event": "stage", "stage": "one"}')
        print('{"looks": "like one"}')
        print('{"event": "broken')
        sys.stdout.buffer.write(bytes(range(128, 256)) + b"\\n")
        print('[1, 2]')
        print('{"event": "done"}', end="")
        print("to the log", file=sys.stderr)
        """
    )
    assert (ended.status, ended.reason) == (0, "")
    assert [message["event"] for message in messages] == ["stage", "done"]
    assert ended.stray[:3] == ("loading ...", '{"looks": "like one"}', '{"event": "broken')
    assert last_lines(tmp_path / "log") == ["to the log"]


def test_what_is_printed_just_before_the_end_is_heard(run: Run) -> None:
    _, messages = run('for i in range(20_000): print(\'{"event": "stage", "done": %d}\' % i)')
    assert [message["done"] for message in messages] == list(range(20_000))


def test_status_is_told_when_it_crashes(run: Run) -> None:
    assert run("import sys; sys.exit(3)")[0].status == 3
    assert run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")[0].status == -11


def test_time_limit_ends_it(run: Run) -> None:
    ended, _ = run("while True: pass", Limits(2**30, 1.0, 60))
    assert ended.reason == "time"
    assert ended.seconds < 10


def test_memory_limit_counts_children_and_ends_all(run: Run, tmp_path: Path) -> None:
    ended, messages = run(
        """
        import subprocess, sys, time
        fill = "import time; a = bytearray(b'x' * 300_000_000); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", fill])
        print('{"event": "child", "pid": %d}' % child.pid, flush=True)
        time.sleep(60)
        """,
        Limits(200 * 2**20, 60, 60),
    )
    assert ended.reason == "memory"
    assert ended.peak_bytes > 200 * 2**20
    assert wait_until_gone(messages[0]["pid"])


def test_memory_that_is_only_mapped_from_a_file_does_not_count(run: Run, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(300 * 2**20))
    ended, _ = run(
        """
        import mmap
        with open("big", "r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0)
            total = sum(mapped[i] for i in range(0, len(mapped), 4096))
        import time; time.sleep(1.2)
        """,
        Limits(200 * 2**20, 60, 60),
    )
    assert (ended.reason, ended.status) == ("", 0)


def test_hang_is_told_from_work(run: Run) -> None:
    hanging, _ = run("import threading; threading.Event().wait(60)", Limits(2**30, 60, 2.0))
    assert hanging.reason == "idle"
    working, _ = run(
        "import time\nt = time.monotonic()\nwhile time.monotonic() < t + 4: sum(range(10000))", Limits(2**30, 60, 2.0)
    )
    assert working.reason == ""


def test_children_that_outlive_it_are_ended(run: Run) -> None:
    _, messages = run(
        """
        import subprocess, sys
        for new in (False, True):
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=new)
            print('{"event": "child", "pid": %d}' % child.pid, flush=True)
        import time; time.sleep(1)
        """
    )
    assert len(messages) == 2
    assert all(wait_until_gone(message["pid"]) for message in messages)


def test_failure_of_the_listener_ends_the_program(tmp_path: Path) -> None:
    pids: list[int] = []

    def fail(message: Message) -> None:
        pids.append(message["pid"])
        raise KeyboardInterrupt

    program = 'import os, time; print(\'{"event": "x", "pid": %d}\' % os.getpid(), flush=True); time.sleep(60)'
    with pytest.raises(KeyboardInterrupt):
        watch([sys.executable, "-c", program], os.environ, tmp_path, tmp_path / "log", LIMITS, fail)
    assert wait_until_gone(pids[0])


def test_worker_ends_itself_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = tmp_path / "owner.py"
    owner.write_text(
        textwrap.dedent(
            """
            import os, sys
            from pathlib import Path
            from miniscope_core.engines.caiman.watch import Limits, watch
            program = '''
            import sys, threading, time, os, subprocess
            from miniscope_core.engines.caiman.worker import end_with_parent
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            print('{"event": "x", "pids": [%d, %d]}' % (os.getpid(), child.pid), flush=True)
            end_with_parent()
            '''
            import textwrap
            command = [sys.executable, "-c", textwrap.dedent(program)]
            here = Path(sys.argv[1])
            tell = lambda message: print(*message["pids"], flush=True)
            watch(command, os.environ, here, here / "log", Limits(2**30, 60, 60), tell)
            """
        )
    )
    process = subprocess.Popen([sys.executable, str(owner), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    process.kill()
    process.wait()
    process.stdout.close()
    assert all(wait_until_gone(pid) for pid in pids)
