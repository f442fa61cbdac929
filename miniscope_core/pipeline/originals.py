"""The files of an ingested recording: where they lie now, and whether they are still those that were ingested."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, RecordingNotFoundError
from miniscope_core.io import open_recording
from miniscope_core.io.clock import ClockPolicy
from miniscope_core.io.joined import join_recordings
from miniscope_core.io.recording import Recording
from miniscope_core.models import RecordingKey, as_key, describe_key, get
from miniscope_core.pipeline.files import RawFiles, Where, digest_files
from miniscope_core.progress import Progress
from miniscope_core.storage.archive import Archive

READING = "read_options"
"""Where a clock report keeps the options without which its recording could not be read."""
GIVEN = "given"
"""What a clock report names as its source where the caller passed a rate."""


@dataclass(frozen=True)
class _Originals:
    """What the database knows of a recording's files."""

    directory: str
    given_fps: float | None
    clock: ClockPolicy
    """How it was read: not strictly, since the files are what they were and so is what is odd about them."""
    reading: dict[str, str]
    """Options without which the files cannot be read: dataset, files, columns."""
    sha256: dict[str, str]
    """By the file's path from the recording's folder: the session's metadata lie beside it."""
    frame_counts: dict[str, int]
    """Of the videos. Counting means decoding; once the digests say that a file is the same, its count is too."""


def find_ingested(session: Session, folder: Path, raw: RawFiles) -> RecordingKey | None:
    """Return the key under which a folder was ingested, by any name it may have had, or None.

    Parameters
    ----------
    session
        Open session.
    folder
        A recording's folder, or the copy of one.
    raw
        Where recordings lie.
    """
    names = raw.names(folder)
    for row in session.scalars(select(m.Recording).where(col(m.Recording.recording_directory).in_(names))):
        try:
            place = raw.find(row.recording_directory)
        except RecordingNotFoundError:
            continue
        if raw.is_at(place, folder):
            return recording_key(session, row)
    return None


def recording_key(session: Session, row: m.Recording) -> RecordingKey:
    """Return the natural key of a recording's row."""
    return as_key(describe_key(row, session), RecordingKey)


def open_ingested(archive: Archive, key: RecordingKey, progress: Progress) -> Recording:
    """Open the files of an ingested recording, once they proved to be what was ingested.

    How the clock was joined was decided when the recording was ingested, and is done in the same way here.

    Parameters
    ----------
    archive
        Where it was ingested.
    key
        An ingested recording.
    progress
        Told the files digested.

    Raises
    ------
    RecordingNotFoundError
        When its folder is away.
    ConflictError
        When a file is missing, new or has other content; it names them.
    """
    with archive.database.session() as session:
        parts = _read_parts(session, key)
        known = None if parts else _read_originals(session, key)
    if known is None:
        return join_recordings([open_ingested(archive, part, progress) for part in parts])
    raw = RawFiles.of(archive.settings)
    where = raw.find(known.directory)
    with raw.remote.held(where, progress) as folder:
        return _open_unchanged(raw, archive.settings.workers, key, known, where, folder, progress)


def _open_unchanged(
    raw: RawFiles,
    workers: int,
    key: RecordingKey,
    known: _Originals,
    where: Where,
    folder: Path,
    progress: Progress,
) -> Recording:
    # Not through the file system: a folder that is a link has its session where the link lies.
    places = {name: Path(os.path.normpath(folder / name)) for name in sorted(known.sha256)}
    there = {name: place for name, place in places.items() if place.is_file()}
    digests = dict(zip(there, digest_files(there.values(), workers, progress), strict=True))
    changes = [f"{name} is missing" for name in places if name not in there]
    changes += [f"{name} has other content" for name in there if digests[name].sha256 != known.sha256[name]]
    if changes:
        raise _not_the_same(key, where, changes)
    # The files are what they were, so the report is too; with the clock taken strictly, a new video would be
    # called a clock that is too short.
    opened = open_recording(
        where,
        clock=known.clock,
        fps=known.given_fps,
        frame_counts=known.frame_counts,
        workers=workers,
        dataset=known.reading.get("dataset"),
        files=known.reading.get("files"),
        columns=known.reading.get("columns"),
        remote=raw.remote,
    )
    read = [*(file.path for file in opened.files), *opened.side_files]
    new = sorted({name_in(folder, path) for path in read} - places.keys())
    if new:
        raise _not_the_same(key, where, [f"{name} is new" for name in new])
    return opened


def recorded_clock(report: Mapping[str, Any]) -> ClockPolicy:
    """Return the policy by which an ingested recording is read again, so that it has the frames and times it had."""
    return "interpolate" if report.get("invented") else "report"


def _read_parts(session: Session, key: RecordingKey) -> list[RecordingKey]:
    """Return the recordings that one was joined from, in order; none for one that is a recording itself."""
    row = get(session, m.Recording, **key.columns)
    parts = select(m.RecordingPart).filter_by(recording_pk=row.id).order_by(col(m.RecordingPart.part_id))
    return [
        recording_key(session, session.get_one(m.Recording, part.joined_recording_pk))
        for part in session.scalars(parts)
    ]


def name_in(folder: Path, path: Path) -> str:
    """Return a file's path from the recording's folder, with forward slashes; it may lie beside the folder.

    Names of the database do as well, addresses too: both lose the same slash.
    """
    return Path(os.path.relpath(path, folder)).as_posix()


def _read_originals(session: Session, key: RecordingKey) -> _Originals:
    directory = get(session, m.Recording, **key.columns).recording_directory
    info = get(session, m.RecordingInfo, **key.columns)
    rows = session.scalars(select(m.RecordingFile).filter_by(recording_info_pk=info.id))
    files = {name_in(Path(directory), Path(row.file_path)): row for row in rows}
    return _Originals(
        directory=directory,
        clock=recorded_clock(info.clock_report),
        given_fps=info.fps if info.clock_report.get("source") == GIVEN else None,
        reading=info.clock_report.get(READING, {}),
        sha256={name: row.sha256 for name, row in files.items()},
        frame_counts={name: row.nframes for name, row in files.items() if row.nframes is not None},
    )


def _not_the_same(key: RecordingKey, where: Where, changes: list[str]) -> ConflictError:
    more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
    return ConflictError(
        f"Files of {key} in {where} are not those that were ingested: {', '.join(changes[:5])}{more}. "
        "Nothing was overwritten: restore them, or ingest the new files from a folder of their own."
    )
