"""Published results, read back from the store: what later stages and views work with."""

from contextlib import AbstractContextManager

import zarr
from sqlalchemy.orm import Session

from miniscope_core import models as m
from miniscope_core.errors import StoreError
from miniscope_core.models import TaskKey, get
from miniscope_core.result import ARRAYS_GROUP, RESULT_FILE, ProcessingResult, result_from
from miniscope_core.storage.archive import Archive


def publication_of(session: Session, task: TaskKey) -> m.Publication:
    """Return the publication that holds a task's result.

    Raises
    ------
    NotFoundError
        When the task was not processed.
    """
    processing = get(session, m.Processing, **task.columns)
    return session.get_one(m.Publication, processing.publication_pk)


def open_published(archive: Archive, publication: m.Publication) -> zarr.Group:
    """Open the arrays of a publication, once its objects proved to be all there.

    Zarr takes an object that is missing for one of zeros: what was lost from a store would be read as silence.

    Raises
    ------
    StoreError
        When the store is away or lacks some of it.
    """
    store, prefix = archive.store, publication.prefix
    sizes = store.objects(prefix)
    got, expected = (len(sizes), sum(sizes.values())), (publication.object_count, publication.nbytes)
    if got != expected:
        raise StoreError(
            f"Damaged publication at {store.address(prefix)}: got {got[0]} objects of {got[1]} bytes, "
            f"expected {expected[0]} of {expected[1]}. Restore the store from its backup."
        )
    return store.open_group(prefix, ARRAYS_GROUP)


def published_result(archive: Archive, task: TaskKey) -> ProcessingResult:
    """Open the published result of a task; arrays are fetched when they are read.

    Raises
    ------
    NotFoundError
        When the task was not processed.
    StoreError
        When the store is away or lacks it.
    """
    with archive.database.session() as session:
        publication = publication_of(session, task)
    group = open_published(archive, publication)
    description = archive.store.read_bytes(publication.prefix, RESULT_FILE)
    return result_from(description, group, archive.store.address(publication.prefix))


def reading(archive: Archive, task: TaskKey) -> AbstractContextManager[None]:
    """Explain what goes wrong while arrays of a task's result are read, as :class:`StoreError`."""
    with archive.database.session() as session:
        return archive.store.reading(publication_of(session, task).prefix)
