"""What all entities have in common: one idiom, validated rows, natural keys, names of constraints."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeVar

import numpy as np
import sqlalchemy as sa
from pydantic import ValidationError, model_validator
from sqlalchemy.orm import declared_attr, registry
from sqlmodel import Field, SQLModel

from miniscope_core.errors import EntityError

# Every constraint has a name, so that a migration can speak of it on any database.
NAMING: Final = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
}

# A registry of our own: a program that has other SQLModel tables does not find them in our migrations.
_registry = registry(metadata=sa.MetaData(naming_convention=NAMING))


class Entity(SQLModel, registry=_registry):
    """Base of every entity.

    ``XBase(Entity)`` holds the fields with their descriptions and bounds; ``X(XBase, table=True)`` adds the
    primary key and the foreign keys, whose names end in ``_pk``. Make rows by :func:`make` alone: the
    constructor of a table class does not validate.
    """

    model_config = {"extra": "forbid"}

    natural_key: ClassVar[tuple[str, ...]] = ()
    """Columns people name a row by; foreign keys among them stand for the natural key of their row."""
    also_unique: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Further column groups that identify a row."""
    checks: ClassVar[dict[str, str]] = {}
    """Name and SQL of what must hold between columns."""

    @declared_attr.directive
    def __tablename__(cls) -> str:  # noqa: N805
        """Name of the class in snake case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @declared_attr.directive
    def __table_args__(cls) -> tuple[sa.Constraint, ...]:  # noqa: N805
        """One UNIQUE over exactly the natural key, and the other rules of the class."""
        unique = (cls.natural_key, *cls.also_unique)
        return (
            *(sa.UniqueConstraint(*columns) for columns in unique),
            *(sa.CheckConstraint(rule, name=name) for name, rule in cls.checks.items()),
        )

    @model_validator(mode="before")
    @classmethod
    def _storable_text(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, str) and ("\x00" in value or not _is_utf8(value)):
                raise ValueError(f"{name}: expected text without NUL and without lone surrogates, got {value!r}")
        return values


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


E = TypeVar("E", bound=Entity)


def foreign_key(
    table: str,
    description: str,
    *,
    optional: bool = False,
    on_delete: Literal["RESTRICT", "CASCADE"] = "RESTRICT",
    index: bool = False,
) -> Any:
    """Give the field of a foreign key to ``table.id``.

    Parameters
    ----------
    table
        Name of the table referred to.
    description
        What the row referred to is for this one.
    optional
        Whether it may be absent; the annotation says so too.
    on_delete
        RESTRICT, or CASCADE from a curation to its results.
    index
        For those that queries join on and the unique constraint does not lead with.
    """
    options: dict[str, Any] = {"default": None} if optional else {}
    return Field(foreign_key=f"{table}.id", ondelete=on_delete, description=description, index=index, **options)


def primary_key() -> Any:
    """Give the field of the integer primary key."""
    return Field(default=None, primary_key=True, description="Primary key, given by the database")


def make(entity: type[E], /, **values: Any) -> E:
    """Make a valid entity: the one way to a row.

    Parameters
    ----------
    entity
        Class, with or without a table.
    **values
        Its fields. NumPy scalars become Python numbers, paths become text.

    Raises
    ------
    EntityError
        When a field is unknown, missing or not valid, all of them in one line.
    """
    try:
        return entity.model_validate({name: _plain(value) for name, value in values.items()})
    except ValidationError as error:
        raise EntityError(_one_line(entity, error)) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return value.as_posix()
    return value


def _one_line(entity: type[Entity], error: ValidationError) -> str:
    problems = [_problem(entity, detail) for detail in error.errors(include_url=False)]
    return " ".join(f"{entity.__name__} is not valid: {'; '.join(problems)}.".split())


def _problem(entity: type[Entity], detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "missing":
        return f"{where} is missing"
    if detail["type"] == "extra_forbidden":
        return f"unknown field {where!r}, expected one of {', '.join(entity.model_fields)}"
    rule: str = detail["msg"].removeprefix("Value error, ").replace("Input should", "expected to", 1)
    if not where:
        return rule
    got = repr(detail["input"])
    return f"{where}: got {got if len(got) <= 80 else got[:77] + '...'}, {rule}"


def entities() -> tuple[type[Entity], ...]:
    """Return every table class, those referred to before those that refer."""
    classes: dict[Any, type[Entity]] = {mapper.local_table: mapper.class_ for mapper in _registry.mappers}
    return tuple(classes[table] for table in metadata().sorted_tables)


def metadata() -> sa.MetaData:
    """Return the description of all tables."""
    return _registry.metadata


def table_of(entity: type[Entity]) -> sa.Table:
    """Return the table of a class.

    Raises
    ------
    EntityError
        When the class has none (``XBase``).
    """
    table = getattr(entity, "__table__", None)
    if not isinstance(table, sa.Table):
        raise EntityError(f"{entity.__name__} has no table: name the class without 'Base'.")
    return table


def entity_of(table: sa.FromClause) -> type[Entity]:
    """Return the class of a table."""
    classes: Iterable[type[Entity]] = (m.class_ for m in _registry.mappers if m.local_table is table)
    return next(iter(classes))
