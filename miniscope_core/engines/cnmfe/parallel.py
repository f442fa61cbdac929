"""Threads and progress of one run, handed to every step."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.movie import ordered_map
from miniscope_core.progress import Progress

_PATIENCE_S: Final = 0.1
_PIECE: Final = 16
"""Frames of a piece: few enough to share out, and to hold what is made of them beside the sample."""

Item = TypeVar("Item")
Output = TypeVar("Output")


def pieces(count: int) -> list[slice]:
    """Cut a number of things that are worked on in memory into consecutive pieces: at least one, empty for none."""
    return [slice(start, min(start + _PIECE, count)) for start in range(0, max(1, count), _PIECE)]


@dataclass(frozen=True)
class Context:
    """Worker threads and the receiver of progress."""

    pool: ThreadPoolExecutor
    workers: int
    progress: Progress

    def run(self, stage: str, function: Callable[[Item], Output], items: Sequence[Item]) -> Iterator[Output]:
        """Apply a function to items in parallel, give the outputs in order and report each as a step of the stage."""
        for done, output in enumerate(self.map(function, items), start=1):
            self.progress(stage, done, len(items))
            yield output

    def map(self, function: Callable[[Item], Output], items: Sequence[Item]) -> Iterator[Output]:
        """Apply a function to items in parallel and give the outputs in order, without a report."""
        return ordered_map(self.pool, function, items, self.workers + 1)

    def each(self, function: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Apply a function to items in parallel, for what it does to arrays or files that do not overlap."""
        for _ in self.map(function, items):
            pass

    def fill(self, out: NDArray[Any], function: Callable[[slice], NDArray[Any]]) -> NDArray[Any]:
        """Fill an array along its first axis in parallel; return it.

        The pieces do not hang on the number of workers, and neither does what is computed of each.
        """

        def work(some: slice) -> None:
            out[some] = function(some)

        self.each(work, pieces(len(out)))
        return out

    def sweep(self, stage: str, function: Callable[[Item], Output], items: Sequence[Item]) -> Iterator[Output]:
        """Apply a function to items, each worker to a stretch of its own, and give outputs as they come.

        For items that are read from video: a worker that goes on where it stopped decodes no frame twice. The outputs
        come in any order, so whatever is made of them must not hang on it.
        """
        ready: queue.Queue[Output] = queue.Queue(self.workers + 1)
        stop = threading.Event()
        length = -(-len(items) // self.workers)

        def work(first: int) -> None:
            for item in items[first : first + length]:
                output = function(item)
                while not stop.is_set():
                    try:
                        ready.put(output, timeout=_PATIENCE_S)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return

        futures = [self.pool.submit(work, first) for first in range(0, len(items), length)]
        try:
            done = 0
            while done < len(items):
                try:
                    output = ready.get(timeout=_PATIENCE_S)
                except queue.Empty:
                    for future in futures:
                        if future.done():
                            future.result()  # a broken file ends the sweep at once
                    continue
                done += 1
                self.progress(stage, done, len(items))
                yield output
        finally:
            stop.set()
            wait(futures)
