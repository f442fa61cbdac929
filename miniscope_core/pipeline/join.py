"""Recordings of one session as one movie: each ingested for itself, and their joint beside them."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, RecordingFormatError
from miniscope_core.io import Recording, find_recordings, open_recording
from miniscope_core.io.joined import join_recordings
from miniscope_core.models import RecordingKey, get
from miniscope_core.pipeline.files import RawFiles
from miniscope_core.pipeline.ingest import Ingested, Prepared, ingest_recording, record
from miniscope_core.pipeline.originals import open_ingested
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.progress import Progress, silent
from miniscope_core.storage.archive import Archive


def ingest_folder(
    archive: Archive, folder: str | os.PathLike[str], options: IngestOptions, progress: Progress = silent
) -> Ingested:
    """Ingest a folder as its options say: one recording, or all that it holds and the movie they make together.

    Raises as :func:`~miniscope_core.pipeline.ingest.ingest_recording` and :func:`ingest_joined` do.
    """
    return (ingest_joined if options.join else ingest_recording)(archive, folder, options, progress)


def ingest_joined(
    archive: Archive, folder: str | os.PathLike[str], options: IngestOptions, progress: Progress = silent
) -> Ingested:
    """Ingest all recordings of a folder into one session, and the movie that they make together, once.

    Parameters
    ----------
    archive
        Where to record them.
    folder
        Holds at least two recordings of one device, or is the address of that; the session begins with the earliest.
    options
        As for one recording; a ``recording_id`` is that of the joined one.
    progress
        Told the frames decoded and the files digested.

    Raises
    ------
    RecordingError
        When one is broken, or they do not belong together.
    ConflictError
        When one was ingested into another session.
    DatabaseError, StoreError
        When one of them is away or cannot be written.
    """
    raw = RawFiles.of(archive.settings)
    with raw.remote.held(folder, progress) as held:
        return _ingest_all(archive, raw, held, options, progress)


def _ingest_all(archive: Archive, raw: RawFiles, folder: Path, options: IngestOptions, progress: Progress) -> Ingested:
    places = find_recordings(folder)
    if len(places) < 2:
        raise RecordingFormatError(
            f"Recordings to join in {folder}: got {len(places)}, expected at least 2. Leave join= (--join) out, or "
            "name the folder that holds all of them."
        )
    single = options.model_copy(update={"join": False, "recording_id": None})
    # A quick look, to know the order; the frames are counted when each is ingested.
    looks = [
        open_recording(place, clock="report", fps=options.fps, columns=options.columns, trust_containers=True)
        for place in places
    ]
    order = _in_order(join_recordings(looks), looks)
    earliest = looks[order[0]].metadata.recording_datetime
    if options.session_datetime is None and earliest is not None:
        single = single.model_copy(update={"session_datetime": earliest.replace(microsecond=0)})
    keys = [ingest_recording(archive, raw.remote.where(places[at]), single, progress).key for at in order]
    return join_ingested(archive, keys, options, progress)


def join_ingested(
    archive: Archive, keys: Sequence[RecordingKey], options: IngestOptions, progress: Progress = silent
) -> Ingested:
    """Record the movie that ingested recordings of one session make together, once.

    It is a recording like any other, to be processed, curated and queried; ``RecordingPart`` has where each lies.

    Raises
    ------
    ConflictError
        When they are of several sessions.
    RecordingError
        When they do not belong together, or their files are not what they were.
    """
    sessions = {key.parent for key in keys}
    if len(sessions) != 1:
        named = ", ".join(sorted(map(str, sessions)))
        raise ConflictError(
            f"Recordings to join: got those of the sessions {named}, expected one session. Ingest them with the same "
            "session_datetime= (--session-datetime)."
        )
    opened = [open_ingested(archive, key, progress) for key in keys]
    joined = join_recordings(opened)
    keys = [keys[at] for at in _in_order(joined, opened)]
    with archive.database.session() as session:
        digests = [get(session, m.RecordingInfo, **key.columns).content_digest for key in keys]
    digest = hashlib.sha256("\n".join(["joined", *digests]).encode()).hexdigest()
    (parent,) = sessions
    given = options.model_copy(update={"subject": parent.subject, "session_datetime": parent.session_datetime})
    return record(
        archive,
        Prepared(
            joined, RawFiles.of(archive.settings).remote.where(joined.directory), [], digest, parent, given, tuple(keys)
        ),
        progress,
    )


def _in_order(joined: Recording, recordings: Sequence[Recording]) -> list[int]:
    """Return the recordings' positions in the order in which they lie in the joined one."""
    places = [part.directory for part in joined.parts]
    return sorted(range(len(recordings)), key=lambda at: places.index(recordings[at].directory))
