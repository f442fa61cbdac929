"""Shifts: sign, sub-pixel accuracy, identical frames, corrupt frames."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.frames import bin_frame, flatten, shift_frame, surround
from miniscope_core.engines.cnmfe.motion import Template, estimate_shifts, fill_outliers, learn_template
from miniscope_core.engines.cnmfe.parallel import Context


def texture(seed: int, shape: tuple[int, int] = (70, 90)) -> NDArray[np.float32]:
    """Return a smooth random scene, larger than a frame by ten pixels on every side."""
    rng = np.random.default_rng(seed)
    scene = cv2.GaussianBlur(rng.normal(size=(shape[0] + 20, shape[1] + 20)).astype(np.float32), (0, 0), 2.5)
    return np.asarray(100 + 20 * scene / scene.std(), np.float32)


def learn(
    frames: NDArray[np.float32], bin_factor: int, diameter: float, max_shift_px: int, context: Context
) -> Template:
    """Learn a template from frames as a camera gives them."""
    flat = flatten(frames, bin_factor, surround(diameter))
    return learn_template(flat, bin_factor, diameter, max_shift_px, context)


def view(scene: NDArray[np.float32], motion: tuple[float, float]) -> NDArray[np.float32]:
    """Return the frame that a camera sees after the scene moved by (dy, dx)."""
    matrix = np.array([[1, 0, motion[1]], [0, 1, motion[0]]], np.float32)
    moved = cv2.warpAffine(scene, matrix, scene.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved[10:-10, 10:-10], np.float32)


@pytest.mark.parametrize("bin_factor", [1, 2])
def test_identical_frames_estimate_zero_shift(bin_factor: int, context: Context) -> None:
    frames = np.repeat(view(texture(0), (0, 0))[None], 8, axis=0)
    template = learn(frames, bin_factor, 3.0, 8, context)
    shifts, matched, _ = estimate_shifts(frames, template)
    np.testing.assert_allclose(shifts, 0, atol=1e-3)
    assert matched.all()


@settings(max_examples=15, deadline=None)
@given(dy=st.floats(-4, 4), dx=st.floats(-4, 4), seed=st.integers(0, 5))
def test_the_shift_is_the_negative_of_the_motion_to_a_fifth_of_a_pixel(
    dy: float, dx: float, seed: int, context: Context
) -> None:
    scene = texture(seed)
    rng = np.random.default_rng(seed)
    frames = np.repeat(view(scene, (0, 0))[None], 20, axis=0) + rng.normal(0, 2, (20, 70, 90)).astype(np.float32)
    template = learn(frames, 1, 4.0, 8, context)
    moved = view(scene, (dy, dx))[None] + rng.normal(0, 2, (1, 70, 90)).astype(np.float32)
    shifts, _, _ = estimate_shifts(moved, template)
    # Noise alone moves the estimate by 0.05 px (median of 150 trials, at most 0.13): four times that.
    np.testing.assert_allclose(shifts[0], (-dy, -dx), atol=0.2)


def test_applying_the_estimated_shift_brings_the_frame_back(context: Context) -> None:
    scene = texture(1)
    still, moved = view(scene, (0, 0)), view(scene, (2.4, -3.3))
    template = learn(np.repeat(still[None], 8, axis=0), 1, 4.0, 8, context)
    shift = estimate_shifts(moved[None], template)[0][0]
    inside = (slice(6, -6), slice(6, -6))
    before = np.abs(moved - still)[inside].mean()
    after = np.abs(shift_frame(moved, shift) - still)[inside].mean()
    assert after < 0.1 * before


def test_a_frame_of_noise_matches_nothing_and_takes_its_neighbours_shift(context: Context) -> None:
    rng = np.random.default_rng(3)
    scene = texture(2)
    frames = np.stack([view(scene, (float(m), 0.0)) for m in rng.uniform(-2, 2, 30)])
    frames += rng.normal(0, 2, frames.shape).astype(np.float32)
    template = learn(frames, 1, 4.0, 8, context)
    broken = frames[:5].copy()
    broken[2] = rng.uniform(0, 255, broken[2].shape)
    shifts, matched, _ = estimate_shifts(broken, template)
    assert matched.tolist() == [True, True, False, True, True]
    filled = fill_outliers(shifts, matched)
    np.testing.assert_array_equal(filled[2], shifts[1])


def test_motion_beyond_the_largest_shift_is_not_searched(context: Context) -> None:
    scene = texture(4)
    still = np.repeat(view(scene, (0, 0))[None], 8, axis=0)
    template = learn(still, 1, 4.0, 0, context)
    shifts, matched, _ = estimate_shifts(view(scene, (3, 3))[None], template)
    assert not shifts.any()
    assert matched.all()


def test_binning_averages_squares_and_drops_what_does_not_fill_one() -> None:
    frame = np.arange(35, dtype=np.float32).reshape(5, 7)
    binned = bin_frame(frame, 2)
    assert binned.shape == (2, 3)
    assert binned[0, 0] == pytest.approx(frame[:2, :2].mean())
    assert binned[1, 2] == pytest.approx(frame[2:4, 4:6].mean())
