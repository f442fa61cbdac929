"""Values come back from the database as they went in."""

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from miniscope_core import models as m
from miniscope_core.models import make, param_set_hash
from miniscope_core.models.types import decode_json, encode_json
from miniscope_core.storage.database import Database

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
keys = st.text() | st.sampled_from(["__tuple__", "__float__", "__dict__"]) | st.integers() | st.booleans()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Compare with types, order of keys and NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, float):
        return left.hex() == right.hex() or (math.isnan(left) and math.isnan(right))
    return bool(left == right)


@given(values)
@example({"__tuple__": [1]})
@example({"__dict__": []})
@example({1: (), "1": []})
def test_any_value_survives_json(value: Any) -> None:
    text = json.dumps(encode_json(value), allow_nan=False)
    assert same(decode_json(json.loads(text)), value)


def test_plain_json_is_stored_plainly() -> None:
    content = {"ROI": {"width": 608}, "frameRate": "20FPS", "list": [1, 2.5, None, True]}
    assert encode_json(content) == content


@given(st.dictionaries(st.text(), values, max_size=5))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example({"text": "\x00 \ud800 µ 😀", "huge": 10**40, "floats": (math.nan, math.inf, -0.0, 5e-324)})
def test_parameters_and_their_hash_survive_the_database(database: Database, params: dict[str, Any]) -> None:
    with database.session() as session:
        row = make(
            m.ProcessingParamSet,
            paramset_id=0,
            processing_method_pk=1,
            param_set_hash=param_set_hash({}),
            params=params,
        )
        session.add(row)
        session.flush()
        session.expire(row)
        found = session.exec(select(m.ProcessingParamSet.params)).one()
        session.delete(row)
    assert same(found, params)


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", [object()], {"a": {3}}])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="expected JSON values"):
        encode_json(value)
