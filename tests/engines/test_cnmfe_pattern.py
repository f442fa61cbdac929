"""Static patterns: the gain they put on the shifts is measured, and they are told apart from the brain by motion."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe import motion as motion_module
from miniscope_core.engines.cnmfe.motion import _to_front, learn_template
from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.pattern import fit_pattern, gains, held_back, no_pattern
from tests.engines.test_cnmfe_motion import texture, view

DIAMETER = 6.0


def moving(seed: int, frames: int = 128) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return frames of a brain that moves by a pixel, mean free and noisy, and how it moves."""
    rng = np.random.default_rng(seed)
    motion = rng.normal(0, 1, (frames, 2))
    scene = texture(seed) - 100
    movie = np.stack([view(scene, (dy, dx)) for dy, dx in motion])
    return movie + rng.normal(0, 4, movie.shape).astype(np.float32), motion


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.1])
def test_the_gain_of_shifts_that_are_too_small_is_measured(gain: float) -> None:
    movie, motion = moving(0)
    found = gains(movie, gain * motion, no_pattern(movie.shape[1:]), DIAMETER)
    # Over a pixel of motion the scene is not quite linear: a tenth.
    np.testing.assert_allclose(found, gain, rtol=0.15)
    assert held_back(found) == (gain < 0.85)


def test_a_pattern_on_top_does_not_change_the_gain() -> None:
    movie, motion = moving(1)
    movie += 40 * np.random.default_rng(0).standard_normal((1, movie.shape[1], 1)).astype(np.float32)
    found = gains(movie, 0.5 * motion, no_pattern(movie.shape[1:]), DIAMETER)
    np.testing.assert_allclose(found, 0.5, rtol=0.3)


def test_frames_that_do_not_move_have_nothing_to_measure_a_gain_by() -> None:
    rng = np.random.default_rng(2)
    still = view(texture(2) - 100, (0, 0)) + rng.normal(0, 4, (128, 70, 90)).astype(np.float32)
    assert not held_back(gains(still, rng.normal(0, 0.1, (128, 2)), no_pattern(still.shape[1:]), DIAMETER))


def test_motion_tells_the_pattern_from_the_brain() -> None:
    movie, motion = moving(3)
    stripes = np.zeros(movie.shape[1:], np.float32)
    stripes[::7] = 60
    stripes -= stripes.mean()
    still = view(texture(3) - 100, (0, 0))
    blurred = np.mean([np.roll(stripes, round(-dy), axis=0) for dy, _ in motion], axis=0)
    pattern = fit_pattern(movie.mean(0) + stripes, still + blurred, np.rint(motion))
    inside = (slice(8, -8), slice(8, -8))
    found = pattern.image[inside].ravel()
    assert np.corrcoef(found, stripes[inside].ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(found, still[inside].ravel())[0, 1]) < 0.3


def test_taking_a_pattern_out_needs_no_copy_of_the_sample(context: Context) -> None:
    def peak(stripes: float) -> tuple[int, bool]:
        movie, _ = moving(4, frames=256)
        movie += stripes * np.random.default_rng(0).standard_normal((1, movie.shape[1], 1)).astype(np.float32)
        tracemalloc.start()
        try:
            template = learn_template(movie, 1, DIAMETER, 8, context)
            return tracemalloc.get_traced_memory()[1], bool(template.pattern.image.any())
        finally:
            tracemalloc.stop()

    without, with_stripes = peak(0), peak(40)
    assert (without[1], with_stripes[1]) == (False, True)
    assert with_stripes[0] < 1.1 * without[0]


def test_frames_out_of_reach_are_left_out_without_a_copy() -> None:
    frames = np.arange(12, dtype=np.float32).reshape(6, 1, 2).copy()
    before = frames.copy()
    wanted = np.array([False, True, False, True, True, False])
    front = _to_front(frames, wanted)
    np.testing.assert_array_equal(front, before[wanted])
    assert np.shares_memory(front, frames)
    np.testing.assert_array_equal(np.sort(frames, axis=0), before)


@pytest.mark.parametrize(("left", "kept"), [(0.8, False), (0.97, True)])
def test_a_pattern_that_does_not_release_the_frames_is_none(
    monkeypatch: pytest.MonkeyPatch, left: float, kept: bool, context: Context
) -> None:
    """A wide vessel in a small field held frames at 0.74, and at 0.8 with what was taken for a pattern taken out."""
    movie, _ = moving(5)
    movie[:, :, 40] += 300
    found = iter([0.74, 0.74, 0.78, left])
    monkeypatch.setattr(motion_module, "gains", lambda *_: np.array([next(found), 1.0]))
    before = movie.copy()
    template = learn_template(movie, 1, DIAMETER, 8, context)
    assert next(found, None) is None
    assert template.gain == 0.74
    assert template.pattern.is_none is not kept
    assert np.array_equal(np.sort(movie, axis=0), np.sort(before, axis=0)) is not kept
