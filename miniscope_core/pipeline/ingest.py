"""Ingestion: a recording folder into subject, session, recording, info, files, clock and configuration rows."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, MetadataError, RecordingNotFoundError, StoreError
from miniscope_core.io import find_recording, open_recording
from miniscope_core.io.clock import runs
from miniscope_core.io.recording import Recording
from miniscope_core.models import FileRole, RecordingKey, SessionKey, find, get, make, natural_select
from miniscope_core.pipeline.files import FileDigest, RawFiles, Where, content_digest, digest_files, name_from
from miniscope_core.pipeline.originals import GIVEN, READING, find_ingested, open_ingested, recording_key
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.pipeline.rows import find_or_add, lock_writers, missing_values, next_number, stored_arrays
from miniscope_core.progress import Progress, silent
from miniscope_core.result import ArrayWriter
from miniscope_core.settings import is_address, plain_place
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


@dataclass(frozen=True)
class Prepared:
    """A folder that was read and may be recorded; nothing is written yet."""

    opened: Recording
    """Its facts and times; copies of its files may be gone."""
    place: Where
    """Where it lies."""
    digests: list[FileDigest]
    digest: str
    session: SessionKey
    options: IngestOptions
    parts: tuple[RecordingKey, ...] = ()
    """The recordings that it was joined from, in order."""


def ingest_recording(
    archive: Archive, folder: str | os.PathLike[str], options: IngestOptions = _DEFAULTS, progress: Progress = silent
) -> Ingested:
    """Read a recording folder and record it in the database, once.

    Parameters
    ----------
    archive
        Where to record it.
    folder
        The recording's folder, or a session's that holds exactly one recording; or its address, by which the database
        names it then.
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
    DatabaseError, StoreError
        When one of them is away or cannot be written; nothing is written to either.
    """
    ready = prepare_recording(archive, folder, options, progress)
    return ready if isinstance(ready, Ingested) else record(archive, ready, progress)


def prepare_recording(
    archive: Archive, folder: str | os.PathLike[str], options: IngestOptions, progress: Progress
) -> Prepared | Ingested:
    """Do everything of :func:`ingest_recording` but write: read, count, digest, and refuse what conflicts.

    Returns
    -------
    Prepared or Ingested
        What :func:`record` takes, or, where the same files were ingested before, what there is.
    """
    raw = RawFiles.of(archive.settings)
    with raw.remote.held(folder, progress) as place:
        return _prepare(archive, raw, find_recording(place, files=options.files), options, progress)


def _prepare(
    archive: Archive, raw: RawFiles, folder: Path, options: IngestOptions, progress: Progress
) -> Prepared | Ingested:
    with archive.database.session() as session:
        known = find_ingested(session, folder, raw)
    if known is not None:
        return _unchanged(archive, known, options, progress)
    # Reading takes long: what would fail at its end fails before.
    archive.database.check()
    archive.store.check()
    workers = archive.settings.workers
    opened = open_recording(
        raw.remote.where(folder),
        clock=options.clock,
        fps=options.fps,
        dataset=options.dataset,
        files=options.files,
        columns=options.columns,
        progress=progress,
        workers=workers,
        remote=raw.remote,
    )
    start = _session_key(opened, options)
    digests = digest_files([*(file.path for file in opened.files), *opened.side_files], workers, progress)
    digest = content_digest(opened.directory, digests)
    # No frame is read any more: whoever prepares a hundred recordings need not keep the copies of all.
    facts = replace(opened, lease=None)
    ready = Prepared(facts, raw.remote.where(opened.directory), digests, digest, start, options)
    with archive.database.session() as session:
        twin = _find_twin(session, ready)
        if twin is None:
            _refuse_conflicts(session, ready)
        elif _is_settled(session, archive, twin, ready):
            return _same_place(recording_key(session, twin), ready)
    return ready


def record(archive: Archive, ready: Prepared, progress: Progress = silent) -> Ingested:
    """Write a prepared recording: its arrays to the store, then all its rows in one commit.

    Where it was recorded before from a folder that is gone, its paths are rewritten instead.

    Raises
    ------
    ConflictError
        When somebody else recorded a copy of it in the meantime.
    DatabaseError, StoreError
        As :func:`ingest_recording`.
    """
    there = _settle(archive, ready)
    if there is not None:
        return there
    try:
        return _record_new(archive, ready, progress)
    except ConflictError:
        there = _settle(archive, ready)  # another run was faster, perhaps with the same folder
        if there is None:
            raise
        return there


def _record_new(archive: Archive, ready: Prepared, progress: Progress) -> Ingested:
    opened = ready.opened
    with (
        _arrays_folder(archive, opened) as arrays,
        publishing(archive.database, archive.store, arrays, "recording", progress) as (session, publication),
    ):
        lock_writers(session)
        twin = _find_twin(session, ready)
        if twin is not None:
            raise _copy(session, twin, ready)
        _refuse_conflicts(session, ready)
        paths = _Paths(archive, opened)
        row = _add_recording(session, ready, paths)
        _add_files(session, _add_info(session, row, ready), ready, paths)
        _add_companions(session, row, opened, publication)
        _add_parts(session, row, ready)
        key = recording_key(session, row)
    message = f"Ingested {key}: {opened.frame_count} frames at {opened.fps:.4g} Hz from {ready.place}"
    _log.info(message)
    return Ingested(key, True, message)


# -- what is there already --------------------------------------------------------------------------------
def _unchanged(archive: Archive, known: RecordingKey, options: IngestOptions, progress: Progress) -> Ingested:
    opened = open_ingested(archive, known, progress)
    with archive.database.session() as session:
        _refuse_other_options(session, known, options)
    count = len(opened.files) + len(opened.side_files)
    return Ingested(known, False, f"Unchanged: {known} was ingested already, with the same {count} files")


def _refuse_other_options(session: Session, known: RecordingKey, options: IngestOptions) -> None:
    """Refuse options that a recorded folder does not have: they would silently do nothing."""
    recorded: dict[str, Any] = dict(known.columns)
    recorded |= _one(session, m.Session, SessionKey(**{k: v for k, v in known.columns.items() if k != "recording_id"}))
    recorded |= _one(session, m.Recording, known)
    place = find(session, m.RecordingLocation, **known.columns)
    if place is not None:
        recorded["location"] = session.get_one(
            m.AnatomicalLocation, place.anatomical_location_pk
        ).anatomical_description
    info = get(session, m.RecordingInfo, **known.columns)
    recorded["fps"] = info.fps if info.clock_report.get("source") == GIVEN else "that of the frame clock"
    recorded |= info.clock_report.get(READING, {})
    people = natural_select(m.SessionExperimenter, **known.parent.columns)
    recorded["experimenter"] = [row["user"] for row in session.execute(people).mappings()]
    for name, value in options.model_dump(exclude={"clock", "join"}).items():
        same = value in recorded[name] if name == "experimenter" else value == recorded.get(name)
        if value not in (None, "") and not same:
            raise ConflictError(
                f"This folder is ingested already as {known}: got {name} {str(value)!r}, "
                f"expected {str(recorded.get(name))!r}. Nothing was overwritten."
            )


def _one(session: Session, entity: type[m.Entity], key: m.NaturalKey) -> dict[str, Any]:
    return dict(session.execute(natural_select(entity, **key.columns)).mappings().one())


def _find_twin(session: Session, ready: Prepared) -> m.Recording | None:
    """Return the recording that has the same files."""
    info = session.scalars(select(m.RecordingInfo).filter_by(content_digest=ready.digest)).first()
    return None if info is None else session.get_one(m.Recording, info.recording_pk)


def _is_settled(session: Session, archive: Archive, twin: m.Recording, ready: Prepared) -> bool:
    """Tell a recording of this very folder from one whose folder is gone, so that it moved; refuse any other."""
    _refuse_other_options(session, recording_key(session, twin), ready.options)
    folder, name, raw = ready.opened.directory, twin.recording_directory, RawFiles.of(archive.settings)
    place = _place(name, raw)
    if place is not None and raw.is_at(place, folder):
        return True
    # A name below a root is for every machine: here its root may only be missing.
    whole = is_address(name) or Path(name).is_absolute()
    gone = not raw.remote.exists(plain_place(name)) if whole else place is None and raw.root_of(folder)
    if not gone:
        raise _copy(session, twin, ready)
    return False


def _place(name: str, raw: RawFiles) -> Where | None:
    try:
        return raw.find(name)
    except RecordingNotFoundError:
        return None


def _copy(session: Session, twin: m.Recording, ready: Prepared) -> ConflictError:
    return ConflictError(
        f"The same files as in {ready.place} are ingested already as {recording_key(session, twin)} "
        f"from {twin.recording_directory}. Nothing was added; if the data moved, name the folder that holds them "
        "in MINISCOPE_RAW_ROOTS, and leave no copy where they were."
    )


def _same_place(key: RecordingKey, ready: Prepared) -> Ingested:
    return Ingested(key, False, f"Unchanged: {key} was ingested already, with the same {len(ready.digests)} files")


def _settle(archive: Archive, ready: Prepared) -> Ingested | None:
    """Return what is recorded of the same files, with the paths they have now; None where nothing is."""
    with archive.database.session() as session:
        lock_writers(session)
        twin = _find_twin(session, ready)
        if twin is None:
            return None
        key, old = recording_key(session, twin), twin.recording_directory
        if _is_settled(session, archive, twin, ready):
            return _same_place(key, ready)
        _move(session, archive, twin, ready)
    message = f"Moved: {key} lies in {ready.place} now, no more in {old}; its files are the same"
    _log.info(message)
    return Ingested(key, True, message)


def _move(session: Session, archive: Archive, twin: m.Recording, ready: Prepared) -> None:
    opened, paths = ready.opened, _Paths(archive, ready.opened)
    now = {name_from(opened.directory, file.path): file.path for file in ready.digests}
    info = session.scalars(select(m.RecordingInfo).filter_by(recording_pk=twin.id)).one()
    for row in session.scalars(select(m.RecordingFile).filter_by(recording_info_pk=info.id)):
        row.file_path = paths.name(now[name_from(Path(twin.recording_directory), Path(row.file_path))])
    twin.recording_directory = paths.name(opened.directory)
    # Another device of the session may have taken its folder along already, or still be where it was.
    whole = session.scalars(select(m.SessionDirectory).filter_by(session_pk=twin.session_pk)).first()
    if whole is not None and _place(whole.session_dir, RawFiles.of(archive.settings)) is None:
        whole.session_dir = paths.name(paths.top)


def _refuse_conflicts(session: Session, ready: Prepared) -> None:
    directory, options = ready.place, ready.options
    _session_gaps(session, ready)
    if options.recording_id is None:
        return
    key = RecordingKey(**ready.session.columns, recording_id=options.recording_id)
    if find(session, m.Recording, **key.columns) is not None:
        raise ConflictError(
            f"Recording {key} is ingested already from another folder than {directory}. "
            "Nothing was overwritten: choose another recording id."
        )


def _session_gaps(session: Session, ready: Prepared) -> dict[str, Any]:
    """Return what the options tell of a session that is there and does not know it yet."""
    given = {"session_note": ready.options.session_note, "project": ready.options.project}
    rows = session.execute(natural_select(m.Session, **ready.session.columns)).mappings().all()
    return missing_values(f"Session {ready.session}", dict(rows[0]), given) if rows else {}


def _session_key(opened: Recording, options: IngestOptions) -> SessionKey:
    subject = options.subject or opened.metadata.animal_name
    if not subject:
        raise MetadataError(
            f"Subject unknown at {opened.directory}: the metadata name no animal. Pass subject= (--subject NAME)."
        )
    start = options.session_datetime or opened.metadata.recording_datetime
    if start is None:
        raise MetadataError(
            f"Session time unknown at {opened.directory}: the metadata hold no start time. "
            "Pass session_datetime= (--session-datetime 2021-01-01T00:00:01, local time at the rig)."
        )
    try:
        return SessionKey(subject=subject, session_datetime=start.replace(microsecond=0))
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise MetadataError(
            f"Subject {subject!r} at {opened.directory} cannot be part of a key: {reason}. "
            "Pass subject= (--subject NAME)."
        ) from error


# -- writing ------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _arrays_folder(archive: Archive, opened: Recording) -> Iterator[Path]:
    jobs = archive.settings.jobs_dir
    try:
        jobs.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix="ingest-", dir=jobs, ignore_cleanup_errors=True)
    except OSError as error:
        raise StoreError(
            f"Scratch folder {jobs} cannot be written: {error.strerror}. Set MINISCOPE_SCRATCH_DIR."
        ) from error
    with scratch as folder:
        writer = ArrayWriter(Path(folder) / "recording")
        writer.write("timestamps_s", opened.timestamps_s)
        if opened.head_orientation is not None:
            writer.write("head_orientation", opened.head_orientation)
        for number, signal in enumerate(opened.signals):
            writer.write(f"signal_{number}", np.column_stack([signal.times_s, signal.values]))
        yield writer.folder


class _Paths:
    """Names the paths of one recording, all of them from the same root, or all of them whole."""

    def __init__(self, archive: Archive, opened: Recording) -> None:
        folders = [opened.folder, *(path.parent for path in opened.side_files)]
        self.top: Final = Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))
        """The session's folder: the one that holds everything that was read."""
        raw = RawFiles.of(archive.settings)
        root = raw.root_of(self.top)
        self._raw = RawFiles(() if root is None else (root,), raw.remote)

    def name(self, path: Path) -> str:
        return self._raw.name(path)


def _add_session(session: Session, ready: Prepared, paths: _Paths) -> m.Session:
    options = ready.options
    gaps = _session_gaps(session, ready)
    subject = find_or_add(session, m.Subject, subject=ready.session.subject)
    row = find_or_add(
        session,
        m.Session,
        subject_pk=subject.id,
        session_datetime=ready.session.session_datetime,
        defaults={"session_note": options.session_note},
    )
    if "session_note" in gaps:
        row.session_note = gaps["session_note"]
    if options.project:
        row.project_pk = find_or_add(session, m.Project, project=options.project).id
    find_or_add(session, m.SessionDirectory, session_pk=row.id, defaults={"session_dir": paths.name(paths.top)})
    experimenter = options.experimenter or ready.opened.metadata.researcher_name
    if experimenter:
        user = find_or_add(session, m.User, user=experimenter)
        find_or_add(session, m.SessionExperimenter, session_pk=row.id, user_pk=user.id)
    return row


def _add_recording(session: Session, ready: Prepared, paths: _Paths) -> m.Recording:
    meta, options = ready.opened.metadata, ready.options
    parent = _add_session(session, ready, paths)
    device = find_or_add(
        session,
        m.Device,
        device=meta.device_name or meta.device_type or f"{meta.acquisition_software} device",
        defaults={"modality": "Calcium imaging", "description": meta.device_type or ""},
    )
    number = options.recording_id
    if number is None:
        number = next_number(session, m.Recording.recording_id, col(m.Recording.session_pk) == parent.id)
    row = make(
        m.Recording,
        session_pk=parent.id,
        recording_id=number,
        recording_directory=paths.name(ready.opened.directory),
        recording_notes=options.recording_notes,
        device_pk=device.id,
        acquisition_software_pk=get(session, m.AcquisitionSoftware, acquisition_software=meta.acquisition_software).id,
    )
    session.add(row)
    session.flush()
    if options.location:
        place = _location(session, options.location)
        session.add(make(m.RecordingLocation, recording_pk=row.id, anatomical_location_pk=place.id))
    return row


def _location(session: Session, description: str) -> m.AnatomicalLocation:
    number = next_number(session, m.AnatomicalLocation.recording_location_id)
    return find_or_add(
        session,
        m.AnatomicalLocation,
        anatomical_description=description,
        defaults={"recording_location_id": number},
    )


def _add_info(session: Session, row: m.Recording, ready: Prepared) -> m.RecordingInfo:
    opened, meta = ready.opened, ready.opened.metadata
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
        clock_report=_clock_report(ready),
        content_digest=ready.digest,
    )
    session.add(info)
    session.flush()
    return info


def _clock_report(ready: Prepared) -> dict[str, Any]:
    """Return what the clock says, what was odd, and what the caller asked for to read it."""
    opened = ready.opened
    report: dict[str, Any] = opened.clock.model_dump(mode="json")
    report["metadata_warnings"] = list(opened.metadata.warnings)
    if opened.corrupt_frames:
        report["corrupt_frames"] = [list(run) for run in runs(opened.corrupt_frames)]
    if reading := ready.options.reading():
        report[READING] = reading
    return report


def _add_files(session: Session, info: m.RecordingInfo, ready: Prepared, paths: _Paths) -> None:
    counts = {file.path: file.frame_count for file in ready.opened.files}
    for number, file in enumerate(ready.digests):
        session.add(
            make(
                m.RecordingFile,
                recording_info_pk=info.id,
                file_id=number,
                file_path=paths.name(file.path),
                role=_role(file.path, ready.opened),
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


def _add_parts(session: Session, row: m.Recording, ready: Prepared) -> None:
    for number, (key, part) in enumerate(zip(ready.parts, ready.opened.parts, strict=True)):
        session.add(
            make(
                m.RecordingPart,
                recording_pk=row.id,
                part_id=number,
                joined_recording_pk=get(session, m.Recording, **key.columns).id,
                start_frame=part.start_frame,
                nframes=part.frame_count,
                start_s=part.start_s,
            )
        )


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
    for number, signal in enumerate(opened.signals):
        bounds = (float(signal.times_s[0]), float(signal.times_s[-1])) if len(signal.times_s) else (None, None)
        session.add(
            make(
                m.RecordingSignal,
                recording_pk=row.id,
                signal_id=number,
                signal_name=signal.name,
                channels=list(signal.channels),
                units=list(signal.units),
                nsamples=len(signal.times_s),
                start_s=bounds[0],
                stop_s=bounds[1],
                source=signal.source,
                clock_rule=signal.rule,
                uncertainty_s=signal.uncertainty_s,
                samples_pk=arrays[f"signal_{number}"].id,
            )
        )
