"""The hash of a parameter set: that of the DataJoint workflow, whatever the order, and nothing forgiven."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniscope_core.errors import ParameterError
from miniscope_core.models import param_set_hash
from tests.models.example import HASH, PARAMETERS


def test_the_hash_of_the_workflow_reproduces() -> None:
    assert param_set_hash(PARAMETERS) == HASH


@given(st.permutations(list(PARAMETERS)))
def test_the_order_of_the_parameters_does_not_matter(order: list[str]) -> None:
    assert param_set_hash({name: PARAMETERS[name] for name in order}) == HASH


@pytest.mark.parametrize("change", [{"gSig": [3, 3]}, {"p": 2}, {"p": 1.0}, {"K": "none"}, {"extra": None}])
def test_any_other_value_is_another_hash(change: dict[str, Any]) -> None:
    assert param_set_hash(PARAMETERS | change) != HASH


def test_numpy_scalars_hash_as_the_numbers_they_are() -> None:
    assert param_set_hash(PARAMETERS | {"min_corr": np.float64(0.8), "p": np.int64(1)}) == HASH


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ParameterError, match="expected text"):
        param_set_hash({1: 2})  # type: ignore[dict-item]
