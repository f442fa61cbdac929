"""The frame clock: how rows and frames are joined, and what is counted as dropped."""

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from miniscope_core.errors import ClockError, RecordingError, VideoError
from miniscope_core.io.clock import Clock, ClockPolicy, ClockRows, join_clock
from miniscope_core.io.recording import VideoFile

FOLDER = Path("session")


def rows_of(times_ms: object, **changes: object) -> ClockRows:
    return ClockRows("timeStamps.csv", np.asarray(times_ms, np.float64), **changes)  # type: ignore[arg-type]


def files_of(*counts: int) -> list[VideoFile]:
    return [VideoFile(path=FOLDER / f"{number}.avi", frame_count=count) for number, count in enumerate(counts)]


def join(rows: ClockRows, *counts: int, policy: ClockPolicy = "strict", frames_per_file: int | None = None) -> Clock:
    return join_clock(FOLDER, rows, files_of(*counts), policy, 20.0, frames_per_file)


# -- rate -----------------------------------------------------------------------------------------------
def test_rate_is_the_median_interval_whatever_a_gap_does() -> None:
    times = np.arange(100) * 50
    times[60:] += 10_000
    clock = join(rows_of(times), 100)
    assert clock.report.measured_fps == 20.0
    assert clock.report.longest_interval_ms == 10_050
    assert clock.report.jitter_ms == 0


def test_jitter_is_the_median_absolute_deviation() -> None:
    intervals = [50, 48, 52, 50, 46, 54, 50, 48, 52]
    assert join(rows_of(np.cumsum([0, *intervals])), 10).report.jitter_ms == 2


@pytest.mark.parametrize("times", [[], [0.0], [7.0] * 9, [9, 8, 7, 6]])
def test_times_without_a_rate_are_refused(times: list[float]) -> None:
    with pytest.raises(ClockError, match="fps="):
        join(rows_of(times), len(times), policy="report")


def test_repeated_times_are_told_and_no_fault() -> None:
    report = join(rows_of([0, 50, 50, 100, 150, 200]), 6).report
    assert report.repeated == 1
    assert report.problems == ()


# -- joining --------------------------------------------------------------------------------------------
def test_a_short_file_in_the_middle_keeps_later_files_at_their_rows() -> None:
    rows = rows_of(np.arange(28) * 50)
    clock = join(rows, 10, 6, 8, policy="report", frames_per_file=10)
    expected = [*range(16), *range(20, 28)]
    np.testing.assert_allclose(clock.timestamps_s, np.array(expected) * 0.05)
    assert clock.report.used == 24


@pytest.mark.parametrize(
    ("counts", "rows", "frames_per_file"),
    [((10, 6, 8), 28, None), ((10, 10, 5), 28, 10), ((10, 12, 5), 28, 10), ((10, 6, 8), 31, 10), ((10, 6, 8), 27, 10)],
)
def test_without_proof_of_where_frames_were_lost_the_end_is_left_out(
    counts: tuple[int, ...], rows: int, frames_per_file: int | None
) -> None:
    clock = join(rows_of(np.arange(rows) * 50), *counts, policy="report", frames_per_file=frames_per_file)
    np.testing.assert_allclose(clock.timestamps_s, np.arange(sum(counts)) * 0.05)
    assert "rows are left out" in clock.report.rule


def test_the_error_names_rows_frames_files_and_remedy() -> None:
    with pytest.raises(ClockError) as caught:
        join(rows_of(np.arange(30) * 50), 10, 4, 10, frames_per_file=10)
    message = str(caught.value)
    for part in ("session", "timeStamps.csv has 30 rows", "24 frames decode", "1.avi gives 4", "clock='report'"):
        assert part in message
    assert "0.avi" not in message


def test_a_doubtful_video_alone_is_the_videos_error() -> None:
    rows = rows_of(np.arange(10) * 50)
    with pytest.raises(VideoError, match=r"0\.avi is cut short"):
        join_clock(FOLDER, rows, files_of(10), "strict", video_problems=["0.avi is cut short"])
    report = join_clock(FOLDER, rows, files_of(10), "report", video_problems=["0.avi is cut short"]).report
    assert report.problems == ("0.avi is cut short",)


def test_a_clock_that_was_set_back_is_not_answered_with_another_copy() -> None:
    times = np.arange(20) * 50.0
    times[10] = 10
    with pytest.raises(ClockError, match=r"goes back 1 times.*a copy will be no better\. Pass clock='interpolate'"):
        join(rows_of(times), 20)
    with pytest.raises(ClockError, match=r"goes back 1 times.* Copy the recording again"):
        join(rows_of(times), 19)


# -- inventing -------------------------------------------------------------------------------------------
def test_frames_after_the_last_row_get_times_at_the_usual_interval_and_are_marked() -> None:
    clock = join(rows_of([0, 50, 100, 150]), 7, policy="interpolate")
    np.testing.assert_allclose(clock.timestamps_s, np.arange(7) * 0.05)
    assert clock.report.invented == ((4, 6),)
    assert (clock.report.invented_count, clock.report.used, clock.frames) == (3, 7, None)
    assert "4 rows, 7 frames decode" in clock.report.problems[0]
    assert "the times of 3 frames are invented" in clock.report.rule


@pytest.mark.parametrize("wrong", [-9000, 1e9, 101], ids=["far back", "far ahead", "a little back"])
def test_a_row_out_of_order_is_not_believed_and_its_neighbours_are(wrong: float) -> None:
    times = np.arange(20) * 50.0
    times[10] = wrong
    clock = join(rows_of(times), 20, policy="interpolate")
    np.testing.assert_allclose(clock.timestamps_s, np.arange(20) * 0.05)
    assert clock.report.invented == ((10, 10),)
    assert clock.report.backward == 1
    np.testing.assert_array_equal(join(rows_of(times), 20, policy="report").timestamps_s, times / 1000)


def test_a_first_row_that_is_garbage_is_put_before_the_second() -> None:
    clock = join(rows_of([1e9, 50, 100, 150, 200]), 5, policy="interpolate")
    np.testing.assert_allclose(clock.timestamps_s, np.arange(5) * 0.05)
    assert clock.report.invented == ((0, 0),)


def test_a_gap_stays_a_gap() -> None:
    times = np.arange(20) * 50.0
    times[10:] += 5000
    clock = join(rows_of(times), 22, policy="interpolate")
    np.testing.assert_array_equal(clock.timestamps_s[:20], times / 1000)
    assert clock.report.invented == ((20, 21),)


def test_frames_between_numbered_rows_are_kept_and_get_times_between_theirs() -> None:
    rows = rows_of([0, 50, 200, 250], frames=np.array([0, 1, 4, 5]), frame_total=6)
    assert join(rows, 6, policy="report").frames is not None
    clock = join(rows, 6, policy="interpolate")
    np.testing.assert_allclose(clock.timestamps_s, np.arange(6) * 0.05)
    assert (clock.report.invented, clock.frames) == (((2, 3),), None)


def test_a_clock_that_went_back_for_good_is_refused_because_nothing_tells_by_how_much() -> None:
    times = np.arange(100) * 50.0
    times[50:] -= 2000
    with pytest.raises(ClockError, match="the clock went back for good, and nothing tells by how much"):
        join(rows_of(times), 100, policy="interpolate")


def test_repeats_and_bursts_are_kept_as_recorded() -> None:
    times = [0, 50, 100, 300, 300, 300, 301, 350, 400, 450]
    clock = join(rows_of(times), 10, policy="interpolate")
    np.testing.assert_array_equal(clock.timestamps_s, np.array(times) / 1000)
    assert clock.report.invented == ()


@given(
    bad=st.dictionaries(st.integers(0, 59), st.floats(-1e9, 1e9), max_size=8),
    rows=st.integers(50, 60),
)
def test_invented_times_are_exactly_those_that_differ_and_lie_between_the_others(
    bad: dict[int, float], rows: int
) -> None:
    """Single rows that are wrong, wherever they are: every frame gets a time, and nothing believed is changed."""
    times = np.arange(60) * 50.0
    for place, value in bad.items():
        times[place] = value
    try:
        clock = join(rows_of(times[:rows]), 60, policy="interpolate")
    except ClockError:  # so many are wrong that they could be a clock that went back
        return
    assert len(clock.timestamps_s) == 60
    assert (np.diff(clock.timestamps_s) >= 0).all()
    invented = {frame for first, last in clock.report.invented for frame in range(first, last + 1)}
    kept = [frame for frame in range(60) if frame not in invented]
    np.testing.assert_array_equal(clock.timestamps_s[kept], times[kept] / 1000)
    assert set(range(rows, 60)) <= invented


# -- dropped frames -------------------------------------------------------------------------------------
def dropped(times_ms: object, hardware: object = None) -> int:
    numbers = None if hardware is None else np.asarray(hardware, np.int64)
    rows = rows_of(times_ms, hardware=numbers)
    return join(rows, len(rows.times_ms)).report.dropped


def test_gaps_in_time_count_the_frames_that_fit() -> None:
    times = np.delete(np.arange(40) * 50, [7, 20, 21, 22])
    assert dropped(times) == 4


def test_a_delay_made_up_by_a_burst_drops_nothing() -> None:
    times = np.arange(40) * 50.0
    times[10:14] = [640, 645, 648, 652]  # four frames came late, all at once
    assert dropped(times) == 0


def test_jitter_drops_nothing() -> None:
    times = np.arange(1000) * 50 + np.random.default_rng(0).integers(-9, 10, 1000)
    assert dropped(times) == 0


def test_hardware_numbers_see_what_time_hides() -> None:
    """A frame lost while others queue up leaves no gap in the time of arrival."""
    hardware = [*range(1, 11), *range(12, 22)]
    assert dropped(np.arange(20) * 50) == 0
    assert dropped(np.arange(20) * 50, hardware) == 1


def test_failed_reads_and_the_wrap_are_no_drops() -> None:
    hardware = (np.arange(65530, 65550) % 65536).tolist()
    hardware[3] = hardware[9] = hardware[19] = -1
    assert dropped(np.arange(20) * 50, hardware) == 0


def test_a_restart_of_the_counter_is_counted_by_time_and_told() -> None:
    times = np.arange(20) * 50
    times[10:] += 500
    rows = rows_of(times, hardware=np.array([*range(60_000, 60_010), *range(1, 11)]))
    report = join(rows, 20).report
    assert report.dropped == 10
    assert "began anew 1 times" in report.rule


def test_without_two_good_reads_time_is_what_is_left() -> None:
    times = np.delete(np.arange(20) * 50, [5])
    rows = rows_of(times, hardware=np.full(19, -1))
    report = join(rows, 19).report
    assert (report.dropped, report.dropped_from) == (1, "gaps in time")


# -- whatever comes -------------------------------------------------------------------------------------
@settings(deadline=None)
@given(
    times=st.lists(st.floats(-1e13, 1e13, exclude_min=True, exclude_max=True), max_size=30),
    hardware=st.lists(st.integers(-(2**40), 2**40), min_size=30, max_size=30),
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=4).filter(sum),
    policy=st.sampled_from(["strict", "report"]),
    frames_per_file=st.none() | st.integers(1, 12),
    with_hardware=st.booleans(),
)
def test_any_rows_give_a_clock_or_our_own_error(
    times: list[float],
    hardware: list[int],
    counts: list[int],
    policy: ClockPolicy,
    frames_per_file: int | None,
    with_hardware: bool,
) -> None:
    numbers = np.array(hardware[: len(times)], np.int64) if with_hardware else None
    rows = rows_of(times, hardware=numbers)
    try:
        clock = join(rows, *counts, policy=policy, frames_per_file=frames_per_file)
    except RecordingError:
        return
    assert len(clock.timestamps_s) == clock.report.used <= min(len(times), sum(counts))
    assert np.isin(clock.timestamps_s, np.array(times) / 1000).all()
    assert clock.report.measured_fps > 0
    if policy == "strict":
        assert clock.report.used == len(times) == sum(counts)
        assert (np.diff(clock.timestamps_s) >= 0).all()


@settings(deadline=None)
@given(times=st.lists(st.integers(-50, 10**9), min_size=2, max_size=60, unique=True).map(sorted))
def test_a_good_clock_is_given_back_as_it_is(times: list[int]) -> None:
    clock = join(rows_of(times), len(times))
    np.testing.assert_array_equal(clock.timestamps_s, np.array(times) / 1000)
    assert clock.report.problems == ()
    assert clock.report.measured_fps == 1000 / np.median(np.diff(times))
