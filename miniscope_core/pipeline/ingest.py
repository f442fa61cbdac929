"""Ingestion: a recording folder into subject, session, recording, info, files, clock and configuration rows."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, MetadataError
from miniscope_core.io import find_recordings, open_recording
from miniscope_core.io.recording import Recording
from miniscope_core.models import FileRole, RecordingKey, as_key, describe_key, find, get, make
from miniscope_core.pipeline.files import FileDigest, content_digest, digest_files, path_below_roots
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.pipeline.rows import find_or_add, next_number, stored_arrays
from miniscope_core.progress import Progress, silent
from miniscope_core.result import ArrayWriter
from miniscope_core.storage.archive import Archive
from miniscope_core.storage.publish import publishing

_log = logging.getLogger(__name__)
_DEFAULTS: Final = IngestOptions()


@dataclass(frozen=True)
class Ingested:
    """What ingestion did with a folder."""

    key: RecordingKey
    changed: bool
    """False when the same files were there already and nothing was written."""
    message: str


def ingest_recording(
    archive: Archive, folder: Path, options: IngestOptions = _DEFAULTS, progress: Progress = silent
) -> Ingested:
    """Read a recording folder and record it in the database, once.

    Parameters
    ----------
    archive
        Where to record it.
    folder
        The recording's folder, or a session's that holds exactly one recording.
    options
        What the folder does not tell, or tells wrong.
    progress
        Told the frames decoded and the files digested.

    Returns
    -------
    Ingested
        The recording's key, and whether anything was written.

    Raises
    ------
    RecordingError
        When the folder is broken or its facts are not enough; nothing is written.
    ConflictError
        When the folder, or this key, was ingested with other files; nothing is overwritten.
    """
    folder = _recording_folder(Path(folder).expanduser())
    directory = path_below_roots(folder, archive.settings.raw_roots)
    with archive.database.session() as session:
        known = _known_recording(session, directory)
        counts = {} if known is None else frame_counts(session, known)
    workers = archive.settings.workers
    opened = open_recording(
        folder, clock=options.clock, fps=options.fps, frame_counts=counts, progress=progress, workers=workers
    )
    digests = digest_files([*(file.path for file in opened.files), *opened.side_files], workers, progress)
    digest = content_digest(opened.directory, digests)
    if known is not None:
        return _unchanged_or_conflict(archive, known, opened.directory, digests, options)
    with archive.database.session() as session:
        _refuse_conflicts(session, opened, options, digest)
    with (
        _arrays_folder(opened) as arrays,
        publishing(archive.database, archive.store, arrays, "recording", progress) as (session, publication),
    ):
        row = _add_recording(session, opened, options, archive.settings.raw_roots)
        info = _add_info(session, row, opened, digest)
        _add_files(session, archive, info, opened, digests)
        _add_companions(session, row, opened, publication)
        key = _key(session, row)
    _log.info("Ingested %s from %s", key, folder)
    return Ingested(key, True, f"Ingested {key}: {opened.frame_count} frames at {opened.fps:.4g} Hz from {folder}")


def _recording_folder(folder: Path) -> Path:
    """Return the one recording below a session's folder; of none or several, opening says what is wrong."""
    found = find_recordings(folder)
    return found[0] if len(found) == 1 else folder


def _key(session: Session, row: m.Recording) -> RecordingKey:
    return as_key(describe_key(row, session), RecordingKey)


def _known_recording(session: Session, directory: str) -> RecordingKey | None:
    row = session.scalars(select(m.Recording).filter_by(recording_directory=directory)).first()
    return None if row is None else _key(session, row)


def frame_counts(session: Session, key: RecordingKey) -> dict[str, int]:
    """Return the decoded frames of each video file of an ingested recording, by the file's name in its folder.

    Counting frames means decoding them; once the digests say that a file is the same, its count is too.
    """
    return {name: row.nframes for name, row in _files_by_name(session, key).items() if row.nframes is not None}


def changed_files(session: Session, key: RecordingKey, folder: Path, digests: list[FileDigest]) -> list[str]:
    """Return the names of files that are not what was ingested: changed, missing or new."""
    before = {name: row.sha256 for name, row in _files_by_name(session, key).items()}
    now = {os.path.relpath(file.path, folder): file.sha256 for file in digests}
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _files_by_name(session: Session, key: RecordingKey) -> dict[str, m.RecordingFile]:
    """Return the files by their path from the recording's folder: the session's metadata lie beside it."""
    directory = get(session, m.Recording, **key.columns).recording_directory
    info = get(session, m.RecordingInfo, **key.columns)
    rows = session.scalars(select(m.RecordingFile).filter_by(recording_info_pk=info.id))
    return {os.path.relpath(row.file_path, directory): row for row in rows}


def _unchanged_or_conflict(
    archive: Archive, known: RecordingKey, folder: Path, digests: list[FileDigest], options: IngestOptions
) -> Ingested:
    with archive.database.session() as session:
        changed = changed_files(session, known, folder, digests)
    if changed:
        raise ConflictError(
            f"Files of {known} changed since they were ingested: {', '.join(changed[:5])}. Nothing was overwritten: "
            "restore them, or ingest the new files from a folder of their own."
        )
    for field in ("subject", "session_datetime", "recording_id"):
        given, expected = getattr(options, field), getattr(known, field)
        if given is not None and given != expected:
            raise ConflictError(
                f"This folder is ingested already as {known}: got {field} {given}, expected {expected}. "
                "Nothing was overwritten."
            )
    return Ingested(known, False, f"Unchanged: {known} was ingested already, with the same {len(digests)} files")


def _refuse_conflicts(session: Session, opened: Recording, options: IngestOptions, digest: str) -> None:
    twin = session.scalars(select(m.RecordingInfo).filter_by(content_digest=digest)).first()
    if twin is not None:
        row = session.get_one(m.Recording, twin.recording_pk)
        raise ConflictError(
            f"The same files as in {opened.directory} are ingested already as {_key(session, row)} "
            f"from {row.recording_directory}. Nothing was added; if the data moved, set MINISCOPE_RAW_ROOTS."
        )
    subject, start = _subject_name(opened, options), _session_start(opened, options)
    if options.recording_id is None:
        return
    key = as_key(f"{subject}/{start.isoformat()}/{options.recording_id}", RecordingKey)
    if find(session, m.Recording, **key.columns) is not None:
        raise ConflictError(
            f"Recording {key} is ingested already from another folder than {opened.directory}. "
            "Nothing was overwritten: choose another recording id."
        )


def _subject_name(opened: Recording, options: IngestOptions) -> str:
    name = options.subject or opened.metadata.animal_name
    if not name:
        raise MetadataError(
            f"Subject unknown at {opened.directory}: the metadata name no animal. Pass subject= (--subject NAME)."
        )
    return name


def _session_start(opened: Recording, options: IngestOptions) -> datetime:
    start = options.session_datetime or opened.metadata.recording_datetime
    if start is None:
        raise MetadataError(
            f"Session time unknown at {opened.directory}: the metadata hold no start time. "
            "Pass session_datetime= (--session-datetime 2021-01-01T00:00:01, local time at the rig)."
        )
    return start.replace(microsecond=0)


@contextlib.contextmanager
def _arrays_folder(opened: Recording) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="miniscope-ingest-") as scratch:
        writer = ArrayWriter(Path(scratch) / "recording")
        writer.write("timestamps_s", opened.timestamps_s)
        if opened.head_orientation is not None:
            writer.write("head_orientation", opened.head_orientation)
        yield writer.folder


def _top(opened: Recording) -> Path:
    """Return the session's folder: the one that holds everything that was read."""
    folders = [opened.directory, *(path.parent for path in opened.side_files)]
    return Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))


def _add_session(session: Session, opened: Recording, options: IngestOptions, roots: Sequence[Path]) -> m.Session:
    subject = find_or_add(session, m.Subject, subject=_subject_name(opened, options))
    values: dict[str, object] = {"session_note": options.session_note}
    if options.project:
        values["project_pk"] = find_or_add(session, m.Project, project=options.project).id
    row = find_or_add(
        session, m.Session, subject_pk=subject.id, session_datetime=_session_start(opened, options), defaults=values
    )
    find_or_add(
        session, m.SessionDirectory, session_pk=row.id, defaults={"session_dir": path_below_roots(_top(opened), roots)}
    )
    experimenter = options.experimenter or opened.metadata.researcher_name
    if experimenter:
        user = find_or_add(session, m.User, user=experimenter)
        find_or_add(session, m.SessionExperimenter, session_pk=row.id, user_pk=user.id)
    return row


def _add_recording(session: Session, opened: Recording, options: IngestOptions, roots: Sequence[Path]) -> m.Recording:
    meta = opened.metadata
    parent = _add_session(session, opened, options, roots)
    device = find_or_add(
        session,
        m.Device,
        device=meta.device_name or meta.device_type or f"{meta.acquisition_software} device",
        defaults={"modality": "Calcium imaging", "description": meta.device_type or ""},
    )
    software = find_or_add(session, m.AcquisitionSoftware, acquisition_software=meta.acquisition_software)
    number = options.recording_id
    if number is None:
        number = next_number(session, m.Recording.recording_id, col(m.Recording.session_pk) == parent.id)
    row = make(
        m.Recording,
        session_pk=parent.id,
        recording_id=number,
        recording_directory=path_below_roots(opened.directory, roots),
        recording_notes=options.recording_notes,
        device_pk=device.id,
        acquisition_software_pk=software.id,
    )
    session.add(row)
    session.flush()
    if options.location:
        place = _location(session, options.location)
        session.add(make(m.RecordingLocation, recording_pk=row.id, anatomical_location_pk=place.id))
    return row


def _location(session: Session, description: str) -> m.AnatomicalLocation:
    same = select(m.AnatomicalLocation).filter_by(anatomical_description=description)
    row = session.scalars(same).first()
    if row is None:
        number = next_number(session, m.AnatomicalLocation.recording_location_id)
        row = make(m.AnatomicalLocation, recording_location_id=number, anatomical_description=description)
        session.add(row)
        session.flush()
    return row


def _add_info(session: Session, row: m.Recording, opened: Recording, digest: str) -> m.RecordingInfo:
    meta = opened.metadata
    info = make(
        m.RecordingInfo,
        recording_pk=row.id,
        nframes=opened.frame_count,
        px_height=opened.shape[0],
        px_width=opened.shape[1],
        um_height=meta.um_height,
        um_width=meta.um_width,
        fps=opened.fps,
        gain=meta.gain,
        led_power=meta.led_power,
        spatial_downsample=meta.spatial_downsample,
        recording_datetime=meta.recording_datetime,
        recording_duration=opened.duration_s,
        dropped_frames=opened.clock.dropped,
        clock_report=opened.clock.model_dump(mode="json") | {"metadata_warnings": list(meta.warnings)},
        content_digest=digest,
    )
    session.add(info)
    session.flush()
    return info


def _add_files(
    session: Session, archive: Archive, info: m.RecordingInfo, opened: Recording, digests: list[FileDigest]
) -> None:
    counts = {file.path: file.frame_count for file in opened.files}
    for number, file in enumerate(digests):
        session.add(
            make(
                m.RecordingFile,
                recording_info_pk=info.id,
                file_id=number,
                file_path=path_below_roots(file.path, archive.settings.raw_roots),
                role=_role(file.path, opened),
                nframes=counts.get(file.path),
                sha256=file.sha256,
                nbytes=file.nbytes,
            )
        )


def _role(path: Path, opened: Recording) -> FileRole:
    if any(path == file.path for file in opened.files):
        return FileRole.VIDEO
    if path.name == Path(opened.clock.source).name:
        return FileRole.CLOCK
    return FileRole.METADATA if path.name in {Path(name).name for name in opened.metadata.config} else FileRole.OTHER


def _add_companions(session: Session, row: m.Recording, opened: Recording, publication: m.Publication) -> None:
    arrays = stored_arrays(session, publication)
    session.add(make(m.RecordingTimestamps, recording_pk=row.id, timestamps_pk=arrays["timestamps_s"].id))
    if "head_orientation" in arrays:
        session.add(make(m.HeadOrientation, recording_pk=row.id, samples_pk=arrays["head_orientation"].id))
    for name, content in opened.metadata.config.items():
        whole = content if isinstance(content, dict) else {"content": content}
        session.add(make(m.RecordingConfig, recording_pk=row.id, name=name, content=whole))
    for number, note in enumerate(opened.notes):
        session.add(make(m.Note, recording_pk=row.id, note_id=number, time_s=note.time_s, text=note.text))
