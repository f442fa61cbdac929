"""Small moves on rows that the stages share."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core.errors import ConflictError
from miniscope_core.models import Channel, Entity, Publication, Sex, StoredArray, make

E = TypeVar("E", bound=Entity)
_EMPTY: Final = (None, "", Sex.U)


def lock_writers(session: Session) -> None:
    """Let one transaction at a time look for what is there and add what is not, until it ends.

    Two runs that ask for the next free number, or for a subject that nobody recorded yet, would both find it free,
    and the constraints would stop one of them with an error that only running it again cures. The lock is on a row
    that every database has; readers do not wait.
    """
    session.execute(update(Channel).where(col(Channel.channel) == 0).values(channel=0))


def missing_values(what: str, current: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given values that a row lacks.

    Parameters
    ----------
    what
        The row, for the message.
    current
        Its values; None, empty text and an unknown sex are a gap.
    given
        What it shall hold; a gap is no wish.

    Raises
    ------
    ConflictError
        When the row holds something else.
    """
    wanted = {name: value for name, value in given.items() if value not in _EMPTY and value != current[name]}
    for name, value in wanted.items():
        if current[name] not in _EMPTY:
            raise ConflictError(
                f"{what} is there already with other values: got {name} {str(value)!r}, "
                f"expected {str(current[name])!r}. Nothing was overwritten."
            )
    return wanted


def find_or_add(session: Session, entity: type[E], *, defaults: dict[str, Any] | None = None, **key: Any) -> E:
    """Return the row with these values, added with ``defaults`` where there is none.

    Parameters
    ----------
    session
        Open session; the row is flushed, committing is the caller's.
    entity
        Table class.
    defaults
        Further fields of a new row; a row that is there keeps its own.
    **key
        Columns that identify the row.
    """
    row = session.scalars(select(entity).filter_by(**key)).first()
    if row is None:
        row = make(entity, **key, **(defaults or {}))
        session.add(row)
        session.flush()
    return row


def next_number(session: Session, column: Any, *conditions: ColumnElement[bool]) -> int:
    """Return one more than the highest number in a column, or 0; ask for it under :func:`lock_writers`."""
    highest = session.scalar(select(func.max(column)).where(*conditions))
    return 0 if highest is None else int(highest) + 1


def stored_arrays(session: Session, publication: Publication) -> dict[str, StoredArray]:
    """Return the arrays of a publication by name."""
    rows = session.scalars(select(StoredArray).filter_by(publication_pk=publication.id))
    return {row.name: row for row in rows}
