"""Published results, read back from the store: what later stages and views work with."""

from sqlalchemy.orm import Session

from miniscope_core import models as m
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
        prefix = publication_of(session, task).prefix
    description = archive.store.read_bytes(prefix, RESULT_FILE)
    return result_from(description, archive.store.open_group(prefix, ARRAYS_GROUP), archive.store.address(prefix))
