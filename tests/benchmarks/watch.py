"""What a foreign program costs, counted as our own engines count themselves (``miniscope_core.engines.measure``)."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_INTERVAL_S: Final = 0.05


@dataclass(frozen=True)
class Usage:
    """One run of a program."""

    exit_code: int
    wall_s: float
    cpu_s: float
    """Of the program and its children that ended before it."""
    peak_memory_bytes: int
    """Highest resident memory of the process tree, sampled twenty times a second."""


def watched(command: Sequence[str], log: Path) -> Usage:
    """Run a program to its end; what it says goes into a file. It and its children end when this is interrupted.

    Raises
    ------
    OSError
        When it cannot be started.
    """
    start, peak = time.perf_counter(), 0
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        while True:
            peak = max(peak, _resident_bytes(process.pid))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(_INTERVAL_S)
    finally:
        with suppress(ProcessLookupError):  # also what the program itself left running
            os.killpg(process.pid, signal.SIGKILL)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Usage(process.returncode, time.perf_counter() - start, usage.ru_utime + usage.ru_stime, peak)


def _resident_bytes(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):  # any of them may end while we look
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                total += int(process.memory_info().rss)
    return total
