"""Natural keys as people type and print them: ``subject1/2021-01-01T00:00:01/0/0/0``.

subject / session_datetime / recording_id / paramset_id / curation_id; a key with fewer parts names what is above.
"""

from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from miniscope_core.errors import EntityError
from miniscope_core.models.types import Count, KeyText, LocalTime


class NaturalKey(BaseModel):
    """What natural keys have in common: immutable, comparable, printed with slashes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def columns(self) -> dict[str, Any]:
        """Names and values of all parts, as the columns of a natural select are named."""
        parts: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            parts |= value.columns if isinstance(value, NaturalKey) else {name: value}
        return parts

    def __str__(self) -> str:
        return "/".join(key_part(value) for value in self.columns.values())


class SubjectKey(NaturalKey):
    """Names a subject."""

    subject: KeyText


class SessionKey(NaturalKey):
    """Names a session."""

    subject: KeyText
    session_datetime: LocalTime

    @property
    def parent(self) -> SubjectKey:
        """Key of the subject."""
        return SubjectKey(subject=self.subject)


class RecordingKey(NaturalKey):
    """Names a recording, its info and its files."""

    subject: KeyText
    session_datetime: LocalTime
    recording_id: Count

    @property
    def parent(self) -> SessionKey:
        """Key of the session."""
        return SessionKey(subject=self.subject, session_datetime=self.session_datetime)


class TaskKey(NaturalKey):
    """Names a task and its processing."""

    recording: RecordingKey
    paramset_id: Count

    @property
    def parent(self) -> RecordingKey:
        """Key of the recording."""
        return self.recording


class CurationKey(NaturalKey):
    """Names a curation and its results."""

    task: TaskKey
    curation_id: Count

    @property
    def parent(self) -> TaskKey:
        """Key of the processing."""
        return self.task


K = TypeVar("K", bound=NaturalKey)
AnyKey = SubjectKey | SessionKey | RecordingKey | TaskKey | CurationKey
_PARTS: Final = ("subject", "session_datetime", "recording_id", "paramset_id", "curation_id")


def key_part(value: Any) -> str:
    """Print one part of a natural key."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def parse_key(text: str) -> AnyKey:
    """Read a natural key as it is printed.

    Parameters
    ----------
    text
        One to five parts joined by slashes: subject, session_datetime, recording_id, paramset_id, curation_id.

    Returns
    -------
    SubjectKey, SessionKey, RecordingKey, TaskKey or CurationKey
        By the number of parts; ``str()`` of it gives the text again.

    Raises
    ------
    EntityError
        When a part is missing or not what its place asks for.
    """
    parts = text.split("/")
    if len(parts) > len(_PARTS):
        raise EntityError(f"Key {text!r}: got {len(parts)} parts, expected at most {len(_PARTS)}: {'/'.join(_PARTS)}.")
    try:
        return _typed([_read(name, part) for name, part in zip(_PARTS, parts, strict=False)])
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{first['loc'][-1]}: {first['msg'].removeprefix('Value error, ')}"
    except ValueError as error:
        reason = str(error)
    raise EntityError(f"Key {text!r} cannot be read: {reason}. Expected {'/'.join(_PARTS[: len(parts)])}.")


def _read(name: str, part: str) -> Any:
    if name == "subject":
        return part
    if name == "session_datetime":
        try:
            return datetime.fromisoformat(part)
        except ValueError as error:
            raise ValueError(f"session_datetime: got {part!r}, expected a time as 2021-01-01T00:00:01") from error
    if not (part.isascii() and part.isdecimal()):
        raise ValueError(f"{name}: got {part!r}, expected a whole number")
    return int(part)


def _typed(values: list[Any]) -> AnyKey:
    if len(values) == 1:
        return SubjectKey(subject=values[0])
    if len(values) == 2:
        return SessionKey(subject=values[0], session_datetime=values[1])
    recording = RecordingKey(subject=values[0], session_datetime=values[1], recording_id=values[2])
    if len(values) == 3:
        return recording
    task = TaskKey(recording=recording, paramset_id=values[3])
    return task if len(values) == 4 else CurationKey(task=task, curation_id=values[4])


def as_key(key: NaturalKey | str, kind: type[K]) -> K:
    """Return a key of one kind, given as a key or as text.

    Parameters
    ----------
    key
        A key, or its printed form.
    kind
        The kind it must be, e.g. ``RecordingKey``.

    Raises
    ------
    EntityError
        When it names something else, e.g. a session.
    """
    typed = parse_key(key) if isinstance(key, str) else key
    if isinstance(typed, kind):
        return typed
    expected = {SubjectKey: 1, SessionKey: 2, RecordingKey: 3, TaskKey: 4, CurationKey: 5}[kind]
    raise EntityError(
        f"Key {str(typed)!r}: got {len(str(typed).split('/'))} parts, expected {'/'.join(_PARTS[:expected])}."
    )
