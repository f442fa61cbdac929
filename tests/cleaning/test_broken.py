"""Broken frames: filled from sound neighbours whichever way they are read, and found without a false alarm."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniscope_core.cleaning import find_broken, mend
from miniscope_core.errors import VideoError
from miniscope_core.io.recording import Recording
from tests.simulation import ArraySource, Simulated, simulate

FRAMES = 40


def ramp(dtype: str = "uint16") -> Recording:
    """Return a recording whose every frame holds a hundred times its number."""
    movie = np.arange(FRAMES, dtype=dtype)[:, None, None] * np.ones((1, 3, 4), dtype) * 100
    base = simulate(shape=(24, 24), frame_count=FRAMES, cell_count=1).recording()
    return replace(base, source=ArraySource(movie.astype(dtype)), shape=(3, 4), dtype=np.dtype(dtype))


@pytest.fixture(scope="module")
def scene() -> Simulated:
    return simulate(shape=(96, 128), seed=4)


def torn(scene: Simulated, where: dict[int, slice], value: float | None = None) -> Recording:
    """Return the scene with rows of some frames replaced by noise, or by a value."""
    movie, rng = scene.movie.copy(), np.random.default_rng(0)
    for frame, rows in where.items():
        part = movie[frame, rows]
        movie[frame, rows] = rng.integers(0, 256, part.shape) if value is None else value
    return replace(scene.recording(), source=ArraySource(movie))


@given(
    broken=st.sets(st.integers(0, FRAMES - 1), max_size=FRAMES - 1),
    start=st.integers(0, FRAMES - 1),
    length=st.integers(1, FRAMES),
    step=st.integers(1, 7),
)
def test_a_filled_frame_is_the_line_between_its_sound_neighbours_however_it_is_read(
    broken: set[int], start: int, length: int, step: int
) -> None:
    sound = [frame for frame in range(FRAMES) if frame not in broken]
    expected = np.interp(range(FRAMES), sound, np.array(sound) * 100.0)
    mended = mend(ramp(), sorted(broken))
    frames = mended.frames(start, min(start + length, FRAMES), step)
    assert frames.dtype == np.uint16
    np.testing.assert_allclose(frames[:, 1, 2], expected[start : min(start + length, FRAMES) : step], atol=0.51)


def test_a_recording_without_broken_frames_comes_back_as_it_is() -> None:
    recording = ramp()
    assert mend(recording, []) is recording


def test_a_recording_of_broken_frames_alone_is_refused() -> None:
    with pytest.raises(VideoError, match="got 40 broken ones of 40, expected at least one that is whole"):
        mend(ramp(), range(FRAMES))


def test_nothing_is_found_in_a_sound_recording(scene: Simulated) -> None:
    assert find_broken(scene.recording()).tolist() == []


def test_flicker_motion_and_bright_cells_break_no_frame(scene: Simulated) -> None:
    rng = np.random.default_rng(1)
    movie = scene.movie * (1 + 0.15 * rng.standard_normal((len(scene.movie), 1, 1)))
    movie[300:, :, :-6] = movie[300:, :, 6:]  # a lasting jump to the side
    movie[100:110, 20:40, 30:50] *= 2  # something bright, two cells wide, that comes and goes
    spoilt = replace(scene.recording(), source=ArraySource(np.clip(movie, 0, 255).astype(np.uint8)))
    assert find_broken(spoilt).tolist() == []


@pytest.mark.parametrize("workers", [1, 2])
def test_torn_and_black_frames_are_found_and_no_other(scene: Simulated, workers: int) -> None:
    rows = {50: slice(60, None), 51: slice(60, None), 200: slice(0, 20), 0: slice(30, 60), 599: slice(None)}
    assert find_broken(torn(scene, rows), workers).tolist() == sorted(rows)
    black = {number: slice(None) for number in (3, 4, 5, 400)}
    assert find_broken(torn(scene, black, value=4), workers).tolist() == sorted(black)


@pytest.mark.parametrize("value", [255, 90], ids=["white", "gray"])
def test_a_frame_that_shows_nothing_is_found(scene: Simulated, value: int) -> None:
    assert find_broken(torn(scene, {300: slice(None)}, value=value)).tolist() == [300]


def test_a_part_that_was_padded_with_black_is_found(scene: Simulated) -> None:
    assert find_broken(torn(scene, {77: slice(80, None)}, value=0)).tolist() == [77]


def test_a_long_black_stretch_does_not_hide_what_follows_it(scene: Simulated) -> None:
    black = dict.fromkeys(range(100, 160), slice(None))
    movie = torn(scene, black, value=0).frames()
    movie[161, :40] = 250
    spoilt = replace(scene.recording(), source=ArraySource(movie))
    assert find_broken(spoilt).tolist() == [*range(100, 160), 161]


def test_the_pass_tells_how_far_it_is(scene: Simulated) -> None:
    told: list[tuple[str, int, int]] = []
    find_broken(scene.recording(), 2, lambda stage, done, total: told.append((stage, done, total)))
    assert {stage for stage, _, _ in told} == {"broken frames"}
    assert max(done for _, done, _ in told) == 600 == told[0][2]
