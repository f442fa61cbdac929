"""Types of fields and of columns: what a value may be, and how every database gives it back as it was."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import sqlalchemy as sa
from annotated_types import Ge, Le
from pydantic import AfterValidator, AllowInfNan, BeforeValidator, StringConstraints
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

INTEGER_MAX: Final = 2**31 - 1
BIG_INTEGER_MAX: Final = 2**63 - 1
# PostgreSQL refuses an index entry above 2704 bytes, and one character may take four.
NAME_LENGTH: Final = 255
PREFIX_LENGTH: Final = 512


# -- text -----------------------------------------------------------------------------------------------
def _one_line(limit: int, forbidden: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not value or value != value.strip() or not value.isprintable():
            raise ValueError("expected one line of printable text without blanks at its ends")
        if len(value) > limit:
            raise ValueError(f"expected at most {limit} characters, got {len(value)}")
        if any(character in value for character in forbidden):
            raise ValueError(f"expected none of the characters {forbidden!r}")
        return value

    return check


def _stored_path(value: Any) -> Any:
    text = value.as_posix() if isinstance(value, Path) else value
    if isinstance(text, str) and ("\\" in text or ".." in text.split("/")):
        raise ValueError("expected a path with forward slashes and without '..'")
    return text


Name = Annotated[str, AfterValidator(_one_line(NAME_LENGTH, ""))]
"""What people type to name a thing."""
KeyText = Annotated[str, AfterValidator(_one_line(NAME_LENGTH, "/"))]
"""A name that stands in a printed natural key, whose parts are joined by slashes."""
Prefix = Annotated[str, AfterValidator(_one_line(PREFIX_LENGTH, "\\"))]
"""Address within the object store."""
StoredPath = Annotated[str, BeforeValidator(_stored_path)]
"""Path with forward slashes: relative to a raw-data root, or absolute where the files lie below none."""
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""SHA-256 digest, 64 hexadecimal digits."""


# -- numbers --------------------------------------------------------------------------------------------
def _nan_is_none(value: Any) -> Any:
    return None if isinstance(value, float | np.floating) and math.isnan(value) else value


RowId = int | None
"""Primary key; None until the row is inserted."""
Count = Annotated[int, Ge(0), Le(INTEGER_MAX)]
BigCount = Annotated[int, Ge(0), Le(BIG_INTEGER_MAX)]
"""Count of bytes; its column needs ``sa_type=BigInteger``."""
Finite = Annotated[float, AllowInfNan(False)]
Measure = Annotated[float | None, BeforeValidator(_nan_is_none)]
"""A measured number. NaN means *not measured* and is None here and NULL in every database, because
PostgreSQL sorts NaN above all numbers (``snr > 3`` would find it) and SQLite has none; infinity stays."""


class MeasureColumn(TypeDecorator[float]):
    """Column of a :data:`Measure`."""

    impl = sa.Float
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """Turn NaN into NULL."""
        return None if value is None or math.isnan(value) else float(value)

    def process_result_value(self, value: float | None, dialect: Dialect) -> float | None:
        """Give the number, or None."""
        return value


# -- times ----------------------------------------------------------------------------------------------
def _local(value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise ValueError("expected local time at the rig, without zone. Leave the zone out")
    return value


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("expected a time with its zone, as datetime.now(UTC) gives")
    return value.astimezone(UTC)


LocalTime = Annotated[datetime, AfterValidator(_local)]
"""Local time at the rig without zone, as acquisition programs write it; column ``LocalTimeColumn``."""
UtcTime = Annotated[datetime, AfterValidator(_utc)]
"""Machine time in UTC; column ``UtcTimeColumn``."""


class LocalTimeColumn(TypeDecorator[datetime]):
    """Column of a :data:`LocalTime`; refuses times with a zone, even in a comparison."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time with zone."""
        return None if value is None else _local(value)


class UtcTimeColumn(TypeDecorator[datetime]):
    """Column of a :data:`UtcTime`: UTC comes back as UTC from SQLite too, which keeps no zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; refuse a time without zone."""
        if value is None:
            return None
        utc = _utc(value)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the time in UTC, whatever the zone of the server's session."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# -- choices --------------------------------------------------------------------------------------------
def choice(values: type[StrEnum]) -> Any:
    """Give the column type of a closed choice: text with a CHECK, so that a new value needs no ALTER TYPE."""
    name = "".join("_" + c.lower() if c.isupper() else c for c in values.__name__).lstrip("_")
    return sa.Enum(
        values,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


# -- JSON that comes back as it was -----------------------------------------------------------------------
_TUPLE: Final = "__tuple__"
_FLOAT: Final = "__float__"
_DICT: Final = "__dict__"
_TAGS: Final = frozenset({_TUPLE, _FLOAT, _DICT})


def encode_json(value: Any) -> Any:
    """Turn a value into plain JSON that :func:`decode_json` turns back exactly.

    Tuples, numbers that are not finite and dictionaries with keys that are not text are tagged; everything
    else is as JSON has it. Lists stay lists: the hash of a parameter set tells ``(3, 3)`` from ``[3, 3]``.

    Parameters
    ----------
    value
        None, bool, int, float, str, NumPy scalars, and lists, tuples and dictionaries of them.

    Raises
    ------
    TypeError
        For anything else (an array belongs in the object store).
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [encode_json(item) for item in value]
    if isinstance(value, tuple):
        return {_TUPLE: [encode_json(item) for item in value]}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value) and not _TAGS.intersection(value):
            return {key: encode_json(item) for key, item in value.items()}
        return {_DICT: [[encode_json(key), encode_json(item)] for key, item in value.items()]}
    raise TypeError(f"expected JSON values, tuples and numbers, got {type(value).__name__}")


def decode_json(value: Any) -> Any:
    """Undo :func:`encode_json`."""
    if isinstance(value, list):
        return [decode_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag == _TUPLE:
            return tuple(decode_json(item) for item in content)
        if tag == _FLOAT:
            return float(content)
        if tag == _DICT:
            return {decode_json(key): decode_json(item) for key, item in content}
    return {key: decode_json(item) for key, item in value.items()}


class ExactJson(TypeDecorator[Any]):
    """JSON column that gives back tuples as tuples, NaN as NaN, and keys in their order."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Tag what JSON does not have."""
        return encode_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Resolve the tags."""
        return decode_json(value)


def _storable_json(value: Any) -> Any:
    try:
        # The round trip also copies: what the caller changes later is not what was stored.
        return decode_json(encode_json(value))
    except TypeError as error:
        raise ValueError(str(error)) from error


JsonValue = Annotated[Any, BeforeValidator(_storable_json)]
"""Anything JSON has, that comes back exactly; column ``ExactJson``."""
JsonDict = Annotated[dict[str, Any], BeforeValidator(_storable_json)]
"""JSON object that comes back exactly; column ``ExactJson``."""
JsonList = Annotated[list[Any], BeforeValidator(_storable_json)]
"""JSON list that comes back exactly; column ``ExactJson``."""
