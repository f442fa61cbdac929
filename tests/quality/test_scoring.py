"""Scores against cases whose right number can be worked out by hand."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from miniscope_core.errors import ResultError
from miniscope_core.quality import GroundTruth, score_units
from miniscope_core.quality.scoring import moved, shift_error
from tests.simulation import simulate

SHAPE = (20, 30)


def disk(y: float, x: float, radius: float = 3.0) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray(np.hypot(rows - y, columns - x) <= radius, np.float32)


def made_truth(**changes: object) -> GroundTruth:
    rng = np.random.default_rng(0)
    stack = np.stack([disk(5, 6), disk(5, 20), disk(14, 8), disk(13, 22)])
    arrays: dict[str, object] = {
        "footprints": stack,
        "traces": rng.random((4, 50)),
        "spikes": rng.integers(0, 2, (4, 50)),
        "motion_px": rng.normal(0, 2, (50, 2)),
    }
    return GroundTruth.from_dense(**(arrays | changes))  # type: ignore[arg-type]


def rows(stack: np.ndarray) -> "sp.csr_array":
    return sp.csr_array(np.asarray(stack).reshape(len(stack), SHAPE[0] * SHAPE[1]))


def test_truth_scores_perfectly_against_itself_in_any_order_and_scale() -> None:
    truth = made_truth()
    order = np.array([2, 0, 3, 1])
    assert truth.motion_px is not None
    score = score_units(
        sp.csr_array(truth.footprints[order] * 7),
        truth,
        traces=truth.traces[order] * 3 + 1,
        activity=truth.spikes[order] * 0.2,
        shifts_px=-truth.motion_px,
    )
    assert (score.precision, score.recall, score.f1) == (1, 1, 1)
    assert score.trace_correlation == pytest.approx(1)
    assert score.activity_correlation == pytest.approx(1)
    assert score.shift_rmse_px == pytest.approx(0, abs=1e-12)
    assert dict(score.pairs.tolist()) == {0: 2, 1: 0, 2: 3, 3: 1}


def test_precision_and_recall_have_their_own_denominators() -> None:
    truth = made_truth()
    score = score_units(rows(np.stack([disk(5, 6), disk(5, 20), disk(9, 14, 2.0)])), truth)
    assert score.found_count == 2
    assert score.precision == pytest.approx(2 / 3)
    assert score.recall == pytest.approx(2 / 4)
    assert score.f1 == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert math.isnan(score.trace_correlation)
    assert math.isnan(score.shift_rmse_px)


def test_a_mask_over_two_cells_is_found_once_at_most() -> None:
    truth = made_truth(footprints=np.stack([disk(5, 6), disk(5, 12), disk(14, 8), disk(13, 22)]))
    score = score_units(rows((disk(5, 6) + disk(5, 12))[None]), truth)
    assert score.found_count == 1  # cosine 1/√2, just above the bar
    assert score_units(rows((disk(5, 6) + 2 * disk(9, 20))[None]), truth).found_count == 0


def test_one_cell_split_in_two_counts_once_and_lowers_precision() -> None:
    whole = disk(5, 6)
    left, right = whole.copy(), whole.copy()
    left[:, 7:] = 0
    right[:, :7] = 0
    score = score_units(rows(np.stack([left, right])), made_truth())
    assert score.found_count == 1
    assert score.precision == 0.5


def test_assignment_is_optimal_and_not_greedy() -> None:
    first, second = disk(8, 10, 4), disk(8, 12, 4)
    truth = made_truth(
        footprints=np.stack([first, second]),
        traces=np.random.default_rng(0).random((2, 50)),
        spikes=np.ones((2, 50)),
    )
    units = np.stack([0.6 * first + 0.4 * second, first * 0.9 + 0.1 * disk(8, 8, 4)])
    assert score_units(rows(units), truth).found_count == 2


def test_undetectable_cells_are_no_part_of_the_recall_unless_asked_for() -> None:
    truth = made_truth(detectable=[True, True, True, False])
    units = rows(np.stack([disk(5, 6), disk(5, 20), disk(14, 8)]))
    assert score_units(units, truth).recall == 1
    assert score_units(units, truth, detectable_only=False).recall == 0.75
    assert score_units(units, truth).planted_count == 4


def test_pairs_name_cells_by_their_place_among_all_planted_ones() -> None:
    truth = made_truth(detectable=[False, True, True, True])
    assert score_units(rows(disk(13, 22)[None]), truth).pairs.tolist() == [[0, 3]]


@pytest.mark.parametrize("offset", [(2, -3), (-1, 4)])
def test_constant_template_offset_is_absorbed_from_shifts_and_footprints(offset: tuple[int, int]) -> None:
    """A template off by ``offset`` puts every footprint ``-offset`` away from its place at rest."""
    truth = made_truth()
    assert truth.motion_px is not None
    units = moved(truth.footprints, SHAPE, (-offset[0], -offset[1]))
    score = score_units(units, truth, shifts_px=-(truth.motion_px + np.array(offset)))
    assert score.offset_px == offset
    assert score.shift_rmse_px == pytest.approx(0, abs=1e-9)
    assert score.found_count == 4


def test_shift_error_is_large_when_the_sign_or_the_axes_are_wrong() -> None:
    motion = simulate((40, 48), 100, 2, motion_px=1.5).motion_px
    assert shift_error(-motion, motion)[1] == pytest.approx(0, abs=1e-12)
    assert shift_error(motion, motion)[1] > 2
    assert shift_error(-motion[:, ::-1], motion)[1] > 1


def test_known_jitter_gives_its_own_rmse() -> None:
    motion = np.zeros((4, 2))
    shifts = np.array([[1.0, 0], [-1, 0], [1, 0], [-1, 0]])
    assert shift_error(shifts, motion)[1] == pytest.approx(math.sqrt(0.5))


def test_constant_trace_is_left_out_of_the_median() -> None:
    truth = made_truth()
    traces = truth.traces.copy()
    traces[1] = 4.0
    assert score_units(truth.footprints, truth, traces=traces).trace_correlation == pytest.approx(1)
    assert math.isnan(score_units(truth.footprints, truth, traces=np.ones((4, 50))).trace_correlation)


def test_no_units_score_zero_without_warnings() -> None:
    empty = sp.csr_array((0, SHAPE[0] * SHAPE[1]))
    score = score_units(empty, made_truth(), traces=np.empty((0, 50)), activity=np.empty((0, 50)))
    assert (score.precision, score.recall, score.f1, score.unit_count) == (0, 0, 0, 0)
    assert math.isnan(score.trace_correlation)
    assert "found 0 of 4" in score.summary()


def test_empty_footprint_is_no_find_and_no_division_by_zero() -> None:
    units = np.stack([disk(5, 6), np.zeros(SHAPE, np.float32)])
    assert score_units(rows(units), made_truth()).found_count == 1


def test_footprints_of_another_size_are_refused() -> None:
    with pytest.raises(ResultError, match=r"footprints: got shape \(99,\), expected \(600,\)"):
        score_units(sp.csr_array(np.ones((2, 99))), made_truth())


def test_traces_of_another_length_are_refused() -> None:
    with pytest.raises(ResultError, match=r"traces: got shape \(4, 49\)"):
        score_units(made_truth().footprints, made_truth(), traces=np.ones((4, 49)))


@given(dy=st.integers(-25, 25), dx=st.integers(-35, 35))
@settings(max_examples=60, deadline=None)
def test_moving_is_a_slice_in_dense_form(dy: int, dx: int) -> None:
    stack = np.random.default_rng(1).random((3, *SHAPE))
    expected = np.zeros_like(stack)
    height, width = SHAPE
    if abs(dy) < height and abs(dx) < width:
        expected[:, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = stack[
            :, max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
        ]
    got = moved(rows(stack), SHAPE, (dy, dx)).toarray().reshape(stack.shape)
    np.testing.assert_allclose(got, expected)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_score_does_not_depend_on_the_order_of_units(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = made_truth()
    units = np.clip(truth.footprints.toarray() + rng.normal(0, 0.4, (4, 600)), 0, None)
    traces = truth.traces + rng.normal(0, 0.2, (4, 50))
    order = rng.permutation(4)
    first = score_units(sp.csr_array(units), truth, traces=traces)
    second = score_units(sp.csr_array(units[order]), truth, traces=traces[order])
    assert first.f1 == second.f1
    assert first.trace_correlation == pytest.approx(second.trace_correlation)
