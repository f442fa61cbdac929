"""Curation: a decision on the units of a processing, kept as a version of its own."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.curation.policies import AcceptEngine, CurationPolicy, decide
from miniscope_core.models import CurationKey, TaskKey, get, make
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


def curate_processing(archive: Archive, task: TaskKey, policy: CurationPolicy = _ACCEPT_ENGINE) -> Curated:
    """Decide on the units of a processing by a policy, once per policy.

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
    StoreError
        When its result cannot be read; nothing is written.
    """
    rule = policy.model_dump(mode="json")
    with archive.database.session() as session:
        known = _decided(session, task, rule)
    if known is not None:
        return known
    with reading(archive, task):
        accepted = decide(policy, published_result(archive, task))
    with archive.database.session() as session:
        lock_writers(session)
        known = _decided(session, task, rule)
        if known is not None:  # by somebody else, in the meantime
            return known
        row = _add_curation(session, task, rule)
        _add_units(session, row, accepted)
        key = CurationKey(task=task, curation_id=row.curation_id)
    message = f"Curated {key} by {policy.kind}: {int(accepted.sum())} of {len(accepted)} units accepted"
    _log.info(message)
    return Curated(key, True, len(accepted), int(accepted.sum()), message)


def _decided(session: Session, task: TaskKey, rule: dict[str, object]) -> Curated | None:
    processing = get(session, m.Processing, **task.columns)
    rows = session.scalars(select(m.Curation).filter_by(processing_pk=processing.id, manual_curation=False))
    for row in rows:
        if row.policy == rule:
            key = CurationKey(task=task, curation_id=row.curation_id)
            units = session.scalars(select(col(m.CurationUnit.accepted)).filter_by(curation_pk=row.id)).all()
            return Curated(key, False, len(units), sum(units), f"Unchanged: {key} was curated already by {row.curator}")
    return None


def _add_curation(session: Session, task: TaskKey, rule: dict[str, object]) -> m.Curation:
    processing = get(session, m.Processing, **task.columns)
    row = make(
        m.Curation,
        processing_pk=processing.id,
        curation_id=next_number(session, m.Curation.curation_id, col(m.Curation.processing_pk) == processing.id),
        curation_time=datetime.now(UTC),
        curation_output_dir=publication_of(session, task).prefix,
        manual_curation=False,
        curator=str(rule["kind"]),
        policy=rule,
    )
    session.add(row)
    session.flush()
    return row


def _add_units(session: Session, row: m.Curation, accepted: NDArray[np.bool_]) -> None:
    session.add_all(
        make(m.CurationUnit, curation_pk=row.id, unit_id=unit, accepted=bool(is_accepted))
        for unit, is_accepted in enumerate(accepted)
    )
