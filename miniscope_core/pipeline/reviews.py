"""Reviews: a processing that waits for a person. The rows are the truth; runs that wait only look at them."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.curation.policies import Manual
from miniscope_core.errors import CurationError, NotFoundError
from miniscope_core.models import CurationKey, ReviewState, TaskKey, as_key, describe_key, get, make
from miniscope_core.pipeline.curate import curate_processing, edits_that_reject_all, submit_curation
from miniscope_core.pipeline.rows import lock_writers, next_number
from miniscope_core.storage.archive import Archive

_log = logging.getLogger(__name__)
_NOBODY = "time limit"


@dataclass(frozen=True)
class ReviewStatus:
    """A review, as its row has it."""

    task: TaskKey
    review_id: int
    state: ReviewState
    requested_at: datetime
    deadline: datetime | None
    run: str | None
    """Flow run that waits for it."""
    policy: Manual
    start: CurationKey
    """What the person starts from."""
    answer: CurationKey | None
    """The curation that answered it."""

    @property
    def overdue(self) -> bool:
        """Whether nobody came in time."""
        return self.state is ReviewState.WAITING and self.deadline is not None and self.deadline <= datetime.now(UTC)


def request_review(archive: Archive, task: TaskKey, policy: Manual, run: str | None = None) -> ReviewStatus:
    """Ask for a person's decision on a processing, once per run: a run that starts again finds what it asked for.

    Parameters
    ----------
    archive
        Where the processing is.
    task
        A processed task.
    policy
        What the person starts from, and how long to wait.
    run
        Flow run that waits. Without one, a review of the same policy that still waits is taken.

    Raises
    ------
    NotFoundError
        When the task was not processed.
    CurationError
        When the policy to start from asks for a number that no unit has.
    """
    start = curate_processing(archive, task, policy.start).key
    rule = policy.model_dump(mode="json")
    with archive.database.session() as session:
        lock_writers(session)
        processing = get(session, m.Processing, **task.columns)
        rows = session.scalars(select(m.Review).filter_by(processing_pk=processing.id, run=run)).all()
        known = [row for row in rows if run is not None or (row.state is ReviewState.WAITING and row.policy == rule)]
        if known:
            return _status(session, known[-1])
        now = datetime.now(UTC)
        row = make(
            m.Review,
            processing_pk=processing.id,
            review_id=next_number(session, m.Review.review_id, col(m.Review.processing_pk) == processing.id),
            requested_at=now,
            deadline=None if policy.time_limit_h is None else now + timedelta(hours=policy.time_limit_h),
            run=run,
            policy=rule,
            parent_curation_pk=get(session, m.Curation, **start.columns).id,
        )
        session.add(row)
        session.flush()
        status = _status(session, row)
    _log.info("Waiting for a person: %s, review %d", task, status.review_id)
    return status


def review_of_run(archive: Archive, run: str) -> ReviewStatus | None:
    """Return the review that a flow run asked for, or None where it did not get there yet."""
    with archive.database.session() as session:
        row = session.scalars(select(m.Review).filter_by(run=run).order_by(col(m.Review.id).desc())).first()
        return None if row is None else _status(session, row)


def review_status(archive: Archive, task: TaskKey, review_id: int) -> ReviewStatus:
    """Return a review.

    Raises
    ------
    NotFoundError
        When there is none of that number.
    """
    with archive.database.session() as session:
        return _status(session, get(session, m.Review, **task.columns, review_id=review_id))


def waiting_reviews(archive: Archive) -> list[ReviewStatus]:
    """Return every review that waits for a person, the oldest first."""
    with archive.database.session() as session:
        rows = select(m.Review).filter_by(state=ReviewState.WAITING).order_by(col(m.Review.requested_at))
        return [_status(session, row) for row in session.scalars(rows)]


def close_overdue(archive: Archive, status: ReviewStatus) -> ReviewStatus:
    """Close a review whose time limit passed, with the outcome that its policy states.

    Parameters
    ----------
    archive
        Where it is.
    status
        A review; one that still has time, or is closed, stays as it is.

    Returns
    -------
    ReviewStatus
        Expired, or answered by what the policy states.
    """
    status = review_status(archive, status.task, status.review_id)
    if not status.overdue:
        return status
    outcome = status.policy.at_time_limit
    if outcome == "fail":
        answer = None
    elif outcome == "accept_start":
        answer = status.start
    else:
        edits = edits_that_reject_all(archive, status.task, status.start)
        note = "Nobody decided in time: no unit is taken for a cell, as the policy says."
        answer = submit_curation(archive, status.task, edits, curator=_NOBODY, parent=status.start, note=note).key
    with archive.database.session() as session:
        lock_writers(session)
        row = get(session, m.Review, **status.task.columns, review_id=status.review_id)
        answer_pk = None if answer is None else get(session, m.Curation, **answer.columns).id
        if row.state is ReviewState.WAITING:  # unless a person came after all
            row.closed_at, row.answer_curation_pk = datetime.now(UTC), answer_pk
            row.state = ReviewState.EXPIRED if answer is None else ReviewState.ANSWERED
        session.flush()
        return _status(session, row)


def answer_of(status: ReviewStatus) -> CurationKey | None:
    """Return the curation that answered a review, or None while a person is waited for.

    Raises
    ------
    CurationError
        When nobody came in time and the policy says that the run fails then.
    """
    if status.state is ReviewState.EXPIRED:
        raise CurationError(
            f"Nobody decided on {status.task} in {status.policy.time_limit_h:g} h, and the policy says to fail then. "
            f"Decide with `miniscope curate {status.task}`, then run again with the policy it needs."
        )
    return status.answer


def _status(session: Session, row: m.Review) -> ReviewStatus:
    processing = session.get_one(m.Processing, row.processing_pk)
    task = as_key(describe_key(processing, session), TaskKey)

    def key(pk: int | None) -> CurationKey | None:
        return None if pk is None else CurationKey(task=task, curation_id=session.get_one(m.Curation, pk).curation_id)

    start = key(row.parent_curation_pk)
    if start is None:
        raise NotFoundError(f"Review {row.review_id} of {task} has no curation to start from.")
    return ReviewStatus(
        task=task,
        review_id=row.review_id,
        state=row.state,
        requested_at=row.requested_at,
        deadline=row.deadline,
        run=row.run,
        policy=Manual.model_validate(row.policy),
        start=start,
        answer=key(row.answer_curation_pk),
    )
