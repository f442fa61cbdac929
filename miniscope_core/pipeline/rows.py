"""Small moves on rows that the stages share."""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from miniscope_core.models import Entity, Publication, StoredArray, make

E = TypeVar("E", bound=Entity)


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
    """Return one more than the highest number in a column, or 0; the unique constraint settles a race."""
    highest = session.scalar(select(func.max(column)).where(*conditions))
    return 0 if highest is None else int(highest) + 1


def stored_arrays(session: Session, publication: Publication) -> dict[str, StoredArray]:
    """Return the arrays of a publication by name."""
    rows = session.scalars(select(StoredArray).filter_by(publication_pk=publication.id))
    return {row.name: row for row in rows}
