"""Envelopes: the minimum and maximum of every bin are exact, whatever the window, whichever way they are made."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from miniscope_core.models import TaskKey
from miniscope_core.pipeline.published import published_result
from miniscope_core.quality.masks import skewness_and_variance
from miniscope_core.result import ProcessingResult
from miniscope_core.storage.archive import Archive
from miniscope_core.web import envelopes
from miniscope_core.web.envelopes import (
    COURSES,
    Courses,
    Moments,
    bin_means,
    coarser,
    envelope,
    plan_window,
    standardised,
    window_of,
)
from tests.web.conftest import FRAMES, UNITS

VALUES = arrays(np.float32, st.integers(1, 300), elements=st.floats(-1e6, 1e6, width=32))


def bins(values: np.ndarray, step: int) -> list[np.ndarray]:
    return [values[start : start + step] for start in range(0, len(values), step)]


@given(VALUES, st.integers(1, 400))
def test_every_bin_has_its_minimum_and_maximum(values: np.ndarray, step: int) -> None:
    low, high = envelope(values, step)
    assert low.tolist() == [float(one.min()) for one in bins(values, step)]
    assert high.tolist() == [float(one.max()) for one in bins(values, step)]


@given(VALUES, st.integers(1, 20), st.integers(1, 20))
def test_coarser_bins_are_those_of_the_values(values: np.ndarray, step: int, factor: int) -> None:
    for made, expected in zip(coarser(*envelope(values, step), factor), envelope(values, step * factor), strict=True):
        np.testing.assert_array_equal(made, expected)


@given(VALUES, st.integers(1, 400))
def test_means_are_those_of_the_bins(values: np.ndarray, step: int) -> None:
    expected = [np.mean(one, dtype=np.float64) for one in bins(values, step)]
    np.testing.assert_allclose(bin_means(values, step), expected, rtol=1e-5, atol=1e-2)


@given(st.integers(-10, 1200), st.integers(-10, 1200), st.integers(1, 500), st.integers(1, 1000))
def test_window_holds_what_was_asked_in_no_more_columns(begin: int, end: int, columns: int, frames: int) -> None:
    start, stop, step = plan_window(begin, end, columns, frames)
    assert 0 <= start < stop <= frames
    assert start % step == 0
    assert stop % step == 0 or stop == frames
    assert start <= min(max(begin, 0), frames - 1)
    assert stop >= min(end, frames)
    # Bins begin at multiples of the step, so one may hang over at either end.
    assert -(-(stop - start) // step) <= columns + 2


@given(
    arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(3, 80)), elements=st.floats(-100, 100)),
    st.integers(1, 40),
)
def test_skewness_by_slabs_is_that_of_the_whole(values: np.ndarray, step: int) -> None:
    values = values + np.linspace(0, 500, values.shape[1]) ** 1.3
    moments = Moments(len(values))
    for start in range(0, values.shape[1], step):
        moments.add(values[:, start : start + step])
    np.testing.assert_allclose(moments.skewness(), skewness_and_variance(values)[0], rtol=1e-6, atol=1e-7)


def test_constant_rows_have_no_skewness_and_no_correlation() -> None:
    moments = Moments(1)
    moments.add(np.full((1, 9), 3.0))
    assert np.isnan(moments.skewness()).all()
    assert standardised(np.full((1, 9), 3, np.float32)).tolist() == [[0.0] * 9]


@pytest.fixture
def result(archive: Archive, task: TaskKey) -> ProcessingResult:
    return published_result(archive, task)


def truth(result: ProcessingResult, unit: int, start: int, stop: int) -> dict[str, np.ndarray]:
    values = {name: result.read(name)[unit, start:stop] for name in ("fluorescence", "traces", "activity")}
    return values | {"residual": values["fluorescence"] - values["traces"]}


WINDOWS = [(0, FRAMES, 100), (0, FRAMES, 1), (0, FRAMES, 2000), (700, 900, 150), (4090, 4100, 50), (4999, 5000, 10)]


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize(("begin", "end", "columns"), WINDOWS)
def test_courses_of_a_result_are_exact_before_and_after_they_are_summed_up(
    result: ProcessingResult, begin: int, end: int, columns: int, filled: bool
) -> None:
    courses = Courses(result)
    while filled and courses.fill_next():
        pass
    assert courses.ready is filled
    for unit in (0, 31, 32, UNITS - 1):
        window = courses.window(unit, begin, end, columns)
        expected = truth(result, unit, window.start, window.stop)
        for name in COURSES:
            low, high = envelope(expected[name], window.step)
            np.testing.assert_array_equal(window.low[name], low)
            np.testing.assert_array_equal(window.high[name], high)


def test_unit_that_is_looked_at_is_summed_up_first(result: ProcessingResult) -> None:
    courses = Courses(result)
    courses.window(UNITS - 1, 0, 10, 10)
    courses.fill_next()
    assert courses.is_filled(UNITS - 1)
    assert not courses.is_filled(0)


def test_memory_is_bounded_and_what_is_read_stays_right(
    result: ProcessingResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelopes, "_BLOCK_BYTES", 600_000)  # one chunk and a bit
    monkeypatch.setattr(envelopes, "_KEPT_BYTES", 200_000)
    courses = Courses(result)
    assert courses.step > 32
    for unit in (0, 35, 0):
        window = courses.window(unit, 0, FRAMES, FRAMES)
        np.testing.assert_array_equal(window.low["traces"], truth(result, unit, 0, FRAMES)["traces"])
    assert sum(block.nbytes for block in courses._blocks.values()) <= 600_000


def test_means_of_the_units_give_their_correlations(result: ProcessingResult) -> None:
    courses = Courses(result)
    while courses.fill_next():
        pass
    expected = np.corrcoef(bin_means(result.traces, courses.mean_step))
    np.testing.assert_allclose(courses.means @ courses.means.T, expected, atol=1e-5)
    np.testing.assert_allclose(courses.skewness, skewness_and_variance(result.fluorescence)[0], rtol=1e-4)


def test_courses_in_memory_are_cut_the_same_way(result: ProcessingResult) -> None:
    stored = {name: result.read(name)[3] for name in ("fluorescence", "traces", "activity")}
    window, expected = window_of(stored, 130, 4000, 90), Courses(result).window(3, 130, 4000, 90)
    assert (window.start, window.stop, window.step) == (expected.start, expected.stop, expected.step)
    for name in COURSES:
        np.testing.assert_array_equal(window.high[name], expected.high[name])
