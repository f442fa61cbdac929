"""The rim of a lens: found by the dark that comes in from the edge, told from the brain by the motion."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.frames import shift_frame
from miniscope_core.engines.cnmfe.lens import Lens, find_lens
from miniscope_core.quality import GroundTruth
from miniscope_core.quality.scoring import score_result
from miniscope_core.result import ProcessingResult
from tests.engines.conftest import Run
from tests.simulation import ArraySource, Simulated

SHAPE = (96, 112)
DIAMETER = 6.5


def shadow(shape: tuple[int, int] = SHAPE, radius: float = 0.5, sharpness: float = 40) -> NDArray[np.float32]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot((y + 0.5) / shape[0] - 0.5, (x + 0.5) / shape[1] - 0.5)
    return (1 / (1 + np.exp((distance - radius) * sharpness))).astype(np.float32)


def brain(shape: tuple[int, int] = SHAPE, seed: int = 0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return 80 + 120 * cv2.GaussianBlur(noise, (0, 0), 3)


def moving(light: NDArray[np.float32], offset: float) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    rng = np.random.default_rng(1)
    displacement = rng.normal(0, 1.2, (200, 2))
    scene = brain()
    frames = [light * shift_frame(scene, shift.astype(np.float32)) + offset for shift in displacement]
    return np.stack(frames) + rng.normal(0, 1, (200, *SHAPE)).astype(np.float32), displacement


@pytest.mark.parametrize("offset", [0.0, 12.0])
def test_the_rim_of_a_lens_is_found_and_refined_by_the_motion(offset: float) -> None:
    light = shadow()
    frames, displacement = moving(light, offset)
    lens = find_lens(frames.mean(0), DIAMETER)
    assert lens is not None
    assert lens.offset == pytest.approx(offset, abs=1.5)
    assert lens.dark_share == pytest.approx((light < 0.2).mean(), abs=0.05)
    seen = (light > 0.3) & (light < 0.95)

    def error(found: Lens) -> float:
        # Only what changes from pixel to pixel flickers when the brain moves, and only that the motion can tell.
        ratio = np.log(np.maximum(found.light, 0.01) / light)
        steps = np.diff(ratio, axis=1)[seen[:, 1:] & seen[:, :-1]]
        return float(np.sqrt(np.mean(steps**2)))

    refined = lens.refined(frames, displacement)
    assert error(refined) < 0.7 * error(lens)


def test_a_dark_band_is_found_and_an_evenly_lit_field_is_not() -> None:
    scene = brain()
    assert find_lens(scene, DIAMETER) is None
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    assert find_lens(scene * (1 - 0.5 * np.hypot(y / 96 - 0.5, x / 112 - 0.5)).astype(np.float32), DIAMETER) is None
    banded = scene.copy()
    banded[:, :20] = 3
    lens = find_lens(banded, DIAMETER)
    assert lens is not None
    assert (lens.light[:, :18] < 0.1).all()
    assert (lens.light[:, 40:] == 1).all()


def test_darkness_within_the_field_is_no_rim() -> None:
    scene = brain()
    scene[40:60, 30:70] = 2
    assert find_lens(scene, DIAMETER) is None


def test_a_picture_of_little_contrast_or_none_has_no_rim() -> None:
    assert find_lens(100 + 5 * shadow(), DIAMETER) is None
    assert find_lens(np.zeros(SHAPE, np.float32), DIAMETER) is None
    assert find_lens(np.full(SHAPE, 7, np.float32), DIAMETER) is None


def test_lifting_and_lowering_a_frame_gives_it_back_where_there_is_light() -> None:
    light = shadow()
    lens = Lens(light, np.full(SHAPE, 80, np.float32), 12.0, light < 1)
    frame = np.rint(light * brain() + 12).astype(np.uint8)
    lifted = lens.lift(frame[None])[0]
    np.testing.assert_allclose(lens.lower(lifted)[light > 0.2], frame[light > 0.2], atol=1e-3)
    np.testing.assert_allclose(lifted[light > 0.3], brain()[light > 0.3] + 12, atol=2.5)
    assert (lifted[light < 0.2] == 80).all()
    assert (lens.trust[light < 0.2] == 0).all()
    assert lens.trust.max() <= 1


def test_what_a_footprint_sees_of_the_light_is_weighted_by_its_power() -> None:
    light = np.array([[1.0, 0.5], [0.1, 1.2]], np.float32)
    lens = Lens(light, light, 0.0, light < 1)
    footprints = sp.csr_array(np.array([[1, 0, 0, 0], [1, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]], np.float32))
    np.testing.assert_allclose(lens.seen(footprints), [1, (1 + 4 * 0.5) / 5, 0.1, 1], rtol=1e-6)


def rimmed(scene: Simulated, run_engine: Run, workers: int = 2) -> ProcessingResult:
    rim = shadow((scene.shape[0], scene.shape[1]), 0.5, 80)
    movie = np.rint(scene.movie * rim).astype(np.uint8)
    return run_engine(replace(scene.recording(), source=ArraySource(movie)), workers=workers)


def test_behind_a_rim_frames_are_aligned_and_lit_cells_found(scene: Simulated, run_engine: Run) -> None:
    result = rimmed(scene, run_engine)
    assert any("behind the rim of the lens" in note for note in result.info.notes)
    truth = GroundTruth.from_dense(scene.footprints, scene.traces, scene.spikes, scene.motion_px)
    # Images and traces stay in the recording's counts: dark is dark.
    rim = shadow((scene.shape[0], scene.shape[1]), 0.5, 80)
    assert result.read("image_average")[rim < 0.01].max() < 0.1 * np.median(result.read("image_average"))
    rim = rim.ravel()
    power = truth.footprints.multiply(truth.footprints)
    lit = np.asarray(power @ rim).ravel() / np.asarray(power.sum(1)).ravel()
    score = score_result(result, replace(truth, detectable=truth.detectable & (lit > 0.5)))
    assert score.shift_rmse_px < 0.35
    assert score.recall >= 0.85


def test_a_rim_gives_the_same_result_whatever_the_number_of_workers(scene: Simulated, run_engine: Run) -> None:
    one, two = (rimmed(scene, run_engine, workers) for workers in (1, 2))
    np.testing.assert_array_equal(one.shifts_px, two.shifts_px)
    np.testing.assert_array_equal(one.traces, two.traces)
