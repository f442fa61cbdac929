"""How much faster is told from runs that take turns, by their medians."""

from collections.abc import Sequence

import numpy as np
import pytest

from miniscope_core.quality.scoring import Score
from tests.benchmarks.__main__ import main
from tests.benchmarks.cases import Measured
from tests.benchmarks.repeats import Cost
from tests.benchmarks.speedup import measure_speedup, tell_speedup


def run_of(wall_s: float, stages: dict[str, float]) -> Measured:
    score = Score(0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, (0, 0), np.zeros((0, 2), np.int64))
    cost = Cost((8, 8), 10, 10.0, {"wall": wall_s, "CPU": wall_s}, 2**20)
    return Measured("made up", "cnmfe", score, score, score, stages, cost, 1.0)


def test_medians_of_runs_in_turn_are_compared_and_stages_told_slowest_first() -> None:
    asked: list[Sequence[int]] = []
    slow = iter([10.0, 90.0, 11.0])  # once something else had the machine

    def run(workers: Sequence[int]) -> list[Measured]:
        asked.append(list(workers))
        if list(workers) == [1]:
            wall = next(slow)
            return [run_of(wall, {"writing": 1.0, "motion correction": wall - 1})]
        wall = 6.0 if len(workers) == 1 else 12.0
        return [run_of(wall, {"writing": 1.0, "motion correction": wall - 1}) for _ in workers]

    speedup = measure_speedup(run, 2, 3)
    assert asked == [[1], [2], [1, 1]] * 3
    assert speedup.total == pytest.approx(11 / 6)
    assert speedup.limit == pytest.approx(2 * 11 / 12)
    assert list(speedup.stages.items()) == [("motion correction", 2.0), ("writing", 1.0)]
    told = tell_speedup("made up", speedup)
    assert "one worker 11.0 s, 2 workers 6.0 s: ×1.83 (medians of 3; motion correction ×2.00, writing ×1.00)" in told
    assert told.endswith("×1.83")


def test_speedup_on_the_demo_follows_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", "--workers", "2", "--speedup", "1"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert "demo: one worker" in last
    assert "motion correction ×" in last
