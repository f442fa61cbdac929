"""Natural keys: what is printed is read back, and nothing else is taken for a key."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from miniscope_core.errors import EntityError
from miniscope_core.models import CurationKey, RecordingKey, SessionKey, SubjectKey, TaskKey, as_key, parse_key

subjects = st.text(min_size=1, max_size=40).filter(lambda s: s.isprintable() and s == s.strip() and "/" not in s)
times = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31))
numbers = st.integers(0, 2**31 - 1)
recordings = st.builds(RecordingKey, subject=subjects, session_datetime=times, recording_id=numbers)
tasks = st.builds(TaskKey, recording=recordings, paramset_id=numbers)
keys = st.one_of(
    st.builds(SubjectKey, subject=subjects),
    st.builds(SessionKey, subject=subjects, session_datetime=times),
    recordings,
    tasks,
    st.builds(CurationKey, task=tasks, curation_id=numbers),
)


@given(keys)
def test_a_printed_key_is_read_back(key: CurationKey) -> None:
    assert parse_key(str(key)) == key
    assert type(parse_key(str(key))) is type(key)


@given(st.text(alphabet="ab01:-T/. ", max_size=40))
def test_any_text_is_a_key_or_one_clear_line(text: str) -> None:
    message = ""
    try:
        assert len(parse_key(text).columns) == text.count("/") + 1
    except EntityError as error:
        message = str(error)
    assert "\n" not in message
    assert not message or repr(text) in message


def test_the_key_of_the_data_model_is_read() -> None:
    key = parse_key("subject1/2021-01-01T00:00:01/0/0/0")
    assert isinstance(key, CurationKey)
    assert list(key.columns) == ["subject", "session_datetime", "recording_id", "paramset_id", "curation_id"]
    assert str(key.parent) == "subject1/2021-01-01T00:00:01/0/0"
    assert str(key.parent.parent.parent.parent) == "subject1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "subject"),
        ("/2021-01-01T00:00:01", "subject"),
        ("a/yesterday", "'yesterday', expected a time as 2021-01-01T00:00:01"),
        ("a/2021-01-01T00:00:01Z", "without zone"),
        ("a/2021-01-01T00:00:01/x", "recording_id: got 'x', expected a whole number"),
        ("a/2021-01-01T00:00:01/-1", "recording_id: got '-1'"),
        ("a/2021-01-01T00:00:01/\u0663", "recording_id"),
        ("a/2021-01-01T00:00:01/0/99999999999", "paramset_id"),
        ("a/2021-01-01T00:00:01/0/", "paramset_id: got ''"),
        ("a/2021-01-01T00:00:01/0/0/0/0", "6 parts, expected at most 5"),
    ],
)
def test_what_is_no_key_is_refused_with_the_part_that_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(EntityError) as caught:
        parse_key(text)
    assert reason in str(caught.value)


def test_keys_are_values() -> None:
    key = RecordingKey(subject="a", session_datetime=datetime(2021, 1, 1), recording_id=0)
    assert len({key, RecordingKey(subject="a", session_datetime=datetime(2021, 1, 1), recording_id=0)}) == 1
    with pytest.raises(ValidationError):
        key.recording_id = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        RecordingKey(subject="a", session_datetime=datetime(2021, 1, 1, tzinfo=UTC), recording_id=0)


def test_a_key_of_one_kind_is_taken_as_text_or_as_key() -> None:
    key = as_key("a/2021-01-01T00:00:00/0", RecordingKey)
    assert key.recording_id == 0
    assert as_key(key, RecordingKey) is key
    with pytest.raises(EntityError, match="got 1 parts, expected subject/session_datetime/recording_id"):
        as_key("a", RecordingKey)
