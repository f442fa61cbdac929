"""Courses against seconds, decimation that keeps transients, and what titles say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from miniscope_core.io import Signal
from miniscope_core.plots import plot_mask_activity, plot_overview, plot_recording, plot_shifts, plot_traces
from miniscope_core.plots.figures import decimated

FRAMES = 300
TIMES = np.arange(FRAMES) / 20.0
RNG = np.random.default_rng(0)
COURSES = np.cumsum(RNG.normal(size=(5, FRAMES)), axis=1)


def x_of(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xdata(), float)


def y_of(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), float)


def test_traces_are_drawn_against_seconds() -> None:
    axes = plot_traces(COURSES, TIMES, denoised=COURSES, activity=np.abs(COURSES), mask_ids=[4, 8, 15, 16, 23]).axes[0]
    assert axes.get_xlabel() == "time (s)"
    np.testing.assert_allclose(axes.get_xlim(), (0, TIMES[-1]))
    assert len(axes.lines) == 10
    assert sum(isinstance(c, LineCollection) for c in axes.collections) == 5
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["4", "8", "15", "16", "23"]
    assert axes.get_title("left") == "Fluorescence, 5 masks"


def test_first_mask_is_on_top() -> None:
    axes = plot_traces(COURSES, TIMES).axes[0]
    heights = [float(y_of(line).mean()) for line in axes.lines]
    assert heights == sorted(heights, reverse=True)


def test_title_says_when_not_all_masks_are_drawn() -> None:
    axes = plot_traces(COURSES, TIMES, max_traces=2).axes[0]
    assert axes.get_title("left") == "Fluorescence, 2 of 5 masks"
    assert len(axes.lines) == 2


def test_denoised_lies_on_the_scale_of_its_fluorescence() -> None:
    axes = plot_traces(COURSES[:1], TIMES, denoised=COURSES[:1] * 0.5).axes[0]
    raw, denoised = (y_of(line) for line in axes.lines)
    assert np.ptp(denoised) == pytest.approx(np.ptp(raw) / 2)


@pytest.mark.parametrize("frames", [1, 2, FRAMES])
def test_no_masks_and_short_recordings_draw(frames: int) -> None:
    none = np.empty((0, frames))
    figure = plot_traces(none, TIMES[:frames], denoised=none, activity=none)
    figure.canvas.draw()
    assert [text.get_text() for text in figure.axes[0].texts] == ["no masks"]
    plot_traces(np.ones((2, frames)), TIMES[:frames], activity=np.zeros((2, frames))).canvas.draw()


def test_one_mask_is_shown_with_footprint_fluorescence_and_activity() -> None:
    footprint = np.zeros((50, 70))
    footprint[20:30, 40:52] = 1
    figure = plot_mask_activity(footprint, COURSES[0], COURSES[1], TIMES, mask_id=13, denoised=COURSES[2])
    field, above, below = figure.axes
    assert field.get_title("left") == "Footprint, 120 pixels"
    assert field.get_xlim() == (34.5, 56.5)
    assert field.get_ylim() == (34.5, 14.5)
    assert below.get_xlabel() == "time (s)"
    assert above.get_ylabel() == "fluorescence (a.u.)"
    np.testing.assert_allclose(x_of(below.lines[0]), TIMES)
    np.testing.assert_allclose(y_of(below.lines[0]), COURSES[1])
    assert len(above.lines) == 2
    assert figure.get_suptitle() == "Mask 13"


def test_empty_footprint_draws() -> None:
    plot_mask_activity(np.zeros((50, 70)), COURSES[0], COURSES[1], TIMES).canvas.draw()


def test_shifts_name_their_direction_and_spread() -> None:
    shifts = np.stack([np.full(FRAMES, 1.0), np.sin(TIMES)], axis=1)
    above, below = plot_shifts(shifts, TIMES, outlier_frames=[3]).axes
    assert (above.get_ylabel(), below.get_ylabel()) == ("dy applied (px)", "dx applied (px)")
    np.testing.assert_allclose(y_of(above.lines[0]), 1.0)
    np.testing.assert_allclose(y_of(below.lines[0]), np.sin(TIMES))
    assert above.lines[0].get_label() == "dy (s.d. 0.00 px)"
    assert below.get_xlabel() == "time (s)"


def test_recording_shows_frames_brightness_and_intervals_in_their_units() -> None:
    frames = RNG.integers(0, 255, (6, 40, 64))
    times = TIMES.copy()
    times[100:] += 0.1
    figure = plot_recording(frames, np.arange(6) * 50, times, RNG.random(FRAMES), dropped=2, title="mouse1/0")
    pictures, (brightness, clock) = figure.axes[:-2], figure.axes[-2:]
    assert len(pictures) == 4
    assert pictures[0].get_title("left") == "frame 0, 0.00 s"
    assert pictures[-1].get_title("left") == "frame 250, 12.60 s"
    assert figure.get_suptitle() == "mouse1/0: 300 frames, 64×40 px (width × height), 20.00 Hz, 2 dropped"
    assert brightness.get_xlabel() == clock.get_xlabel() == "time (s)"
    assert clock.get_ylabel() == "interval (ms)"
    assert np.max(y_of(clock.lines[0])) == pytest.approx(150)


def test_brightness_of_some_frames_lies_at_their_times() -> None:
    figure = plot_recording(np.ones((1, 8, 9)), [0], TIMES, [1, 2, 3], brightness_indices=[0, 100, 299])
    np.testing.assert_allclose(x_of(figure.axes[-2].lines[0]), TIMES[[0, 100, 299]])


def test_gaps_corrupt_frames_and_invented_times_are_marked_at_their_times() -> None:
    times = TIMES.copy()
    times[100:] += 0.1
    figure = plot_recording(
        np.ones((1, 8, 9)), [0], times, [1.0], brightness_indices=[0], corrupt_frames=[7, 9], invented_times=[20]
    )
    marks = {str(line.get_label()): x_of(line) for line in figure.axes[-1].lines}
    np.testing.assert_allclose(marks["1 gap"], times[[100]])
    np.testing.assert_allclose(marks["2 corrupt frames"], times[[7, 9]])
    np.testing.assert_allclose(marks["1 invented time"], times[[20]])


def test_other_signals_are_drawn_below_on_the_same_times() -> None:
    samples = np.stack([np.arange(5.0), np.arange(5.0) + 9, np.ones(5)], axis=1)
    pose = Signal("pose", ("0 x", "0 y", "0 likelihood"), ("px", "px", "1"), np.arange(5.0), samples, "", "")
    box = Signal("GPIO-1", ("value",), ("",), np.arange(5.0), samples[:, :1], "", "")
    figure = plot_recording(np.ones((1, 8, 9)), [0], TIMES, [1.0], brightness_indices=[0], signals=[pose, *5 * [box]])
    drawn = figure.axes[3:]
    assert [axes.get_title("left") for axes in drawn] == ["pose, and 1 more channel", "GPIO-1", "GPIO-1", "GPIO-1"]
    assert [str(line.get_label()) for line in drawn[0].lines] == ["0 x", "0 y"]
    assert drawn[0].get_ylabel() == "px"
    np.testing.assert_allclose(y_of(drawn[0].lines[1]), samples[:, 1])
    assert drawn[0].get_xlim() == figure.axes[2].get_xlim()
    assert "4 of 6 signals drawn" in figure.get_suptitle()


def test_recording_of_one_frame_draws() -> None:
    plot_recording(np.ones((1, 8, 9)), [0], TIMES[:1], [1]).canvas.draw()


def test_overview_shows_the_best_accepted_units_first() -> None:
    figure = plot_overview(
        np.ones((20, 30)),
        RNG.random((5, 20, 30)),
        COURSES,
        TIMES,
        accepted=[True, False, True, True, False],
        snr=[3.0, 99.0, 8.0, np.nan, 1.0],
        r_value=[0.8, 0.1, 0.9, 0.7, 0.2],
        shifts_px=np.zeros((FRAMES, 2)),
        title="mouse1/0/0/0",
    )
    field, traces, quality, motion = figure.axes
    assert field.get_title("left") == "5 masks"
    assert traces.get_title("left") == "3 accepted"
    assert [tick.get_text() for tick in traces.get_yticklabels()] == ["2", "0", "3"]
    assert [len(x_of(line)) for line in quality.lines] == [3, 2]
    assert motion.get_xlabel() == "time (s)"
    assert figure.get_suptitle() == "mouse1/0/0/0"


def test_overview_of_some_traces_draws_them_by_their_units() -> None:
    figure = plot_overview(
        np.ones((20, 30)),
        RNG.random((5, 20, 30)),
        COURSES[[3, 0]],
        TIMES,
        trace_units=[3, 0],
        accepted=[True, False, True, True, False],
        snr=[3.0, 99.0, 8.0, 1.0, 1.0],
    )
    field, traces = figure.axes[:2]
    assert field.get_title("left") == "5 masks"
    assert traces.get_title("left") == "2 of 3 accepted, highest SNR first"
    assert [tick.get_text() for tick in traces.get_yticklabels()] == ["0", "3"]
    drawn = [COURSES[0], COURSES[3]]
    ranges = [text.get_text() for text in traces.texts]
    assert float(ranges[0]) == pytest.approx(np.ptp(drawn[0]), rel=0.05)
    assert float(ranges[1]) == pytest.approx(np.ptp(drawn[1]), rel=0.05)


def test_overview_says_which_of_many_it_shows() -> None:
    courses, stack = np.tile(COURSES, (4, 1)), np.ones((20, 20, 30))
    figure = plot_overview(np.ones((20, 30)), stack, courses, TIMES, snr=np.arange(20.0))
    assert figure.axes[1].get_title("left") == "14 of 20 accepted, highest SNR first"
    assert [tick.get_text() for tick in figure.axes[1].get_yticklabels()][:2] == ["19", "18"]


@pytest.mark.parametrize("units", [0, 3])
def test_overview_draws_with_nothing_optional_and_without_units(units: int) -> None:
    image, stack = np.ones((20, 30)), np.ones((units, 20, 30))
    plot_overview(image, stack, COURSES[:units], TIMES).canvas.draw()
    nobody = np.zeros(units, bool)
    plot_overview(image, stack, COURSES[:units], TIMES, accepted=nobody, snr=np.ones(units)).canvas.draw()


@given(count=st.integers(1, 5000), columns=st.integers(1, 400), spike=st.integers(0, 4999))
@settings(max_examples=60, deadline=None)
def test_decimation_keeps_every_extreme_and_the_order_of_time(count: int, columns: int, spike: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    values[spike % count] = 50
    times, drawn = decimated(np.arange(count) / 7, values, columns)
    assert len(times) == len(drawn) <= max(2 * columns, 1)
    assert drawn.max() == 50
    assert drawn.min() == values.min()
    assert (np.diff(times) >= 0).all()
    assert times[0] == 0
    assert times[-1] == pytest.approx((count - 1) / 7)


def test_a_hundred_thousand_frames_draw_few_points_and_keep_the_transient() -> None:
    course = np.zeros((1, 100_000))
    course[0, 54_321] = 9
    axes = plot_traces(course, np.arange(100_000) / 20).axes[0]
    x, y = x_of(axes.lines[0]), y_of(axes.lines[0])
    assert len(x) <= 3000
    assert x[np.argmax(y)] == pytest.approx(54_321 / 20, abs=5)


@pytest.mark.parametrize("frames", [200, 40_000])
def test_no_line_is_drawn_through_a_pause(frames: int) -> None:
    times = np.arange(frames) / 20
    times[frames // 2 :] += 1800
    drawn, values = decimated(times, np.ones(frames))
    (gap,) = np.flatnonzero(np.isnan(values))
    assert drawn[gap - 1] < 1800 <= drawn[gap]
    assert (np.diff(drawn) >= 0).all()


def test_frames_without_a_value_hide_no_others_of_their_column() -> None:
    values = np.ones(40_000)
    values[100] = np.nan
    assert np.isfinite(decimated(np.arange(40_000) / 20, values)[1]).all()
