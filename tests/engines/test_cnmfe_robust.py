"""Spoilt recordings: what is wrong with some frames or some pixels takes no cell away and adds none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from miniscope_core.quality import GroundTruth, score_result
from miniscope_core.result import ProcessingResult
from tests.engines.conftest import Run
from tests.simulation import ArraySource, Simulated

BROKEN = [50, 200, 201, 202, 400]
Spoil = Callable[[NDArray[np.float32]], NDArray[Any]]


def spoilt(scene: Simulated, spoil: Spoil, run_engine: Run) -> ProcessingResult:
    movie = spoil(scene.movie.astype(np.float32))
    movie = np.clip(np.rint(movie), 0, 255).astype(np.uint8)
    return run_engine(replace(scene.recording(), source=ArraySource(movie)), workers=2)


def recall_and_extra(scene: Simulated, result: ProcessingResult) -> tuple[float, int]:
    """Return the part of the true cells found, and the number of accepted units that are none of them."""
    truth = GroundTruth.from_dense(scene.footprints, scene.traces, scene.spikes, scene.motion_px)
    score = score_result(result, truth)
    return score.recall, score.unit_count - score.found_count


def broken_by(value: float | None) -> Spoil:
    def spoil(movie: NDArray[np.float32]) -> NDArray[np.float32]:
        noise = np.random.default_rng(0).uniform(0, 255, movie[BROKEN].shape)
        movie[BROKEN] = noise if value is None else value
        return movie

    return spoil


@pytest.mark.parametrize("value", [0, 255, None], ids=["black", "white", "noise"])
def test_corrupt_frames_are_named_and_cost_no_cells(
    scene: Simulated, found: ProcessingResult, run_engine: Run, value: float | None
) -> None:
    result = spoilt(scene, broken_by(value), run_engine)
    assert result.read("outlier_frames").tolist() == BROKEN
    recall, extra = recall_and_extra(scene, result)
    intact_recall, intact_extra = recall_and_extra(scene, found)
    assert recall >= intact_recall - 0.1
    # Frames a hundred counts off would otherwise be the brightest event of every pixel.
    assert extra <= intact_extra + 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda movie: movie * 2.2,
        lambda movie: movie * (1 + 0.1 * np.random.default_rng(0).standard_normal((len(movie), 1, 1))),
        lambda movie: movie + 4 * np.random.default_rng(0).standard_normal((*movie.shape[:2], 1)),
    ],
    ids=["saturated", "flickering", "row noise"],
)
def test_saturation_flicker_and_stripes_take_no_cells_away(scene: Simulated, run_engine: Run, spoil: Spoil) -> None:
    recall, extra = recall_and_extra(scene, spoilt(scene, spoil, run_engine))
    assert recall >= 0.9
    assert extra <= 8  # the six deep cells, and those cut by the edge


def test_blas_keeps_to_one_thread_while_the_engine_runs_and_gets_its_own_back(
    scene: Simulated, run_engine: Run
) -> None:
    before = [library["num_threads"] for library in threadpool_info()]
    seen: set[int] = set()

    def note(stage: str, done: int, total: int) -> None:
        seen.update(library["num_threads"] for library in threadpool_info())

    run_engine(
        replace(scene.recording(), source=ArraySource(scene.movie[:64]), timestamps_s=scene.timestamps_s[:64]),
        progress=note,
    )
    assert seen == {1}
    assert [library["num_threads"] for library in threadpool_info()] == before
