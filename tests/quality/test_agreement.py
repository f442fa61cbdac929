"""Agreement of two results: the same cells are found again, whatever their order, scale and template."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from miniscope_core.errors import ResultError
from miniscope_core.quality import compare_results, score_units
from miniscope_core.quality.scoring import moved
from miniscope_core.quality.truth import GroundTruth
from miniscope_core.result import ProcessingResult, ResultWriter
from tests.archives import FRAMES, HEIGHT, WIDTH, boxes, stand_in_arrays, write_result

ORDER = [4, 2, 0, 5, 1, 3]


def result(folder: Path, footprints: sp.csr_array | None = None, **changes: Any) -> ProcessingResult:
    rows = boxes() if footprints is None else footprints
    everything = stand_in_arrays() | {"accepted": np.ones(6, bool)} | changes
    return write_result(ResultWriter(folder), rows, everything)


def test_result_agrees_with_itself(tmp_path: Path) -> None:
    one = result(tmp_path / "one")
    found = compare_results(one, one)
    assert found.pairs.tolist() == [[unit, unit] for unit in range(6)]
    assert np.allclose([found.similarity, found.trace_r, found.activity_r], 1)
    assert (found.offset_px, found.first_only.tolist(), found.second_only.tolist()) == ((0, 0), [], [])
    assert found.shift_rms_px == 0


def test_cells_are_matched_whatever_their_order_and_scale(tmp_path: Path) -> None:
    arrays = stand_in_arrays()
    other = {name: 3 * arrays[name][ORDER] + 1 for name in ("traces", "activity")}
    found = compare_results(result(tmp_path / "one"), result(tmp_path / "two", 5 * boxes()[ORDER], **other))
    assert {(a, ORDER[b]) for a, b in found.pairs.tolist()} == {(unit, unit) for unit in range(6)}
    assert np.allclose([found.trace_r, found.activity_r], 1, atol=1e-5)


def test_template_that_lies_elsewhere_is_allowed_for(tmp_path: Path) -> None:
    shifts = stand_in_arrays()["shifts_px"]
    first = result(tmp_path / "one")  # none of whose footprints leaves the field
    gone = moved(sp.csr_array(first.footprints), first.shape, (1, -3))
    second = result(tmp_path / "two", gone, shifts_px=shifts + np.array([1, -3]))
    found = compare_results(first, second)
    assert found.offset_px == (-1, 3)
    assert np.allclose(found.similarity, 1, atol=1e-6)
    assert found.shift_rms_px == pytest.approx(0, abs=1e-6)


def test_shift_difference_is_the_root_mean_square_over_both_axes(tmp_path: Path) -> None:
    shifts = stand_in_arrays()["shifts_px"]
    change = np.where(np.arange(FRAMES) % 2, 1.0, -1.0)[:, None] * np.array([3, 4])
    found = compare_results(result(tmp_path / "one"), result(tmp_path / "two", shifts_px=shifts + change))
    assert found.shift_rms_px == pytest.approx(np.sqrt(12.5), rel=1e-5)


def test_units_without_a_partner_are_of_one_only(tmp_path: Path) -> None:
    first = result(tmp_path / "one", accepted=np.arange(6) != 2)
    second = result(tmp_path / "two", accepted=np.arange(6) != 4)
    found = compare_results(first, second)
    assert found.pairs[:, 0].tolist() == [0, 1, 3, 5]
    assert (found.first_only.tolist(), found.second_only.tolist()) == ([4], [2])
    assert len(compare_results(first, second, units="all").pairs) == 6


def test_footprints_less_alike_than_the_threshold_are_no_pair(tmp_path: Path) -> None:
    first = result(tmp_path / "one")
    wider = first.footprints.toarray().reshape(6, HEIGHT, WIDTH)
    wider[0, 3:15, 17:41] = 1  # three times the area: cosine 0.58
    second = result(tmp_path / "two", sp.csr_array(wider.reshape(6, -1)))
    assert 0 in compare_results(first, second).first_only
    assert 0 not in compare_results(first, second, threshold=0.5).first_only


def test_what_is_not_known_is_nan(tmp_path: Path) -> None:
    nothing = np.full((FRAMES, 2), np.nan)
    flat = stand_in_arrays()["activity"]
    flat[3] = 1
    found = compare_results(result(tmp_path / "one"), result(tmp_path / "two", shifts_px=nothing, activity=flat))
    assert np.isnan(found.shift_rms_px)
    assert found.offset_px == (0, 0)
    assert np.flatnonzero(np.isnan(found.activity_r)).tolist() == [3]


def test_results_without_accepted_units_have_nothing_in_common(tmp_path: Path) -> None:
    one = result(tmp_path / "one", accepted=np.zeros(6, bool))
    found = compare_results(one, one)
    assert (found.pairs.shape, found.trace_r.shape, len(found.first_only)) == ((0, 2), (0,), 0)


def test_results_of_other_recordings_are_refused(tmp_path: Path) -> None:
    arrays = {name: stand_in_arrays(FRAMES + 1)[name] for name in ("traces", "shifts_px")}
    with_more = write_result(ResultWriter(tmp_path / "two"), boxes(), arrays, info={"frame_count": FRAMES + 1})
    with pytest.raises(ResultError, match="got 31 frames of 40×56 px in the second, expected 30 of 40×56"):
        compare_results(result(tmp_path / "one"), with_more)


def test_score_without_known_shifts_is_that_of_the_footprints() -> None:
    arrays = stand_in_arrays()
    truth = GroundTruth(
        shape=(HEIGHT, WIDTH),
        footprints=boxes(),
        traces=arrays["traces"],
        spikes=arrays["activity"],
        detectable=np.ones(6, bool),
        motion_px=np.ones((FRAMES, 2)),
    )
    score = score_units(boxes(), truth, shifts_px=np.full((FRAMES, 2), np.nan))
    assert score.found_count == 6
    assert np.isnan(score.shift_rmse_px)
