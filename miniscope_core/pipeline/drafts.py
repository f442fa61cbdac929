"""Drafts of curations: every edit is kept in the database as it is made, for undo, redo and the next day."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.curation.decisions import (
    Decisions,
    Edit,
    read_edits,
    replay,
    write_edits,
)
from miniscope_core.errors import DraftError, NotFoundError
from miniscope_core.models import CurationKey, TaskKey, get, make
from miniscope_core.models.types import Name
from miniscope_core.pipeline.curate import Curated, decisions_of, submit_curation
from miniscope_core.pipeline.merges import numbered
from miniscope_core.pipeline.rows import lock_writers
from miniscope_core.storage.archive import Archive


@dataclass(frozen=True)
class _Stored:
    """What the row of a draft holds."""

    task: TaskKey
    curator: str
    parent: CurationKey | None
    """Curation it started from; None: the engine's own acceptance."""
    edits: tuple[Edit, ...]
    position: int
    """Edits in force; those after it were undone."""
    revision: int
    """Counts the changes."""
    started_at: datetime


@dataclass(frozen=True)
class Draft(_Stored):
    """What one person decided so far and has not submitted."""

    decisions: Decisions
    """As the edits in force leave them."""

    @property
    def can_undo(self) -> bool:
        """Whether an edit is in force."""
        return self.position > 0

    @property
    def can_redo(self) -> bool:
        """Whether an edit was undone."""
        return self.position < len(self.edits)


def open_draft(archive: Archive, task: TaskKey, curator: Name, parent: CurationKey | None = None) -> Draft:
    """Return a person's draft on a processing, begun where there is none.

    Parameters
    ----------
    archive
        Where the processing is.
    task
        A processed task.
    curator
        Who decides.
    parent
        What a new draft starts from; default: what a waiting review asks to start from, else the newest curation,
        else the engine's own acceptance. A draft that is there keeps its own.

    Raises
    ------
    NotFoundError
        When the task was not processed, or there is no such parent.
    """
    with archive.database.session() as session:
        lock_writers(session)
        processing = get(session, m.Processing, **task.columns)
        row = _find(session, processing, curator)
        if row is None:
            now = datetime.now(UTC)
            start = _start(session, processing) if parent is None else get(session, m.Curation, **parent.columns)
            row = make(
                m.CurationDraft,
                processing_pk=processing.id,
                curator=curator,
                parent_curation_pk=None if start is None else start.id,
                started_at=now,
                changed_at=now,
            )
            session.add(row)
            session.flush()
        stored = _stored(session, task, row)
    return _draft(archive, stored)


def find_draft(archive: Archive, task: TaskKey, curator: Name) -> Draft | None:
    """Return a person's draft on a processing, or None.

    Raises
    ------
    NotFoundError
        When the task was not processed.
    """
    with archive.database.session() as session:
        row = _find(session, get(session, m.Processing, **task.columns), curator)
        stored = None if row is None else _stored(session, task, row)
    return None if stored is None else _draft(archive, stored)


def starting_point(archive: Archive, task: TaskKey) -> CurationKey | None:
    """Return the curation that a person starts from: a waiting review's, else the newest, else None, the engine's.

    Raises
    ------
    NotFoundError
        When the task was not processed.
    """
    with archive.database.session() as session:
        row = _start(session, get(session, m.Processing, **task.columns))
    return None if row is None else CurationKey(task=task, curation_id=row.curation_id)


def edit_draft(archive: Archive, task: TaskKey, curator: Name, revision: int, edit: Edit) -> Draft:
    """Add an edit to a draft; what was undone before it is forgotten.

    Parameters
    ----------
    archive
        Where the draft is.
    task, curator
        Whose draft on what.
    revision
        Of the draft that the person saw.
    edit
        What they change. The number that a merge leads to is looked up; what it says there is not believed.

    Raises
    ------
    NotFoundError
        When there is no draft.
    DraftError
        When it was changed since, in another window.
    CurationError
        When the edit cannot be made.
    """
    draft = _required(archive, task, curator)
    (edit,) = numbered(archive, task, draft.decisions, [edit])
    return _change(archive, task, curator, revision, lambda edits, at: ([*edits[:at], *write_edits([edit])], at + 1))


def undo_draft(archive: Archive, task: TaskKey, curator: Name, revision: int) -> Draft:
    """Take the last edit in force back; without one nothing changes. Errors are those of :func:`edit_draft`."""
    return _change(archive, task, curator, revision, lambda edits, at: (edits, max(0, at - 1)))


def redo_draft(archive: Archive, task: TaskKey, curator: Name, revision: int) -> Draft:
    """Make the next edit again that was undone; without one nothing changes. Errors are those of :func:`edit_draft`."""
    return _change(archive, task, curator, revision, lambda edits, at: (edits, min(len(edits), at + 1)))


def submit_draft(archive: Archive, task: TaskKey, curator: Name, revision: int, note: str = "") -> Curated:
    """Make a curation of a draft; the draft is gone then, and reviews that wait on the processing are answered.

    Parameters
    ----------
    archive
        Where the draft is.
    task, curator
        Whose draft on what.
    revision
        Of the draft that the person saw.
    note
        What they remark.

    Returns
    -------
    Curated
        With what others made since the draft was begun.

    Raises
    ------
    NotFoundError
        When there is no draft.
    DraftError
        When it was changed since, in another window.
    StoreError
        When merged units cannot be published; the draft stays.
    """
    draft = _required(archive, task, curator)
    _refuse_older(draft, revision)
    curated = submit_curation(
        archive,
        task,
        draft.edits[: draft.position],
        curator=curator,
        parent=draft.parent,
        note=note,
        since=draft.started_at,
    )
    discard_draft(archive, task, curator)
    return curated


def discard_draft(archive: Archive, task: TaskKey, curator: Name) -> None:
    """Forget a draft; without one nothing happens."""
    with archive.database.session() as session:
        row = _find(session, get(session, m.Processing, **task.columns), curator)
        if row is not None:
            session.delete(row)


# -- rows -------------------------------------------------------------------------------------------------
def _find(session: Session, processing: m.Processing, curator: str) -> m.CurationDraft | None:
    return session.scalars(
        select(m.CurationDraft).filter_by(processing_pk=processing.id, curator=curator)
    ).one_or_none()


def _start(session: Session, processing: m.Processing) -> m.Curation | None:
    review = session.scalars(
        select(m.Review)
        .filter_by(processing_pk=processing.id, state=m.ReviewState.WAITING)
        .order_by(col(m.Review.review_id).desc())
    ).first()
    if review is not None:
        return session.get_one(m.Curation, review.parent_curation_pk)
    newest = col(m.Curation.curation_id).desc()
    return session.scalars(select(m.Curation).filter_by(processing_pk=processing.id).order_by(newest)).first()


def _stored(session: Session, task: TaskKey, row: m.CurationDraft) -> _Stored:
    parent = None
    if row.parent_curation_pk is not None:
        start = session.get_one(m.Curation, row.parent_curation_pk)
        parent = CurationKey(task=task, curation_id=start.curation_id)
    return _Stored(task, row.curator, parent, tuple(read_edits(row.edits)), row.position, row.revision, row.started_at)


def _draft(archive: Archive, stored: _Stored) -> Draft:
    parent = decisions_of(archive, stored.task, stored.parent)
    return Draft(decisions=replay(parent, stored.edits[: stored.position]), **vars(stored))


def _required(archive: Archive, task: TaskKey, curator: str) -> Draft:
    draft = find_draft(archive, task, curator)
    if draft is None:
        raise NotFoundError(f"No draft of {curator} on {task}: it was submitted or discarded; open it again.")
    return draft


def _refuse_older(draft: Draft | m.CurationDraft, revision: int) -> None:
    if draft.revision != revision:
        raise DraftError(
            f"Draft of {draft.curator}: got revision {revision}, expected {draft.revision}: it was changed elsewhere "
            "in the meantime. Nothing was lost: look at it again and repeat the last step."
        )


def _change(
    archive: Archive,
    task: TaskKey,
    curator: str,
    revision: int,
    change: Callable[[list[dict[str, object]], int], tuple[Sequence[dict[str, object]], int]],
) -> Draft:
    with archive.database.session() as session:
        lock_writers(session)
        row = _find(session, get(session, m.Processing, **task.columns), curator)
        if row is None:
            raise NotFoundError(f"No draft of {curator} on {task}: it was submitted or discarded; open it again.")
        _refuse_older(row, revision)
        edits, row.position = change(row.edits, row.position)
        row.edits = list(edits)
        row.revision += 1
        row.changed_at = datetime.now(UTC)
        session.flush()
        stored = _stored(session, task, row)
    return _draft(archive, stored)
