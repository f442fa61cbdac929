"""Reviews: a processing that waits for a person. The rows are the truth; runs that wait only look at them."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.curation.policies import Manual
from miniscope_core.errors import CurationError, MiniscopeError, NotFoundError
from miniscope_core.models import CurationKey, ReviewState, TaskKey, as_key, describe_key, get, make
from miniscope_core.pipeline.curate import curate_processing, edits_that_reject_all, submit_curation
from miniscope_core.pipeline.rows import lock_writers, next_number
from miniscope_core.storage.archive import Archive
from miniscope_core.storage.faults import is_transient

_log = logging.getLogger(__name__)
_NOBODY = "time limit"
_POLL_S: Final = 2.0


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
    """Ask for a person's decision on a processing, once per run: one that starts again finds what it asked for.

    Parameters
    ----------
    archive
        Where the processing is.
    task
        A processed task.
    policy
        What the person starts from, and how long to wait.
    run
        Flow run that waits. Without one it is asked once per policy, whatever became of it: see
        :func:`review_of_policy`.

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
        known = _asked(session, processing, run, rule)
        if known is not None:
            return _status(session, known)
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


def review_of_policy(archive: Archive, task: TaskKey, policy: Manual) -> ReviewStatus | None:
    """Return the review that a policy asked for where no run waits, answered or not, or None where it did not yet.

    Raises
    ------
    NotFoundError
        When the task was not processed.
    """
    with archive.database.session() as session:
        row = _asked(session, get(session, m.Processing, **task.columns), None, policy.model_dump(mode="json"))
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
        answer = submit_curation(
            archive,
            status.task,
            edits,
            curator=_NOBODY,
            parent=status.start,
            note=note,
            review_id=status.review_id,  # others may still have time
        ).key
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
            f"Decide with `miniscope curate {status.task}`, then try the run again: it goes on with that decision."
        )
    return status.answer


def close_reviews(archive: Archive) -> list[ReviewStatus]:
    """Close every review whose time limit passed; one that cannot be closed is logged and does not keep the others.

    Returns
    -------
    list of ReviewStatus
        Those that were closed.
    """
    closed = []
    for status in waiting_reviews(archive):
        if status.overdue:
            try:
                closed.append(close_overdue(archive, status))
            except MiniscopeError as error:
                _log.error("Review %d of %s stays open: %s", status.review_id, status.task, error)
    return closed


def wait_for_answer(
    archive: Archive,
    status: ReviewStatus,
    poll_s: float = _POLL_S,
    waiting: Callable[[ReviewStatus], None] = lambda _: None,
) -> CurationKey:
    """Wait in this process until a person decided or the time limit passed.

    Parameters
    ----------
    archive
        Where the review is. While its database is away, it is waited for too.
    status
        A review.
    poll_s
        How often to look, s.
    waiting
        Called after every look that found no answer.

    Returns
    -------
    CurationKey
        The curation that answered it.

    Raises
    ------
    CurationError
        When nobody came in time and the policy says to fail then.
    """
    while True:
        try:
            status = close_overdue(archive, status)
        except MiniscopeError as error:
            if not is_transient(error):
                raise
            _log.warning("Cannot look whether %s was decided on, trying again: %s", status.task, error)
        answer = answer_of(status)
        if answer is not None:
            return answer
        waiting(status)
        time.sleep(poll_s)


def _asked(session: Session, processing: m.Processing, run: str | None, rule: dict[str, Any]) -> m.Review | None:
    """Return the newest review that a run asked for, or, without a run, that a policy did."""
    newest = select(m.Review).filter_by(processing_pk=processing.id, run=run).order_by(col(m.Review.review_id).desc())
    return next((row for row in session.scalars(newest) if run is not None or row.policy == rule), None)


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
