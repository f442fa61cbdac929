"""Spoilt recordings: what is wrong with some frames or some pixels takes no cell away and adds none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from miniscope_core.io.recording import Recording
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


def hot_columns(movie: NDArray[np.float32]) -> NDArray[np.float32]:
    movie[:, :, [31, 90]] = 255
    return movie


def hot_pixels(movie: NDArray[np.float32]) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    movie[:, rng.integers(0, movie.shape[1], 12), rng.integers(0, movie.shape[2], 12)] = 255
    return movie


def fixed_stripes(movie: NDArray[np.float32]) -> NDArray[np.float32]:
    return movie + 8 * np.random.default_rng(0).standard_normal((1, movie.shape[1], 1)).astype(np.float32)


def lens_rim(movie: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = movie.shape[1:]
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5)
    return movie / (1 + np.exp((radius - 0.53) * 80)).astype(np.float32)


@pytest.mark.parametrize("spoil", [hot_columns, hot_pixels, fixed_stripes, lens_rim], ids=lambda spoil: spoil.__name__)
def test_what_stays_on_the_sensor_does_not_hold_the_brain_back(scene: Simulated, run_engine: Run, spoil: Spoil) -> None:
    result = spoilt(scene, spoil, run_engine)
    truth = GroundTruth.from_dense(scene.footprints, scene.traces, scene.spikes, scene.motion_px)
    # The brain moves by 1.5 px (root mean square): frames that are held back are off by that much along an axis.
    assert score_result(result, truth).shift_rmse_px < 0.5
    assert recall_and_extra(scene, result)[0] >= 0.75


def jumping(scene: Simulated, jump_px: int) -> Recording:
    """Return the scene seen through a window that jumps along x halfway."""
    width, half = scene.shape[1] - jump_px, len(scene.movie) // 2
    movie = np.concatenate([scene.movie[:half, :, :width], scene.movie[half:, :, jump_px:]])
    return replace(scene.recording(), source=ArraySource(movie), shape=movie.shape[1:])


def test_a_jump_within_the_largest_shift_is_undone(scene: Simulated, run_engine: Run) -> None:
    result = run_engine(jumping(scene, 30), max_shift_px=35)
    half = len(scene.movie) // 2
    error = result.read("shifts_px") + scene.motion_px
    jump = np.median(error[half:], axis=0) - np.median(error[:half], axis=0)
    np.testing.assert_allclose(jump, (0, 30), atol=0.3)
    assert not result.info.notes


def test_a_jump_beyond_the_largest_shift_is_told(scene: Simulated, run_engine: Run) -> None:
    notes = run_engine(jumping(scene, 30), max_shift_px=10).info.notes
    assert any("50% of the frames" in note and "max_shift_px=10" in note for note in notes)


def cut(scene: Simulated, movie: NDArray[Any], frames: slice = slice(None)) -> Recording:
    """Return a recording of another movie of the scene."""
    return replace(
        scene.recording(),
        source=ArraySource(movie),
        shape=movie.shape[1:],
        dtype=movie.dtype,
        timestamps_s=scene.timestamps_s[frames],
    )


def test_a_movie_of_16_bit_gives_the_cells_of_the_same_movie_of_8(
    scene: Simulated, found: ProcessingResult, run_engine: Run
) -> None:
    result = run_engine(cut(scene, scene.movie.astype(np.uint16) * 16), workers=2)
    assert recall_and_extra(scene, result)[0] >= recall_and_extra(scene, found)[0]
    # Noise is counted in photons, not in counts: only rounding tells the two apart.
    np.testing.assert_allclose(result.read("shifts_px"), found.read("shifts_px"), atol=0.05)


@pytest.mark.parametrize("frames", [slice(0, 200), slice(None, None, 4)], ids=["one short file", "every fourth frame"])
def test_fewer_frames_cost_cells_but_invent_none(scene: Simulated, run_engine: Run, frames: slice) -> None:
    result = run_engine(cut(scene, scene.movie[frames], frames), workers=2)
    truth = GroundTruth.from_dense(
        scene.footprints, scene.traces[:, frames], scene.spikes[:, frames], scene.motion_px[frames]
    )
    score = score_result(result, truth)
    # Cells fire every eight seconds: in ten seconds a third of them does not, at 5 Hz an event is two frames.
    assert score.recall >= 0.5
    assert score.unit_count - score.found_count <= 8


def test_odd_sizes_and_binned_movies_give_the_same_cells(scene: Simulated, run_engine: Run) -> None:
    odd = run_engine(cut(scene, scene.movie[:, :95, :127]), workers=2)
    truth = GroundTruth.from_dense(scene.footprints[:, :95, :127], scene.traces, scene.spikes, scene.motion_px)
    assert score_result(odd, truth).recall >= 0.9
    binned = run_engine(cut(scene, halved(scene.movie).round().astype(np.uint8)), workers=2, cell_diameter_px=5)
    truth = GroundTruth.from_dense(halved(scene.footprints), scene.traces, scene.spikes, scene.motion_px / 2)
    assert score_result(binned, truth).recall >= 0.9


def halved(images: NDArray[Any]) -> NDArray[Any]:
    """Average squares of two pixels."""
    count, height, width = images.shape
    return np.asarray(images.reshape(count, height // 2, 2, width // 2, 2).mean((2, 4)))


def test_a_spoilt_movie_gives_the_same_result_whatever_the_number_of_workers(scene: Simulated, run_engine: Run) -> None:
    movie = hot_columns(scene.movie[:200].astype(np.float32)).astype(np.uint8)
    one, three = (run_engine(cut(scene, movie, slice(0, 200)), workers=workers) for workers in (1, 3))
    for name in ("shifts_px", "traces", "activity", "image_average"):
        np.testing.assert_array_equal(one.read(name), three.read(name))


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
