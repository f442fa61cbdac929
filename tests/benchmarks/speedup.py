"""How much faster several workers are than one, and how much faster they could be on this machine."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.cases import Measured

Run = Callable[[Sequence[int]], list[Measured]]
"""Runs the engine at the same time as often as workers are given, with so many each."""


@dataclass(frozen=True)
class Speedup:
    """Wall times of runs that took turns."""

    workers: int
    alone: list[Measured]
    """One worker."""
    together: list[Measured]
    """As many as there are."""
    beside: list[Measured]
    """One worker each, as many runs at the same time: they wait for nothing but the machine."""

    @property
    def stages(self) -> dict[str, float]:
        """How many times faster each stage is, the slowest first."""
        once, often = ({name: _middle(runs, name) for name in runs[0].timings} for runs in (self.alone, self.together))
        return {name: once[name] / often[name] for name in sorted(once, key=lambda name: -once[name]) if often[name]}

    @property
    def total(self) -> float:
        """How many times faster a run is."""
        return _middle(self.alone) / _middle(self.together)

    @property
    def limit(self) -> float:
        """How many times faster it could be: what the machine does with as many runs that have nothing in common."""
        return self.workers * _middle(self.alone) / _middle(self.beside)


def measure_speedup(run: Run, workers: int, times: int) -> Speedup:
    """Run with one worker, with several, and several with one each, in turn, so that what else goes on meets all."""
    measured = Speedup(workers, [], [], [])
    for _ in range(times):
        measured.alone.extend(run([1]))
        measured.together.extend(run([workers]))
        measured.beside.extend(run([1] * workers))
    return measured


def tell_speedup(name: str, speedup: Speedup) -> str:
    """Say it in one line."""
    parts = ", ".join(f"{stage} ×{factor:.2f}" for stage, factor in speedup.stages.items())
    return (
        f"{name}: one worker {_middle(speedup.alone):.1f} s, {speedup.workers} workers "
        f"{_middle(speedup.together):.1f} s: ×{speedup.total:.2f} (medians of {len(speedup.alone)}; {parts}); "
        f"{speedup.workers} runs at a time of one worker each would give ×{speedup.limit:.2f}"
    )


def _middle(runs: Sequence[Measured], stage: str | None = None) -> float:
    return statistics.median(run.cost.seconds["wall"] if stage is None else run.timings[stage] for run in runs)
