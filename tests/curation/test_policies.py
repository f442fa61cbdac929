"""Policies: typed rules and the decision of each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from miniscope_core.curation.policies import AcceptEngine, CurationPolicy, Manual, Policy, Thresholds, decide
from miniscope_core.errors import CurationError
from miniscope_core.result import ProcessingResult, ResultWriter
from tests.archives import boxes, stand_in_arrays, write_result


def test_engines_acceptance_is_taken_unit_by_unit(tmp_path: Path) -> None:
    accepted = np.array([True, False, True, True, False, False])
    result = write_result(ResultWriter(tmp_path / "r"), boxes(), stand_in_arrays() | {"accepted": accepted})
    decision = decide(AcceptEngine(), result)
    assert decision.dtype == np.bool_
    assert decision.tolist() == accepted.tolist()


def test_policy_survives_its_way_through_json() -> None:
    adapter = TypeAdapter[CurationPolicy](CurationPolicy)
    assert adapter.validate_json(AcceptEngine().model_dump_json()) == AcceptEngine()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValidationError):
        AcceptEngine.model_validate({"kind": "accept_engine", "min_snr": 3})


def test_policy_without_a_rule_is_refused_with_its_name(tmp_path: Path) -> None:
    class Undecided(Policy):
        """Nobody wrote a rule for it."""

    result = write_result(ResultWriter(tmp_path / "r"), boxes(), stand_in_arrays())
    with pytest.raises(TypeError, match="Undecided"):
        decide(Undecided(), result)


# -- thresholds ----------------------------------------------------------------------------------------------
def result_with(folder: Path, **arrays: NDArray[Any]) -> ProcessingResult:
    return write_result(ResultWriter(folder / "r"), boxes(), stand_in_arrays() | arrays)


def test_thresholds_take_the_units_within_all_bounds(tmp_path: Path) -> None:
    # 144, 100, 154, 60, 1 and 121 px
    result = result_with(tmp_path, snr=np.array([9.0, 9, 2, 9, 9, 4]), accepted=np.zeros(6, bool))
    assert decide(Thresholds(min_snr=3, min_npix=60, max_npix=144), result).tolist() == [1, 1, 0, 1, 0, 1]
    assert decide(Thresholds(min_snr=9), result).tolist() == [1, 1, 0, 1, 1, 0]


def test_thresholds_may_only_narrow_what_the_engine_accepted(tmp_path: Path) -> None:
    result = result_with(tmp_path, snr=np.full(6, 5.0), accepted=np.arange(6) < 2)
    assert decide(Thresholds(min_snr=3, only_engine_accepted=True), result).tolist() == [1, 1, 0, 0, 0, 0]
    assert result.accepted.tolist() == [1, 1, 0, 0, 0, 0]


def test_a_unit_whose_number_was_not_measured_is_not_within_bounds(tmp_path: Path) -> None:
    result = result_with(tmp_path, snr=np.array([np.nan, 9, 9, 9, 9, 9]))
    assert decide(Thresholds(min_snr=0), result).tolist() == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("cnn", [None, np.full(6, np.nan)])
def test_a_bound_on_what_no_unit_has_is_an_error(tmp_path: Path, cnn: NDArray[Any] | None) -> None:
    result = result_with(tmp_path, **({} if cnn is None else {"cnn_pred": cnn}))
    with pytest.raises(CurationError, match=r"min_cnn_pred=0\.5 .*no cnn_pred"):
        decide(Thresholds(min_cnn_pred=0.5), result)


def test_thresholds_that_bound_nothing_or_everything_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least one bound"):
        Thresholds()
    with pytest.raises(ValidationError, match="no unit fits both"):
        Thresholds(min_npix=9, max_npix=3)


def test_waiting_for_a_person_is_no_rule(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Manual"):
        decide(Manual(), result_with(tmp_path))
