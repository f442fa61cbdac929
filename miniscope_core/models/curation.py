"""The curation: a decision, automatic or by a person, on the units of one processing."""

from typing import ClassVar

from sqlmodel import Field

from miniscope_core.models.base import Entity, foreign_key, primary_key
from miniscope_core.models.types import Count, ExactJson, JsonDict, RowId, StoredPath, UtcTime, UtcTimeColumn


class CurationBase(Entity):
    """One decision on the units of one processing; a later one does not change an earlier one."""

    natural_key: ClassVar[tuple[str, ...]] = ("processing_pk", "curation_id")
    curation_id: Count = Field(description="Number of the curation within its processing, from 0")
    curation_time: UtcTime = Field(sa_type=UtcTimeColumn, description="When it was decided, UTC")
    curation_output_dir: StoredPath = Field(description="Prefix of the store with what was decided on")
    manual_curation: bool = Field(description="Whether a person decided")
    curation_note: str = Field(default="", description="What the curator remarked")
    curator: str = Field(default="", description="Who decided: a person, or the policy's name")
    policy: JsonDict = Field(default_factory=dict, sa_type=ExactJson, description="Rule of an automatic decision")


class Curation(CurationBase, table=True):
    """One decision on the units of one processing; a later one does not change an earlier one."""

    id: RowId = primary_key()
    processing_pk: int = foreign_key("processing", "The processing decided on")
    parent_curation_pk: int | None = foreign_key("curation", "Curation it started from", optional=True)


class CurationUnitBase(Entity):
    """The decision on one unit."""

    natural_key: ClassVar[tuple[str, ...]] = ("curation_pk", "unit_id")
    unit_id: Count = Field(description="Number of the unit in the processing, from 0; mask_id of its mask")
    accepted: bool = Field(description="Whether it is taken for a unit")


class CurationUnit(CurationUnitBase, table=True):
    """The decision on one unit."""

    id: RowId = primary_key()
    curation_pk: int = foreign_key("curation", "The curation", on_delete="CASCADE")
    mask_type_pk: int | None = foreign_key("mask_type", "What the curator takes it for", optional=True)
