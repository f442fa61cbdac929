"""Answers to reviews that come as a filled-in form: what a person may say there, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from miniscope_core.curation.decisions import Edit
from miniscope_core.curation.policies import Bounds, Thresholds
from miniscope_core.errors import CurationError
from miniscope_core.models import ReviewState
from miniscope_core.models.types import Name
from miniscope_core.pipeline.curate import Curated, edits_by_policy, edits_that_reject_all, submit_curation
from miniscope_core.pipeline.reviews import ReviewStatus, close_overdue, review_status
from miniscope_core.storage.archive import Archive


class Verdict(StrEnum):
    """What a person says of all units at once."""

    ACCEPT = "accept as is"
    THRESHOLDS = "thresholds"
    REJECT_ALL = "reject all"
    SUBMITTED = "as decided on the curation page"


class _Verdict(BaseModel):
    decision: Verdict = Field(
        description="accept as is: the units that are accepted now. thresholds: the units within the bounds below. "
        "reject all: no unit is a cell. as decided on the curation page: the run looks there"
    )
    curator: Annotated[Name, Field(min_length=1)] = Field(description="Your name, kept with the decision")
    note: str = Field(default="", description="What you remark")


class Answer(Bounds, _Verdict):
    """A form filled in by a person. What it decides has no default: a form that nobody filled in decides nothing."""

    # Fields come in the reverse order of the bases: a form begins with the verdict.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)

    @model_validator(mode="after")
    def _bounds_where_they_count(self) -> Self:
        if self.decision is Verdict.THRESHOLDS:
            _ = self.thresholds
        elif self.bounds or self.only_engine_accepted:
            given = ", ".join([*self.bounds, *(["only_engine_accepted"] if self.only_engine_accepted else [])])
            raise ValueError(
                f"{given} given with the decision '{self.decision}', expected with '{Verdict.THRESHOLDS}' alone: "
                "which of them is meant?"
            )
        return self

    @property
    def thresholds(self) -> Thresholds:
        """The bounds as a policy."""
        return Thresholds.model_validate(self.model_dump(include=set(Bounds.model_fields)))


@dataclass(frozen=True)
class Settled:
    """What looking at a review, perhaps with an answer in hand, led to."""

    status: ReviewStatus
    refusal: str = ""
    """Why the answer was not taken, in a line."""
    runs: tuple[str, ...] = ()
    """Flow runs that have their answer now."""


def settle_review(archive: Archive, status: ReviewStatus, given: Mapping[str, Any] | None = None) -> Settled:
    """Look at a review: take the answer that came with a form, and close it when its time limit passed.

    The row is looked at first. Where somebody else decided in the meantime, their decision counts; an answer that
    cannot be taken decides nothing.

    Parameters
    ----------
    archive
        Where the review is.
    status
        The review.
    given
        What the form holds, not checked yet; None where none was sent.

    Returns
    -------
    Settled
        The review as it is now, and why the answer was not taken.
    """
    status = review_status(archive, status.task, status.review_id)
    refusal, runs = "", tuple[str, ...]()
    if given is not None and status.state is ReviewState.WAITING:
        try:
            runs = answer_review(archive, status, Answer.model_validate(given)).runs
        except ValidationError as error:
            refusal = "; ".join(
                ": ".join([*map(str, problem["loc"]), problem["msg"].removeprefix("Value error, ")])
                for problem in error.errors(include_url=False)
            )
        except CurationError as error:
            refusal = str(error)
    return Settled(close_overdue(archive, status), refusal, runs)


def answer_review(archive: Archive, status: ReviewStatus, answer: Answer) -> Curated:
    """Decide on a processing as a form says, starting from what its review starts from.

    Raises
    ------
    CurationError
        When the form points to a decision that nobody submitted, or asks for a number that no unit has.
    StoreError
        When the result cannot be read.
    """
    if answer.decision is Verdict.SUBMITTED:
        raise CurationError(
            f"Nobody submitted a decision on {status.task} yet: submit it on the curation page first, "
            "or choose another answer."
        )
    edits = _edits(archive, status, answer)
    return submit_curation(archive, status.task, edits, curator=answer.curator, parent=status.start, note=answer.note)


def _edits(archive: Archive, status: ReviewStatus, answer: Answer) -> list[Edit]:
    """Return what an answer changes of what the review starts from."""
    if answer.decision is Verdict.REJECT_ALL:
        return edits_that_reject_all(archive, status.task, status.start)
    if answer.decision is Verdict.THRESHOLDS:
        return edits_by_policy(archive, status.task, answer.thresholds, status.start)
    return []
