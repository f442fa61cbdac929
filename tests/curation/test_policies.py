"""Policies: typed rules and the decision of each."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from miniscope_core.curation.policies import AcceptEngine, CurationPolicy, Policy, decide
from miniscope_core.result import ResultWriter
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
