"""What a run costs: wall seconds per stage, CPU seconds and peak memory of the whole process tree."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import psutil

_INTERVAL_S = 0.05


class Measure:
    """Measure a run; use as a context manager around it.

    Peak memory is sampled, by default twenty times a second, over this process and all that it starts meanwhile, so a
    shorter peak can be missed; children that were there before (a Prefect server, say) are none of the run's. CPU
    seconds are those of this process (all threads) and of children that have ended.

    Parameters
    ----------
    interval_s
        Time between samples; a long run of many processes need not be asked so often.
    """

    def __init__(self, interval_s: float = _INTERVAL_S) -> None:
        self._interval_s = interval_s
        self.timings: dict[str, float] = {}
        """Wall seconds by stage, in the order they began."""
        self.peak_memory_bytes = 0
        """Highest resident memory of the process tree seen so far."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)
        self._cpu_at_start = 0.0
        self._others: set[psutil.Process] = set()

    def __enter__(self) -> Self:
        self._cpu_at_start = _cpu_seconds()
        self._others = set(psutil.Process().children(recursive=True))
        self.peak_memory_bytes = _resident_bytes(self._others)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds used since the measure began."""
        return _cpu_seconds() - self._cpu_at_start

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the wall seconds of the enclosed work to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - start

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.peak_memory_bytes = max(self.peak_memory_bytes, _resident_bytes(self._others))
            self._stop.wait(self._interval_s)


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _resident_bytes(others: set[psutil.Process]) -> int:
    process = psutil.Process()
    total = int(process.memory_info().rss)
    for child in set(process.children(recursive=True)) - others:
        with suppress(psutil.Error):  # it may end while we look
            total += int(child.memory_info().rss)
    return total
