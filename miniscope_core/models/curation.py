"""The curation: decisions, automatic or by a person, on the units of one processing, and what leads to them.

A curation is a version: it holds the decision on every unit, and nothing changes it. Beside it stand the units that
curators made by merging, the drafts of curations that are not finished, and the reviews that a run waits for.
"""

from enum import StrEnum
from typing import ClassVar, Self

from pydantic import model_validator
from sqlmodel import Field

from miniscope_core.models.base import Entity, foreign_key, primary_key
from miniscope_core.models.types import (
    Count,
    ExactJson,
    JsonDict,
    JsonList,
    Name,
    RowId,
    StoredPath,
    UtcTime,
    UtcTimeColumn,
    choice,
)


class CurationBase(Entity):
    """One decision on the units of one processing; a later one does not change an earlier one."""

    natural_key: ClassVar[tuple[str, ...]] = ("processing_pk", "curation_id")
    curation_id: Count = Field(description="Number of the curation within its processing, from 0")
    curation_time: UtcTime = Field(sa_type=UtcTimeColumn, description="When it was decided, UTC")
    curation_output_dir: StoredPath = Field(description="Prefix of the store with what was decided on")
    manual_curation: bool = Field(description="Whether a person decided")
    curation_note: str = Field(default="", description="What the curator remarked")
    curator: str = Field(default="", description="Who decided: a person, or the policy's name")
    policy: JsonDict = Field(default_factory=dict, sa_type=ExactJson, description="Rule of the decision")


class Curation(CurationBase, table=True):
    """One decision on the units of one processing; a later one does not change an earlier one."""

    id: RowId = primary_key()
    processing_pk: int = foreign_key("processing", "The processing decided on")
    parent_curation_pk: int | None = foreign_key("curation", "Curation it started from", optional=True)


class CurationUnitBase(Entity):
    """The decision on one unit."""

    natural_key: ClassVar[tuple[str, ...]] = ("curation_pk", "unit_id")
    checks: ClassVar[dict[str, str]] = {"merged_is_not_accepted": "merged_into IS NULL OR NOT accepted"}
    unit_id: Count = Field(description="Number of the unit in the processing, from 0; mask_id of its mask")
    accepted: bool = Field(description="Whether it is taken for a unit")
    merged_into: Count | None = Field(
        default=None, description="Unit that it is part of; such a unit has no mask of its own"
    )

    @model_validator(mode="after")
    def _merged_is_not_accepted(self) -> Self:
        if self.merged_into is not None and self.accepted:
            raise ValueError("a unit that is part of another one is not accepted itself")
        return self


class CurationUnit(CurationUnitBase, table=True):
    """The decision on one unit."""

    id: RowId = primary_key()
    curation_pk: int = foreign_key("curation", "The curation", on_delete="CASCADE")
    mask_type_pk: int | None = foreign_key("mask_type", "What the curator takes it for", optional=True)


class MergedUnitBase(Entity):
    """A unit that a curator made of several; the same members have the same number in every curation."""

    natural_key: ClassVar[tuple[str, ...]] = ("processing_pk", "unit_id")
    also_unique: ClassVar[tuple[tuple[str, ...], ...]] = (("member_text", "processing_pk"),)
    checks: ClassVar[dict[str, str]] = {"published": "(publication_pk IS NULL) = (array_row IS NULL)"}
    unit_id: Count = Field(description="Number of the unit, after those that the engine found")
    member_text: Name = Field(description="Numbers of the engine's units it is made of, ascending: 3+7")
    array_row: Count | None = Field(default=None, description="Row of the unit in the arrays of its publication")

    @property
    def members(self) -> tuple[int, ...]:
        """Numbers of the engine's units it is made of, ascending."""
        return tuple(int(member) for member in self.member_text.split("+"))


class MergedUnit(MergedUnitBase, table=True):
    """A unit that a curator made of several; the same members have the same number in every curation."""

    id: RowId = primary_key()
    processing_pk: int = foreign_key("processing", "The processing that found its members")
    publication_pk: int | None = foreign_key(
        "publication", "Where its arrays are; none until a curation with it was submitted", optional=True
    )


class CurationDraftBase(Entity):
    """What one person decided so far and has not submitted: kept edit by edit, for undo and for the next day."""

    natural_key: ClassVar[tuple[str, ...]] = ("processing_pk", "curator")
    checks: ClassVar[dict[str, str]] = {"position": "position >= 0"}
    curator: Name = Field(description="Whose draft it is")
    edits: JsonList = Field(default_factory=list, sa_type=ExactJson, description="Every edit, in the order made")
    position: Count = Field(default=0, description="Edits in force; those after it were undone and can be redone")
    revision: Count = Field(default=0, description="Counts the changes: who edits an older one is told")
    started_at: UtcTime = Field(sa_type=UtcTimeColumn, description="When it was begun, UTC")
    changed_at: UtcTime = Field(sa_type=UtcTimeColumn, description="When it was changed last, UTC")


class CurationDraft(CurationDraftBase, table=True):
    """What one person decided so far and has not submitted: kept edit by edit, for undo and for the next day."""

    id: RowId = primary_key()
    processing_pk: int = foreign_key("processing", "The processing decided on")
    parent_curation_pk: int | None = foreign_key(
        "curation", "Curation it started from; none: the engine's own acceptance", optional=True
    )


class ReviewState(StrEnum):
    """Whether a person is still waited for."""

    WAITING = "waiting"
    ANSWERED = "answered"
    EXPIRED = "expired"


class ReviewBase(Entity):
    """A person is asked to decide on a processing; the row, not the run that waits, is what counts."""

    natural_key: ClassVar[tuple[str, ...]] = ("processing_pk", "review_id")
    checks: ClassVar[dict[str, str]] = {
        "closed": "(state = 'waiting') = (closed_at IS NULL)",
        "answered": "(state = 'answered') = (answer_curation_pk IS NOT NULL)",
    }
    review_id: Count = Field(description="Number of the review within its processing, from 0")
    state: ReviewState = Field(
        default=ReviewState.WAITING, sa_type=choice(ReviewState), description="waiting, answered or expired"
    )
    requested_at: UtcTime = Field(sa_type=UtcTimeColumn, description="When it was asked for, UTC")
    deadline: UtcTime | None = Field(default=None, sa_type=UtcTimeColumn, description="Until when, UTC; none: no limit")
    closed_at: UtcTime | None = Field(
        default=None, sa_type=UtcTimeColumn, description="When it was answered or expired, UTC"
    )
    run: Name | None = Field(default=None, description="Flow run that waits for it; none where nothing waits")
    policy: JsonDict = Field(default_factory=dict, sa_type=ExactJson, description="The policy that asked for it")


class Review(ReviewBase, table=True):
    """A person is asked to decide on a processing; the row, not the run that waits, is what counts."""

    id: RowId = primary_key()
    processing_pk: int = foreign_key("processing", "The processing to decide on")
    parent_curation_pk: int = foreign_key("curation", "What the person starts from")
    answer_curation_pk: int | None = foreign_key("curation", "The curation that answered it", optional=True)
