"""Curation: decisions on the units of a processing, each kept as a version of its own."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.curation.decisions import (
    Accept,
    Decision,
    Decisions,
    Edit,
    Reject,
    accepted_units,
    engine_decisions,
    replay,
)
from miniscope_core.curation.policies import AcceptEngine, AutomaticPolicy, CurationPolicy, Manual, decide
from miniscope_core.curation.units import CuratedUnits
from miniscope_core.errors import ConflictError, CurationError
from miniscope_core.models import CurationKey, MaskKind, TaskKey, get, make
from miniscope_core.models.types import Name
from miniscope_core.pipeline.merges import merged_arrays, merged_rows, numbered, publish_merges
from miniscope_core.pipeline.published import publication_of, published_result, reading
from miniscope_core.pipeline.rows import lock_writers, next_number
from miniscope_core.storage.archive import Archive

_log = logging.getLogger(__name__)
_ACCEPT_ENGINE = AcceptEngine()


@dataclass(frozen=True)
class Curated:
    """What curation did."""

    key: CurationKey
    changed: bool
    """False when this policy had decided on this processing already."""
    unit_count: int
    accepted_count: int
    message: str
    newer: tuple[str, ...] = ()
    """Curations that people made since this one was begun, as ``key by curator``."""
    runs: tuple[str, ...] = ()
    """Flow runs that waited for a person and have their answer now: they are to be woken."""


def curate_processing(archive: Archive, task: TaskKey, policy: CurationPolicy = _ACCEPT_ENGINE) -> Curated:
    """Decide on the units of a processing by an automatic policy, once per policy.

    Parameters
    ----------
    archive
        Where the processing is and the curation goes.
    task
        A processed task.
    policy
        How to decide.

    Returns
    -------
    Curated
        The curation's key: number 0 for the first decision on a processing, then one more each.

    Raises
    ------
    NotFoundError
        When the task was not processed.
    CurationError
        When the policy waits for a person, or asks for a number that no unit has.
    StoreError
        When its result cannot be read; nothing is written.
    """
    if isinstance(policy, Manual):
        raise CurationError(
            f"Policy manual of {task} waits for a person: decide with `miniscope curate {task}`, "
            "or run a deployment of the flow, which waits."
        )
    rule = policy.model_dump(mode="json")
    with archive.database.session() as session:
        known = _decided(session, task, rule)
    if known is not None:
        return known
    with reading(archive, task):
        decisions = engine_decisions(decide(policy, published_result(archive, task)))
    with archive.database.session() as session:
        lock_writers(session)
        known = _decided(session, task, rule)
        if known is not None:  # by somebody else, in the meantime
            return known
        return _add(session, task, decisions, manual_curation=False, curator=policy.kind, policy=rule)


def submit_curation(
    archive: Archive,
    task: TaskKey,
    edits: Iterable[Edit] = (),
    *,
    curator: Name,
    parent: CurationKey | None = None,
    note: str = "",
    since: datetime | None = None,
    review_id: int | None = None,
) -> Curated:
    """Keep what a person decided as the next version; it answers every review of the processing that nobody answered.

    That is also one whose time limit passed: a run that failed then goes on when it is tried again.

    Parameters
    ----------
    archive
        Where the processing is and the curation goes.
    task
        A processed task.
    edits
        What the person changed, in the order done; merges are given their numbers here.
    curator
        Who decided.
    parent
        The curation they started from; default: the engine's own acceptance.
    note
        What they remarked.
    since
        When they began: what others made later is named in ``newer``. Default: whatever is newer than ``parent``.
    review_id
        Answer this review alone.

    Returns
    -------
    Curated
        A new curation each time; two people who save at once get two.

    Raises
    ------
    NotFoundError
        When the task was not processed, or there is no such parent.
    CurationError
        When an edit cannot be made, or the parent is of another processing.
    StoreError
        When merged units cannot be published; no curation is made then.
    """
    if parent is not None and parent.task != task:
        raise CurationError(f"Curation {parent} is not of {task}: start from one of its own.")
    start = decisions_of(archive, task, parent)
    decisions = replay(start, numbered(archive, task, start, edits))
    publish_merges(archive, task, (unit for unit, decision in decisions.items() if decision.members))
    with archive.database.session() as session:
        lock_writers(session)
        newer = _newer(session, task, parent, since)
        curated = _add(
            session,
            task,
            decisions,
            newer,
            manual_curation=True,
            curator=curator,
            curation_note=note,
            policy={"kind": "manual"},
            parent_curation_pk=None if parent is None else get(session, m.Curation, **parent.columns).id,
        )
        return replace(curated, runs=_answer_reviews(session, curated.key, review_id))


def edits_by_policy(archive: Archive, task: TaskKey, policy: AutomaticPolicy, parent: CurationKey | None) -> list[Edit]:
    """Return what a person changes in a curation who decides by a rule.

    Units that were merged keep what was decided on them: a rule knows the engine's units only.

    Raises
    ------
    NotFoundError
        When there is no such processing or curation.
    CurationError
        When the rule asks for a number that no unit has.
    StoreError
        When the result cannot be read.
    """
    start = decisions_of(archive, task, parent)
    with reading(archive, task):
        wanted = decide(policy, published_result(archive, task)).tolist()
    changed = [
        unit
        for unit, is_accepted in enumerate(wanted)
        if start[unit].merged_into is None and start[unit].accepted != is_accepted
    ]
    accept = tuple(unit for unit in changed if wanted[unit])
    reject = tuple(unit for unit in changed if not wanted[unit])
    return [*([Accept(unit_ids=accept)] if accept else []), *([Reject(unit_ids=reject)] if reject else [])]


def edits_that_reject_all(archive: Archive, task: TaskKey, parent: CurationKey | None) -> list[Edit]:
    """Return what a person changes in a curation who takes no unit for a cell; errors as of :func:`decisions_of`."""
    accepted = accepted_units(decisions_of(archive, task, parent))
    return [Reject(unit_ids=tuple(accepted))] if accepted else []


def decisions_of(archive: Archive, task: TaskKey, curation: CurationKey | None = None) -> Decisions:
    """Return the decisions of a curation, or the engine's own acceptance.

    Raises
    ------
    NotFoundError
        When there is no such processing or curation.
    StoreError
        When the engine's acceptance cannot be read.
    """
    if curation is None:
        with reading(archive, task):
            return engine_decisions(published_result(archive, task).accepted)
    with archive.database.session() as session:
        return read_decisions(session, curation)


def read_decisions(session: Session, curation: CurationKey) -> Decisions:
    """Return the decisions of a curation.

    Raises
    ------
    NotFoundError
        When there is no such curation.
    """
    row = get(session, m.Curation, **curation.columns)
    members = {unit: merged.members for unit, merged in merged_rows(session, curation.task).items()}
    kinds = {kind.id: MaskKind(kind.mask_type) for kind in session.scalars(select(m.MaskType))}
    units = select(m.CurationUnit).filter_by(curation_pk=row.id).order_by(col(m.CurationUnit.unit_id))
    return {
        unit.unit_id: Decision(
            accepted=unit.accepted,
            mask_type=None if unit.mask_type_pk is None else kinds[unit.mask_type_pk],
            merged_into=unit.merged_into,
            members=members.get(unit.unit_id, ()),
        )
        for unit in session.scalars(units)
    }


def curated_units(archive: Archive, task: TaskKey, decisions: Decisions) -> CuratedUnits:
    """Return the units of a processing as decisions have them, with their arrays.

    Raises
    ------
    NotFoundError
        When the task was not processed.
    StoreError
        When the store is away or lacks its result.
    """
    result = published_result(archive, task)
    return CuratedUnits(result, decisions, merged_arrays(archive, task, result))


def _decided(session: Session, task: TaskKey, rule: dict[str, object]) -> Curated | None:
    processing = get(session, m.Processing, **task.columns)
    rows = session.scalars(select(m.Curation).filter_by(processing_pk=processing.id, manual_curation=False))
    for row in rows:
        if row.policy == rule:
            key = CurationKey(task=task, curation_id=row.curation_id)
            units = session.scalars(select(col(m.CurationUnit.accepted)).filter_by(curation_pk=row.id)).all()
            return Curated(key, False, len(units), sum(units), f"Unchanged: {key} was curated already by {row.curator}")
    return None


def _newer(session: Session, task: TaskKey, parent: CurationKey | None, since: datetime | None) -> tuple[str, ...]:
    processing = get(session, m.Processing, **task.columns)
    rows = select(m.Curation).filter_by(processing_pk=processing.id).order_by(col(m.Curation.curation_id))
    after = -1 if parent is None else parent.curation_id
    return tuple(
        f"{CurationKey(task=task, curation_id=row.curation_id)} by {row.curator}"
        for row in session.scalars(rows)
        if row.manual_curation and row.curation_id > after and (since is None or row.curation_time > since)
    )


def _answer_reviews(session: Session, curation: CurationKey, review_id: int | None) -> tuple[str, ...]:
    """Let a curation answer the open reviews of its processing, or one of them; return the runs that wait for them."""
    answer = get(session, m.Curation, **curation.columns)
    wanted = {"processing_pk": answer.processing_pk} | ({} if review_id is None else {"review_id": review_id})
    unanswered = col(m.Review.state) != m.ReviewState.ANSWERED
    rows = session.scalars(select(m.Review).filter_by(**wanted).where(unanswered).order_by(col(m.Review.id))).all()
    for row in rows:
        row.state, row.answer_curation_pk, row.closed_at = m.ReviewState.ANSWERED, answer.id, datetime.now(UTC)
    return tuple(row.run for row in rows if row.run is not None)


def _add(session: Session, task: TaskKey, decisions: Decisions, newer: tuple[str, ...] = (), **fields: Any) -> Curated:
    """Add a curation and its units; the writers are locked."""
    processing = get(session, m.Processing, **task.columns)
    expected = set(range(processing.unit_count))
    if not expected <= decisions.keys():
        raise ConflictError(f"Decisions on {task} lack unit {min(expected - decisions.keys())}: nothing was written.")
    row = make(
        m.Curation,
        processing_pk=processing.id,
        curation_id=next_number(session, m.Curation.curation_id, col(m.Curation.processing_pk) == processing.id),
        curation_time=datetime.now(UTC),
        curation_output_dir=publication_of(session, task).prefix,
        **fields,
    )
    session.add(row)
    session.flush()
    kinds = {kind.mask_type: kind.id for kind in session.scalars(select(m.MaskType))}
    session.add_all(
        make(
            m.CurationUnit,
            curation_pk=row.id,
            unit_id=unit,
            accepted=decision.accepted,
            merged_into=decision.merged_into,
            mask_type_pk=None if decision.mask_type is None else kinds[decision.mask_type.value],
        )
        for unit, decision in sorted(decisions.items())
    )
    key = CurationKey(task=task, curation_id=row.curation_id)
    accepted, units = len(accepted_units(decisions)), sum(d.merged_into is None for d in decisions.values())
    message = f"Curated {key} by {row.curator}: {accepted} of {units} units accepted"
    if newer:
        message += f". Since it was begun there came {', '.join(newer)}: both are kept"
    _log.info(message)
    return Curated(key, True, units, accepted, message, newer)
