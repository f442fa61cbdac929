"""What the page lists: processings that wait or are done, the versions of one, and how two of them differ."""

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, cast, func, select
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.curation.decisions import Decision, Decisions, Edit, Merge, SetType, Split, describe, differences
from miniscope_core.models import CurationKey, TaskKey, natural_select
from miniscope_core.pipeline.curate import decisions_of
from miniscope_core.pipeline.drafts import Draft
from miniscope_core.pipeline.reviews import ReviewStatus, waiting_reviews
from miniscope_core.storage.archive import Archive
from miniscope_core.web.packing import number


def list_processings(archive: Archive, curator: str) -> list[dict[str, Any]]:
    """Return every processing with its curations, those that wait for a person first.

    Parameters
    ----------
    archive
        Where they are.
    curator
        Whose drafts are named.
    """
    waiting: dict[str, list[ReviewStatus]] = {}
    for review in waiting_reviews(archive):
        waiting.setdefault(str(review.task), []).append(review)
    curations = _curations(archive)
    drafts = _drafts(archive, curator)
    with archive.database.session() as session:
        rows = [dict(row) for row in session.execute(natural_select(m.Processing)).mappings()]
    found = []
    for row in rows:
        task = str(_task_key(row))
        found.append(
            {
                "task": task,
                "subject": row["subject"],
                "session": _when(row["session_datetime"]),
                "recording_id": row["recording_id"],
                "paramset_id": row["paramset_id"],
                "method": row["method"],
                "processed": _when(row["processing_time"]),
                "unit_count": row["unit_count"],
                "engine_accepted_count": row["accepted_count"],
                "reviews": [_review(review) for review in waiting.get(task, [])],
                "curations": curations.get(task, []),
                "draft": drafts.get(task),
            }
        )
    # Who waited longest comes first; what waits for nobody, the newest first.
    found.sort(key=lambda item: item["processed"], reverse=True)
    found.sort(key=lambda item: min((r["requested"] for r in item["reviews"]), default="~"))
    return found


def list_versions(archive: Archive, task: TaskKey) -> list[dict[str, Any]]:
    """Return the curations of a processing, the newest first."""
    return list(reversed(_curations(archive, task).get(str(task), [])))


def diff_versions(
    archive: Archive, task: TaskKey, before: CurationKey | None, after: CurationKey | None
) -> list[dict[str, Any]]:
    """Return every unit that two curations decide on differently; None is the engine's own acceptance.

    Raises
    ------
    NotFoundError
        When one of them is not there.
    """
    changes = differences(decisions_of(archive, task, before), decisions_of(archive, task, after))
    return [
        {"unit_id": change.unit_id, "before": describe(change.before), "after": describe(change.after)}
        for change in changes
    ]


def draft_answer(draft: Draft, newer: list[str]) -> dict[str, Any]:
    """Return a draft as the page has it.

    Parameters
    ----------
    draft
        As the database has it.
    newer
        Curations that people made since it was begun.
    """
    return {
        "task": str(draft.task),
        "curator": draft.curator,
        "parent": None if draft.parent is None else str(draft.parent),
        "revision": draft.revision,
        "position": draft.position,
        "edit_count": len(draft.edits),
        "can_undo": draft.can_undo,
        "can_redo": draft.can_redo,
        "next_undo": _told(draft.edits[draft.position - 1]) if draft.can_undo else None,
        "next_redo": _told(draft.edits[draft.position]) if draft.can_redo else None,
        "started": _when(draft.started_at),
        "units": compact(draft.decisions),
        "decided": sorted(_decided(draft)),
        "newer": newer,
    }


def compact(decisions: Decisions) -> list[list[Any]]:
    """Return decisions as rows of unit, accepted, type, merged into, members."""
    return [
        [unit, int(one.accepted), one.mask_type, one.merged_into, list(one.members)]
        for unit, one in sorted(decisions.items())
    ]


def newer_curations(archive: Archive, draft: Draft) -> list[str]:
    """Return the curations that people made of a draft's processing since it was begun, as ``key by curator``."""
    with archive.database.session() as session:
        statement = natural_select(m.Curation, **draft.task.columns, manual_curation=True)
        rows = [dict(row) for row in session.execute(statement).mappings()]
    return [f"{_curation_key(row)} by {row['curator']}" for row in rows if row["curation_time"] > draft.started_at]


def _decided(draft: Draft) -> set[int]:
    """Return the units that the person said something of; what became part of another is decided by that."""
    named: set[int] = set()
    for edit in draft.edits[: draft.position]:
        match edit:
            case Merge(into=int(number)):
                named.add(number)
            case Split():
                named.discard(edit.unit_id)
            case SetType():
                pass
            case _:
                named.update(edit.unit_ids)
    live: dict[int, Decision] = {u: d for u, d in draft.decisions.items() if d.merged_into is None}
    return named & live.keys()


def _told(edit: Edit) -> str:
    units = (edit.unit_id,) if isinstance(edit, Split) else edit.unit_ids
    which = f"unit {units[0]}" if len(units) == 1 else f"{len(units)} units"
    if isinstance(edit, SetType):
        return f"type of {which} {'taken back' if edit.mask_type is None else edit.mask_type.value}"
    return f"{edit.kind} {which}"


def _curations(archive: Archive, task: TaskKey | None = None) -> dict[str, list[dict[str, Any]]]:
    with archive.database.session() as session:
        below = {} if task is None else task.columns
        statement = natural_select(m.Curation, with_ids=True, **below)
        rows = [dict(row) for row in session.execute(statement).mappings()]
        unit = m.CurationUnit
        is_live = col(unit.merged_into).is_(None)
        counted = (
            select(col(unit.curation_pk), func.count(), func.sum(cast(col(unit.accepted), Integer)))
            .where(is_live)
            .group_by(col(unit.curation_pk))
        )
        counts = {pk: (units, accepted or 0) for pk, units, accepted in session.execute(counted)}
        extracted = set(session.scalars(select(col(m.Segmentation.curation_pk))))
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        key = _curation_key(row)
        units, accepted = counts.get(row["id"], (0, 0))
        found.setdefault(str(key.task), []).append(
            {
                "key": str(key),
                "curation_id": key.curation_id,
                "parent": row["parent_curation"],
                "curator": row["curator"],
                "manual": row["manual_curation"],
                "policy": row["policy"].get("kind", ""),
                "when": _when(row["curation_time"]),
                "note": row["curation_note"],
                "unit_count": units,
                "accepted_count": int(accepted),
                "extracted": row["id"] in extracted,
            }
        )
    return found


def _drafts(archive: Archive, curator: str) -> dict[str, dict[str, Any]]:
    with archive.database.session() as session:
        rows = [dict(r) for r in session.execute(natural_select(m.CurationDraft, curator=curator)).mappings()]
    return {
        str(_task_key(row)): {"changed": _when(row["changed_at"]), "edits": row["position"]}
        for row in rows
        if row["edits"]
    }


def _review(review: ReviewStatus) -> dict[str, Any]:
    return {
        "review_id": review.review_id,
        "requested": _when(review.requested_at),
        "deadline": _when(review.deadline),
        "overdue": review.overdue,
        "start": str(review.start),
        "run": review.run,
        "limit_h": None if review.policy.time_limit_h is None else number(review.policy.time_limit_h),
        "at_time_limit": review.policy.at_time_limit,
    }


def _task_key(row: dict[str, Any]) -> TaskKey:
    recording = m.RecordingKey(
        subject=row["subject"], session_datetime=row["session_datetime"], recording_id=row["recording_id"]
    )
    return TaskKey(recording=recording, paramset_id=row["paramset_id"])


def _curation_key(row: dict[str, Any]) -> CurationKey:
    return CurationKey(task=_task_key(row), curation_id=row["curation_id"])


def _when(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")
