"""Rows by their natural keys: selects that carry every ancestor's key, look-up, and printing."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from miniscope_core.errors import EntityError, NotFoundError
from miniscope_core.models.base import E, Entity, entity_of, table_of
from miniscope_core.models.keys import key_part


@dataclass(frozen=True)
class NaturalColumn:
    """One column of a natural select: which foreign keys lead to it, and what it is called."""

    path: tuple[str, ...]
    column: str
    label: str


def _target(entity: type[Entity], column: str) -> type[Entity] | None:
    """Return the class that a foreign-key column refers to, or None for any other column."""
    for key in table_of(entity).c[column].foreign_keys:
        return entity_of(key.column.table)
    return None


def _label(stem: str, target: type[Entity], label: str, alone: bool) -> str:
    # A foreign key named after its table (device_pk) or its key (paramset_pk) keeps the key's own name; one
    # named after a role (segmentation_channel_pk, parent_curation_pk) gives its name to what it brings.
    if stem == table_of(target).name or label.startswith(stem):
        return label
    return stem if alone else f"{stem}_{label}"


@cache
def natural_columns(entity: type[Entity]) -> tuple[NaturalColumn, ...]:
    """Return the flat natural key: the entity's own columns and its ancestors', from the top down.

    A name that two routes lead to (the curation of a trace, by its mask and by its traces) is there once.
    """
    found: dict[str, NaturalColumn] = {}
    for member in entity.natural_key:
        target = _target(entity, member)
        if target is None:
            found.setdefault(member, NaturalColumn((), member, member))
            continue
        above = natural_columns(target)
        for item in above:
            label = _label(member.removesuffix("_pk"), target, item.label, True) if len(above) == 1 else item.label
            found.setdefault(label, NaturalColumn((member, *item.path), item.column, label))
    return tuple(found.values())


@cache
def all_columns(entity: type[Entity]) -> tuple[NaturalColumn, ...]:
    """Return the natural key, then every other field; a foreign key as the natural key it stands for."""
    found = {item.label: item for item in natural_columns(entity)}
    own_key = frozenset(found)
    for column in table_of(entity).c:
        if column.name == "id" or column.name in entity.natural_key:
            continue
        target = _target(entity, column.name)
        items = (
            (NaturalColumn((), column.name, column.name),) if target is None else _brought(column.name, target, own_key)
        )
        for item in items:
            found.setdefault(item.label, item)
    return tuple(found.values())


def _brought(member: str, target: type[Entity], own_key: frozenset[str]) -> Iterator[NaturalColumn]:
    above = natural_columns(target)
    # Of a row with the same ancestors (parent_curation_pk) only what is its own tells anything new.
    new = [item for item in above if item.label not in own_key] or [item for item in above if not item.path]
    stem = member.removesuffix("_pk")
    for item in new:
        yield NaturalColumn((member, *item.path), item.column, _label(stem, target, item.label, len(new) == 1))


def natural_select(entity: type[Entity], /, *, with_ids: bool = False, **equal: Any) -> sa.Select[Any]:
    """Select an entity's rows with the natural keys of their ancestors and of what they refer to.

    Parameters
    ----------
    entity
        Table class.
    with_ids
        Whether to add the primary key (``id``) and the raw foreign keys (``…_pk``).
    **equal
        Values that columns must have, by their labels (``subject="subject1", mask_id=3``).

    Returns
    -------
    Select
        Labelled columns: the natural key from the top down, then the fields; a foreign key that is not part of
        the key gives what names its row (``device``; ``array_prefix`` and ``array_name`` of a stored array).
        Ordered by the natural key. ``statement.selected_columns[label]`` is for further conditions.

    Raises
    ------
    EntityError
        When no column has such a label.
    """
    table = table_of(entity)
    routes = _Routes(table)
    columns = {item.label: routes.column(item) for item in all_columns(entity)}
    selected: list[sa.ColumnElement[Any]] = [column.label(label) for label, column in columns.items()]
    if with_ids:
        selected += [column for column in table.c if column.name == "id" or column.name.endswith("_pk")]
    conditions = _conditions(entity, routes, equal)
    order = [columns[item.label] for item in natural_columns(entity)]
    return sa.select(*selected).select_from(routes.joined).where(*conditions).order_by(*order)


def _conditions(entity: type[Entity], routes: "_Routes", equal: dict[str, Any]) -> list[sa.ColumnElement[bool]]:
    known = {item.label: item for item in all_columns(entity)}
    unknown = [label for label in equal if label not in known]
    if unknown:
        raise EntityError(f"{entity.__name__} has no column {unknown[0]!r}: it has {', '.join(known)}.")
    columns = {label: routes.column(known[label]) for label in equal}
    return [columns[label].is_(None) if value is None else columns[label] == value for label, value in equal.items()]


class _Routes:
    """Joins each chain of foreign keys once, under an alias of its own."""

    def __init__(self, table: sa.Table) -> None:
        self.joined: sa.FromClause = table
        self._reached: dict[tuple[str, ...], sa.FromClause] = {(): table}
        self._optional: set[tuple[str, ...]] = set()

    def column(self, item: NaturalColumn) -> sa.ColumnElement[Any]:
        return self._reach(item.path).c[item.column]

    def _reach(self, path: tuple[str, ...]) -> sa.FromClause:
        if path not in self._reached:
            near = self._reach(path[:-1])
            key = near.c[path[-1]]
            (foreign,) = key.foreign_keys
            far = foreign.column.table.alias(f"{foreign.column.table.name}_{len(self._reached)}")
            if key.nullable or path[:-1] in self._optional:
                self._optional.add(path)
            self.joined = self.joined.join(far, key == far.c.id, isouter=path in self._optional)
            self._reached[path] = far
        return self._reached[path]


def find(session: Session, entity: type[E], /, **equal: Any) -> E | None:
    """Return the one row with these values, or None.

    Parameters
    ----------
    session
        Open session.
    entity
        Table class.
    **equal
        Values by the labels of :func:`natural_select`, usually the natural key (``**key.columns``).

    Raises
    ------
    EntityError
        When there is more than one such row, or no column of such a name.
    """
    # Only what the values are on is joined: this is asked far more often than whole rows are.
    table = table_of(entity)
    routes = _Routes(table)
    conditions = _conditions(entity, routes, equal)
    rows = session.scalars(sa.select(table.c.id).select_from(routes.joined).where(*conditions).limit(2)).all()
    if len(rows) > 1:
        raise EntityError(f"{entity.__name__} with {_printed(equal)}: got several, expected one. Name its whole key.")
    return session.get(entity, rows[0]) if rows else None


def get(session: Session, entity: type[E], /, **equal: Any) -> E:
    """Return the one row with these values, as :func:`find`.

    Raises
    ------
    NotFoundError
        When there is none.
    EntityError
        As :func:`find`.
    """
    row = find(session, entity, **equal)
    if row is None:
        raise NotFoundError(f"No {entity.__name__} with {_printed(equal)} in the database.")
    return row


def _printed(equal: dict[str, Any]) -> str:
    return ", ".join(f"{name} {key_part(value)}" for name, value in equal.items())


def describe_key(row: Entity, session: Session) -> str:
    """Print a row's natural key: ``subject1/2021-01-01T00:00:01/0/0/0``.

    Parameters
    ----------
    row
        In the session or not; the rows it refers to are in the session's database.
    session
        Open session.
    """
    return "/".join(key_part(_value(row, item, session)) for item in natural_columns(type(row)))


def _value(row: Entity, item: NaturalColumn, session: Session) -> Any:
    current = row
    for member in item.path:
        target = _target(type(current), member)
        if target is None:
            raise EntityError(f"{type(current).__name__}.{member} is no foreign key.")
        found = session.get(target, getattr(current, member))
        if found is None:
            raise NotFoundError(f"{type(current).__name__}.{member}: got {getattr(current, member)}, which is no row.")
        current = found
    return getattr(current, item.column)
