"""Publishing: a finished folder into the store, and the rows that make it real in one commit."""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import zarr
from sqlmodel import Session, select

from miniscope_core.errors import StoreError
from miniscope_core.models.arrays import Publication, StoredArray
from miniscope_core.models.base import make
from miniscope_core.progress import Progress, silent
from miniscope_core.result import ARRAYS_GROUP, SPARSE_PARTS
from miniscope_core.storage.database import Database
from miniscope_core.storage.store import Store, Upload

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def publishing(
    database: Database,
    store: Store,
    folder: Path,
    kind: str,
    progress: Progress = silent,
    names: Iterable[str] | None = None,
) -> Iterator[tuple[Session, Publication]]:
    """Upload a folder, then commit the rows the block adds together with the row that names the upload.

    Parameters
    ----------
    database, store
        Where rows and objects go.
    folder
        A finished folder with ``arrays.zarr``; its arrays get a row each.
    kind
        What is published: ``"recording"``, ``"processing"``.
    progress
        Told the bytes uploaded.
    names
        Paths of the files in ``folder`` to upload, with ``/``; default: all.

    Yields
    ------
    tuple of Session and Publication
        Add rows to the session; they and the publication become visible together when the block ends.

    Raises
    ------
    StoreError
        When the upload fails: no row was written.
    Exception
        Whatever the block raises: no row is written and the objects are removed. When only the final commit
        fails, it may have taken effect all the same (the connection broke on the way back), so the objects stay:
        ``gc`` asks the rows.
    """
    upload = store.upload(folder, kind, progress, below=database.identity, names=names)
    in_block = True
    try:
        with database.session() as session:
            publication = _add_publication(session, upload, folder)
            yield session, publication
            session.flush()
            in_block = False
    except BaseException:
        if in_block:
            with contextlib.suppress(StoreError):
                store.remove(upload.prefix)
        raise
    _log.info("Published %s: %d objects, %d bytes", upload.prefix, upload.object_count, upload.nbytes)


def _add_publication(session: Session, upload: Upload, folder: Path) -> Publication:
    publication = make(
        Publication,
        prefix=upload.prefix,
        kind=upload.kind,
        object_count=upload.object_count,
        nbytes=upload.nbytes,
        manifest_sha256=upload.manifest_sha256,
        created_at=datetime.now(UTC),
    )
    session.add(publication)
    session.flush()
    group = zarr.open_group(str(folder / ARRAYS_GROUP), mode="r")
    names = set(group.array_keys())
    for name in sorted(names):
        stem, _, part = name.rpartition("_")
        if part in SPARSE_PARTS and f"{stem}_indptr" in names:
            if part == "indptr":
                session.add(_sparse_row(publication, group, stem))
        else:
            session.add(_dense_row(publication, group, name))
    session.flush()
    return publication


def _dense_row(publication: Publication, group: zarr.Group, name: str) -> StoredArray:
    array = _array(group, name)
    return make(
        StoredArray,
        publication_pk=publication.id,
        name=name,
        layout="dense",
        shape=list(array.shape),
        dtype=str(array.dtype),
        unit=str(array.attrs["unit"]),
        axes=list(getattr(array.metadata, "dimension_names", None) or ()),
    )


def _sparse_row(publication: Publication, group: zarr.Group, stem: str) -> StoredArray:
    data = _array(group, f"{stem}_data")
    return make(
        StoredArray,
        publication_pk=publication.id,
        name=stem,
        layout="csr",
        shape=group[f"{stem}_indptr"].attrs["sparse_shape"],
        dtype=str(data.dtype),
        unit=str(data.attrs["unit"]),
        axes=["unit", "pixel"],
    )


def _array(group: zarr.Group, name: str) -> "zarr.Array[Any]":
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{name} in {group.store_path} is no array: the folder to publish is damaged.")
    return array


@dataclass(frozen=True)
class Garbage:
    """A prefix in the store that no row names."""

    prefix: str
    written_at: datetime
    nbytes: int


def unreferenced(database: Database, store: Store, older_than: timedelta = timedelta(days=1)) -> list[Garbage]:
    """Find what crashes left in the store: prefixes of this database that no publication names.

    What other databases put into the same store lies below their identity, and is left alone.

    Parameters
    ----------
    database, store
        Every publication of the database lies in the store.
    older_than
        Spare what was written since: a run may be about to commit it.

    Returns
    -------
    list of Garbage
        Safe to remove by :meth:`Store.remove`.
    """
    limit = datetime.now(UTC) - older_than
    # The store is listed before the rows are read: what is committed in between is then already among the rows.
    found = {prefix: when for prefix, when in store.prefixes(database.identity).items() if when < limit}
    with database.session() as session:
        named = set(session.exec(select(Publication.prefix)).all())
    return [
        Garbage(prefix, when, sum(store.objects(prefix).values()))
        for prefix, when in sorted(found.items())
        if prefix not in named
    ]
