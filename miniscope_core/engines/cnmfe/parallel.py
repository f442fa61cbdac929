"""Threads and progress of one run, handed to every step."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from miniscope_core.engines.cnmfe.movie import ordered_map
from miniscope_core.progress import Progress

Item = TypeVar("Item")
Output = TypeVar("Output")


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
