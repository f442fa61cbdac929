"""The subject: one animal, and the lookups that describe it."""

from datetime import date
from enum import StrEnum
from typing import ClassVar

from sqlmodel import Field

from miniscope_core.models.base import Entity, foreign_key, primary_key
from miniscope_core.models.types import KeyText, Name, RowId, choice


class Sex(StrEnum):
    """Sex of a subject: male, female, unknown."""

    M = "M"
    F = "F"
    U = "U"


class SpeciesBase(Entity):
    """A species."""

    natural_key: ClassVar[tuple[str, ...]] = ("species",)
    species: Name = Field(description="Name of the species, as 'Mus musculus'")


class Species(SpeciesBase, table=True):
    """A species."""

    id: RowId = primary_key()


class StrainBase(Entity):
    """A strain."""

    natural_key: ClassVar[tuple[str, ...]] = ("strain",)
    strain: Name = Field(description="Name of the strain, as 'C57BL/6J'")


class Strain(StrainBase, table=True):
    """A strain."""

    id: RowId = primary_key()


class LineBase(Entity):
    """A transgenic line."""

    natural_key: ClassVar[tuple[str, ...]] = ("line",)
    line: Name = Field(description="Name of the line")


class Line(LineBase, table=True):
    """A transgenic line."""

    id: RowId = primary_key()


class SubjectBase(Entity):
    """One animal."""

    natural_key: ClassVar[tuple[str, ...]] = ("subject",)
    subject: KeyText = Field(description="Name of the animal, unique in the database")
    nickname: str = Field(default="", description="What people call it")
    sex: Sex = Field(default=Sex.U, sa_type=choice(Sex), description="M, F or U for unknown")
    subject_birth_date: date | None = Field(default=None, description="Day of birth")
    subject_description: str = Field(default="", description="What else to know of it")


class Subject(SubjectBase, table=True):
    """One animal."""

    id: RowId = primary_key()
    source_pk: int | None = foreign_key("source", "Where it comes from", optional=True)
    line_pk: int | None = foreign_key("line", "Its transgenic line", optional=True)
    strain_pk: int | None = foreign_key("strain", "Its strain", optional=True)
    species_pk: int | None = foreign_key("species", "Its species", optional=True)
    protocol_pk: int | None = foreign_key("protocol", "Protocol it is kept under", optional=True)
    lab_pk: int | None = foreign_key("lab", "Laboratory that keeps it", optional=True)
