"""A recording that is played several times over is one long recording to whoever reads it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniscope_core.quality import GroundTruth
from tests.benchmarks.repeats import Cost, extrapolate, repeat_recording, repeat_truth
from tests.simulation import simulate

FRAMES = 30
SCENE = simulate((32, 40), FRAMES, 1, seed=3)


@given(st.integers(0, 4 * FRAMES), st.integers(0, 4 * FRAMES), st.integers(1, 2 * FRAMES))
def test_any_range_gives_the_frames_of_the_movie_tiled(start: int, stop: int, step: int) -> None:
    start, stop = sorted((start, stop))
    tiled = np.tile(SCENE.movie, (4, 1, 1))
    repeated = repeat_recording(SCENE.recording(), 4)
    np.testing.assert_array_equal(repeated.frames(start, stop, step), tiled[start:stop:step])


def test_frame_clock_goes_on_where_it_ended() -> None:
    once = SCENE.recording()
    repeated = repeat_recording(once, 3)
    intervals = np.diff(repeated.timestamps_s)
    assert repeated.frame_count == repeated.clock.used == 3 * FRAMES
    assert repeated.fps == once.fps
    assert intervals.min() > 0
    # At the seam too: one interval passes, not two or none.
    np.testing.assert_allclose(intervals[[FRAMES - 1, 2 * FRAMES - 1]], 1 / once.fps)


def test_truth_is_repeated_with_the_frames_and_no_cell_is_added() -> None:
    truth = GroundTruth.from_dense(SCENE.footprints, SCENE.traces, SCENE.spikes, SCENE.motion_px)
    repeated = repeat_truth(truth, 3)
    assert (repeated.unit_count, repeated.frame_count) == (1, 3 * FRAMES)
    assert repeated.motion_px is not None
    np.testing.assert_array_equal(repeated.motion_px[FRAMES : 2 * FRAMES], SCENE.motion_px)


def test_extrapolation_tells_what_each_frame_costs_from_what_is_paid_once() -> None:
    def cost(frames: int) -> Cost:
        return Cost((10, 20), frames, 20.0, {"wall": 36 + 0.5 * frames}, 0)

    # Twice the pixels, so twice of everything.
    hours = extrapolate(cost(100), cost(1000), (20, 20), 7128)
    assert hours["wall"] == pytest.approx(2 * (36 + 0.5 * 7128) / 3600)
    with pytest.raises(ValueError, match="two lengths"):
        extrapolate(cost(100), cost(100), (20, 20), 7128)
