"""Merged units: numbered once per processing, computed and published once, shared by every curation that has them."""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import zarr
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.curation.decisions import Decisions, Edit, Merge, members_of, replay
from miniscope_core.curation.merging import MergedArrays, merge_units
from miniscope_core.errors import CurationError, StoreError
from miniscope_core.models import TaskKey, get, make
from miniscope_core.models.types import NAME_LENGTH
from miniscope_core.pipeline.published import open_published, published_result, reading
from miniscope_core.pipeline.rows import lock_writers, next_number
from miniscope_core.result import SPARSE_PARTS, ArrayWriter, ProcessingResult
from miniscope_core.storage.archive import Archive
from miniscope_core.storage.publish import publishing

_KIND = "merge"


def number_of_merge(archive: Archive, task: TaskKey, members: Iterable[int]) -> int:
    """Return the number of the unit that these units of the engine make together; the same ones have the same number.

    Parameters
    ----------
    archive
        Where the processing is.
    task
        A processed task.
    members
        Numbers of at least two of the engine's units.

    Raises
    ------
    NotFoundError
        When the task was not processed.
    CurationError
        When a unit is not there, or there are too many.
    """
    units = sorted(set(members))
    text = "+".join(map(str, units))
    if len(text) > NAME_LENGTH:
        raise CurationError(f"Cannot merge {len(units)} units at once: merge some of them first.")
    with archive.database.session() as session:
        lock_writers(session)
        processing = get(session, m.Processing, **task.columns)
        known = session.scalars(
            select(m.MergedUnit).filter_by(processing_pk=processing.id, member_text=text)
        ).one_or_none()
        if known is not None:
            return known.unit_id
        if len(units) < 2 or units[-1] >= processing.unit_count:
            raise CurationError(
                f"Cannot merge units {', '.join(map(str, units))} of {task}: "
                f"expected at least two of 0 to {processing.unit_count - 1}."
            )
        number = next_number(session, m.MergedUnit.unit_id, col(m.MergedUnit.processing_pk) == processing.id)
        number = max(number, processing.unit_count)
        session.add(make(m.MergedUnit, processing_pk=processing.id, unit_id=number, member_text=text))
    return number


def numbered(archive: Archive, task: TaskKey, start: Decisions, edits: Iterable[Edit]) -> list[Edit]:
    """Return edits whose merges have their numbers, and check that they can be made one after another.

    Parameters
    ----------
    archive
        Where the processing is.
    task
        A processed task.
    start
        The decisions that the edits start from.
    edits
        In the order made; what a merge says of its number is not believed.

    Raises
    ------
    CurationError
        When one cannot be made.
    """
    decisions, found = start, list[Edit]()
    for edit in edits:
        if isinstance(edit, Merge):
            number = number_of_merge(archive, task, members_of(decisions, edit.unit_ids))
            edit = edit.model_copy(update={"into": number})
        decisions = replay(start, [*found, edit])
        found.append(edit)
    return found


def merged_rows(session: Session, task: TaskKey) -> dict[int, m.MergedUnit]:
    """Return the merged units of a processing by number."""
    processing = get(session, m.Processing, **task.columns)
    return {row.unit_id: row for row in session.scalars(select(m.MergedUnit).filter_by(processing_pk=processing.id))}


def merged_arrays(
    archive: Archive, task: TaskKey, result: ProcessingResult
) -> Callable[[int, tuple[int, ...]], MergedArrays]:
    """Return what gives the arrays of a merged unit: read where they were published, computed where not.

    Parameters
    ----------
    archive
        Where the processing is.
    task
        A processed task.
    result
        Its result.
    """

    @cache
    def arrays(unit_id: int, members: tuple[int, ...]) -> MergedArrays:
        with archive.database.session() as session:
            row = merged_rows(session, task).get(unit_id)
            publication = None
            if row is not None and row.publication_pk is not None:
                publication = session.get_one(m.Publication, row.publication_pk)
        if row is None or publication is None:
            with reading(archive, task):
                return merge_units(result, members)
        return _read(archive, publication, row.array_row or 0, result.shape)

    return arrays


def _read(archive: Archive, publication: m.Publication, row: int, shape: tuple[int, int]) -> MergedArrays:
    group = open_published(archive, publication)
    with archive.store.reading(publication.prefix):
        data, indices, indptr = (np.asarray(_array(group, f"footprints_{part}")[...]) for part in SPARSE_PARTS)
        footprints = sp.csr_array((data, indices, indptr), shape=(len(indptr) - 1, shape[0] * shape[1]))
        fluorescence, trace, activity = (
            np.asarray(_array(group, name)[row], np.float32) for name in ("fluorescence", "traces", "activity")
        )
    return MergedArrays(footprints[[row]], fluorescence, trace, activity)


def _array(group: zarr.Group, name: str) -> "zarr.Array[Any]":
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise StoreError(f"Array {name} is missing in {group.store_path}: restore the store from its backup.")
    return array


def publish_merges(archive: Archive, task: TaskKey, unit_ids: Iterable[int]) -> None:
    """Compute and publish the arrays of merged units that have none yet, all in one publication.

    Parameters
    ----------
    archive
        Where the processing is.
    task
        A processed task.
    unit_ids
        Numbers as :func:`number_of_merge` gave them.

    Raises
    ------
    NotFoundError
        When there is no such merged unit.
    StoreError
        When arrays cannot be read or written; no merged unit is published then.
    """
    wanted = sorted(set(unit_ids))
    missing = _unpublished(archive, task, wanted)
    if not missing:
        return
    result = published_result(archive, task)
    with reading(archive, task):
        merged = [merge_units(result, members) for members in missing.values()]
    archive.settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="merge-", dir=archive.settings.scratch_dir) as scratch:
        folder = Path(scratch) / "arrays"
        _write(folder, merged)
        with (
            suppress(_SupersededError),
            publishing(archive.database, archive.store, folder, _KIND) as published,
        ):
            _name(*published, task, list(missing))


class _SupersededError(Exception):
    """Somebody else published all of it: ours is not needed."""


def _name(session: Session, publication: m.Publication, task: TaskKey, units: list[int]) -> None:
    """Let the rows of merged units say where their arrays are; those that know already keep what they know."""
    lock_writers(session)
    rows = merged_rows(session, task)
    places = {unit: row for row, unit in enumerate(units) if rows[unit].publication_pk is None}
    if not places:
        raise _SupersededError
    for unit, array_row in places.items():
        rows[unit].publication_pk = publication.id
        rows[unit].array_row = array_row


def _unpublished(archive: Archive, task: TaskKey, unit_ids: list[int]) -> dict[int, tuple[int, ...]]:
    with archive.database.session() as session:
        rows = merged_rows(session, task)
        unknown = [unit for unit in unit_ids if unit not in rows]
        if unknown:
            raise CurationError(f"No merged unit {unknown[0]} of {task}: merge its members first.")
        return {unit: rows[unit].members for unit in unit_ids if rows[unit].publication_pk is None}


def _write(folder: Path, merged: list[MergedArrays]) -> None:
    writer = ArrayWriter(folder)
    writer.write_footprints(sp.vstack([unit.footprint for unit in merged]))
    for name, field in (("fluorescence", "fluorescence"), ("traces", "trace"), ("activity", "activity")):
        writer.write(name, np.stack([getattr(unit, field) for unit in merged]))
