"""Processing: a recording and a parameter set into a published result, once."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from miniscope_core import models as m
from miniscope_core.engines.base import Resources
from miniscope_core.errors import ConflictError, MiniscopeError, NotFoundError, ParameterError, ResultError
from miniscope_core.io import open_recording
from miniscope_core.io.recording import Recording
from miniscope_core.models import RecordingKey, TaskKey, TaskMode, find, get, make, param_set_hash
from miniscope_core.models.parameters import CnmfeParameters, Parameters
from miniscope_core.pipeline.engines import engine_for, validate_parameters
from miniscope_core.pipeline.files import content_digest, digest_files, find_below_roots
from miniscope_core.pipeline.ingest import changed_files, frame_counts
from miniscope_core.pipeline.provenance import provenance
from miniscope_core.pipeline.rows import find_or_add, next_number
from miniscope_core.progress import Progress, silent
from miniscope_core.result import RESULT_FILE, ProcessingResult, load_result
from miniscope_core.storage.archive import Archive
from miniscope_core.storage.claims import Claim
from miniscope_core.storage.publish import publishing

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Processed:
    """What processing did."""

    key: TaskKey
    changed: bool
    """False when the result was there already and nothing was computed."""
    unit_count: int
    accepted_count: int
    message: str


# -- parameter sets and tasks ---------------------------------------------------------------------------
def add_parameter_set(
    archive: Archive,
    method: str,
    params: Mapping[str, Any],
    description: str = "",
    paramset_id: int | None = None,
) -> int:
    """Record a parameter set, once: the same parameters of the same method have one number.

    Parameters
    ----------
    archive
        Where to record it.
    method
        Key of the processing method.
    params
        Names and values, without ``method``; kept exactly as given.
    description
        What the set is for.
    paramset_id
        Number it shall have; default: the next free one.

    Returns
    -------
    int
        Number of the set.

    Raises
    ------
    ConflictError
        When the number, or these parameters under another number, are there already.
    NotFoundError
        When there is no such method.
    """
    digest = param_set_hash(dict(params))
    with archive.database.session() as session:
        method_row = get(session, m.ProcessingMethod, processing_method=method)
        same = session.scalars(
            select(m.ProcessingParamSet).filter_by(processing_method_pk=method_row.id, param_set_hash=digest)
        ).first()
        if same is not None:
            if paramset_id not in (None, same.paramset_id):
                raise ConflictError(f"These {method} parameters are set {same.paramset_id} already, not {paramset_id}.")
            return same.paramset_id
        number = next_number(session, m.ProcessingParamSet.paramset_id) if paramset_id is None else paramset_id
        if find(session, m.ProcessingParamSet, paramset_id=number) is not None:
            raise ConflictError(f"Parameter set {number} is there already with other values; nothing was overwritten.")
        session.add(
            make(
                m.ProcessingParamSet,
                paramset_id=number,
                processing_method_pk=method_row.id,
                paramset_desc=description,
                param_set_hash=digest,
                params=dict(params),
            )
        )
    return number


def add_parameters(archive: Archive, parameters: Parameters, description: str = "") -> int:
    """Record typed parameters as a set, once, and return its number: see :func:`add_parameter_set`."""
    return add_parameter_set(archive, parameters.method, parameters.model_dump(exclude={"method"}), description)


def choose_parameter_set(archive: Archive, parameters: Parameters | None, paramset_id: int | None) -> int:
    """Return the number of the parameter set that a caller means: recorded, given, or the built-in engine's default.

    Raises
    ------
    ParameterError
        When both a number and parameters are given.
    NotFoundError
        When there is no set of that number.
    """
    if paramset_id is None:
        return add_parameters(archive, CnmfeParameters() if parameters is None else parameters)
    if parameters is not None:
        raise ParameterError(f"Got parameters and parameter set {paramset_id}: expected one of them.")
    with archive.database.session() as session:
        return get(session, m.ProcessingParamSet, paramset_id=paramset_id).paramset_id


def add_task(
    archive: Archive,
    recording: RecordingKey,
    paramset_id: int,
    task_mode: TaskMode = TaskMode.TRIGGER,
    output_dir: str = "",
) -> TaskKey:
    """Record that a recording is to be processed with a parameter set, once.

    Parameters
    ----------
    archive
        Where to record it.
    recording
        An ingested recording.
    paramset_id
        Number of a parameter set.
    task_mode
        ``trigger`` computes; ``load`` takes the finished result that lies in ``output_dir``.
    output_dir
        For ``load``: the result's folder, relative to a raw root or absolute.

    Raises
    ------
    NotFoundError
        When there is no such recording or parameter set.
    ConflictError
        When the task is there already with another mode or folder.
    """
    with archive.database.session() as session:
        info = get(session, m.RecordingInfo, **recording.columns)
        paramset = get(session, m.ProcessingParamSet, paramset_id=paramset_id)
        task = find_or_add(
            session,
            m.ProcessingTask,
            recording_info_pk=info.id,
            paramset_pk=paramset.id,
            defaults={"task_mode": task_mode, "processing_output_dir": output_dir},
        )
        if (task.task_mode, task.processing_output_dir) != (task_mode, output_dir):
            raise ConflictError(
                f"Task {recording}/{paramset_id} is there already: got mode {task_mode.value} {output_dir!r}, "
                f"expected {task.task_mode.value} {task.processing_output_dir!r}. Use another parameter set."
            )
    return TaskKey(recording=recording, paramset_id=paramset_id)


def pending_recordings(archive: Archive, paramset_id: int) -> list[RecordingKey]:
    """Return every ingested recording that has no result with a parameter set, in the order of their keys."""
    with archive.database.session() as session:
        get(session, m.ProcessingParamSet, paramset_id=paramset_id)
        rows = session.execute(m.natural_select(m.RecordingInfo)).mappings().all()
        done = {
            (row["subject"], row["session_datetime"], row["recording_id"])
            for row in session.execute(m.natural_select(m.Processing, paramset_id=paramset_id)).mappings()
        }
    keys = [(row["subject"], row["session_datetime"], row["recording_id"]) for row in rows]
    return [
        RecordingKey(subject=subject, session_datetime=start, recording_id=number)
        for subject, start, number in keys
        if (subject, start, number) not in done
    ]


# -- computing --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Job:
    """Everything a task's row says, read once."""

    key: TaskKey
    task_pk: int
    mode: TaskMode
    output_dir: str
    directory: str
    method: str
    params: dict[str, Any]
    content_digest: str
    clock_frames: int
    nominal_fps: float | None
    frame_counts: dict[str, int]

    @property
    def recording(self) -> RecordingKey:
        return self.key.recording


def process_recording(archive: Archive, task: TaskKey, progress: Progress = silent) -> Processed:
    """Compute (or load) a task's result and publish it.

    What was computed survives a failure to publish it: the finished result waits in the scratch folder, and the
    next attempt with the same files, parameters and code only publishes.

    Parameters
    ----------
    archive
        Where the task is and the result goes.
    task
        As :func:`add_task` returned it.
    progress
        Told the stages of the engine and of publishing.

    Returns
    -------
    Processed
        ``changed`` is False where the result was there already.

    Raises
    ------
    NotFoundError
        When there is no such task.
    ClaimError
        When somebody else is computing it.
    RecordingError, ConflictError
        When the files are away, broken, or not those that were ingested.
    ParameterError, EngineError, StoreError
        As the engine and the store say. Nothing is published; the message is kept in the task's row.
    """
    done = _finished(archive, task)
    if done is not None:
        return done
    with archive.database.session() as session:
        job = _read_job(session, task)
    with Claim(archive.database, job.task_pk) as claim, _recorded_failure(archive, job):
        # Somebody may have finished between the first look and the claim.
        done = _finished(archive, task)
        if done is not None:
            return done
        folder, result = _load(archive, job) if job.mode is TaskMode.LOAD else _compute(archive, job, progress)
        claim.ensure_held()
        _publish(archive, job, folder, result, progress)
    if job.mode is TaskMode.TRIGGER:
        shutil.rmtree(folder.parent, ignore_errors=True)
    accepted = int(result.accepted.sum())
    message = f"Processed {task}: {result.unit_count} units, {accepted} accepted"
    _log.info(message)
    return Processed(task, True, result.unit_count, accepted, message)


def _finished(archive: Archive, task: TaskKey) -> Processed | None:
    with archive.database.session() as session:
        get(session, m.ProcessingTask, **task.columns)
        row = find(session, m.Processing, **task.columns)
        if row is None:
            return None
        message = f"Unchanged: {task} was processed already on {row.processing_time:%Y-%m-%d %H:%M} UTC"
        return Processed(task, False, row.unit_count, row.accepted_count, message)


def _read_job(session: Session, key: TaskKey) -> _Job:
    task = get(session, m.ProcessingTask, **key.columns)
    recording = get(session, m.Recording, **key.recording.columns)
    info = get(session, m.RecordingInfo, **key.recording.columns)
    paramset = session.get_one(m.ProcessingParamSet, task.paramset_pk)
    method = session.get_one(m.ProcessingMethod, paramset.processing_method_pk)
    if task.id is None:
        raise NotFoundError(f"Task {key} has no row.")
    return _Job(
        key=key,
        task_pk=task.id,
        mode=task.task_mode,
        output_dir=task.processing_output_dir,
        directory=recording.recording_directory,
        method=method.processing_method,
        params=paramset.params,
        content_digest=info.content_digest,
        clock_frames=info.nframes,
        nominal_fps=info.fps if info.clock_report.get("source") == "given" else None,
        frame_counts=frame_counts(session, key.recording),
    )


@contextmanager
def _recorded_failure(archive: Archive, job: _Job) -> Iterator[None]:
    """Keep the message of a failure in the task's row, where ``status`` shows it."""
    try:
        yield
    except MiniscopeError as error:
        _set_error(archive, job, str(error))
        raise
    else:
        _set_error(archive, job, None)


def _set_error(archive: Archive, job: _Job, message: str | None) -> None:
    with archive.database.session() as session:
        session.get_one(m.ProcessingTask, job.task_pk).error = message


def _open(archive: Archive, job: _Job, progress: Progress) -> Recording:
    """Open the files of an ingested recording and make sure that they are still what was ingested."""
    folder = find_below_roots(job.directory, archive.settings.raw_roots)
    workers = archive.settings.workers
    # How the clock was joined was decided, and recorded, when the recording was ingested.
    recording = open_recording(
        folder, clock="report", fps=job.nominal_fps, frame_counts=job.frame_counts, workers=workers
    )
    digests = digest_files([*(file.path for file in recording.files), *recording.side_files], workers, progress)
    if content_digest(recording.directory, digests) != job.content_digest:
        with archive.database.session() as session:
            changed = changed_files(session, job.recording, recording.directory, digests)
        raise ConflictError(
            f"Files of {job.recording} are not those that were ingested: {', '.join(changed[:5])} in {folder}. "
            "Restore them; nothing was computed."
        )
    return recording


def _job_folder(archive: Archive, job: _Job) -> Path:
    """Return the scratch folder of exactly this computation: same files, same parameters, same code."""
    parts = [str(job.key), job.content_digest, job.method, json.dumps(job.params, sort_keys=True, default=str)]
    parts.append(json.dumps(provenance()["packages"], sort_keys=True))
    return archive.settings.scratch_dir / "jobs" / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _compute(archive: Archive, job: _Job, progress: Progress) -> tuple[Path, ProcessingResult]:
    parameters = validate_parameters(job.method, job.params)
    folder = _job_folder(archive, job) / "result"
    if (folder / RESULT_FILE).is_file():
        _log.info("Found the finished result of an earlier attempt in %s: publishing it", folder)
        return folder, load_result(folder)
    recording = _open(archive, job, progress)
    result = compute(recording, parameters, folder, archive.settings.workers, archive.settings.memory_limit, progress)
    return folder, result


def compute(
    recording: Recording,
    parameters: Parameters,
    output_dir: Path,
    workers: int,
    memory_limit_bytes: int,
    progress: Progress,
) -> ProcessingResult:
    """Run an engine alone: no database, no store.

    Parameters
    ----------
    recording
        Opened recording.
    parameters
        Of the engine to run.
    output_dir
        Where the result shall lie; what an attempt that failed left there is removed first. Scratch files are
        made beside it and removed.
    workers, memory_limit_bytes
        What the engine may use.
    progress
        Told the engine's stages.

    Raises
    ------
    EngineError, ParameterError
        As the engine says.
    ResultError
        When ``output_dir`` holds something that is no unfinished result.
    """
    refuse_occupied(output_dir)
    scratch = output_dir.parent / f".{output_dir.name}.scratch"
    partial = output_dir.parent / f".{output_dir.name}.partial"
    for leftover in (scratch, partial):
        shutil.rmtree(leftover, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        resources = Resources(scratch, workers, memory_limit_bytes)
        engine_for(parameters.method).run(recording, parameters, partial, progress, resources)
        if output_dir.exists():
            output_dir.rmdir()
        partial.rename(output_dir)
    finally:
        for leftover in (scratch, partial):
            shutil.rmtree(leftover, ignore_errors=True)
    return load_result(output_dir)


def refuse_occupied(output_dir: Path) -> None:
    """Refuse an output folder that holds something, before an hour is spent on its content.

    Raises
    ------
    ResultError
        When it is not empty, or no folder.
    """
    if output_dir.is_file() or (output_dir.exists() and any(output_dir.iterdir())):
        raise ResultError(f"Output folder is not empty at {output_dir}: name a new one, nothing was overwritten.")


def _load(archive: Archive, job: _Job) -> tuple[Path, ProcessingResult]:
    folder = find_below_roots(job.output_dir, archive.settings.raw_roots)
    result = load_result(folder)
    with archive.database.session() as session:
        info = get(session, m.RecordingInfo, **job.recording.columns)
        if result.frame_count != info.nframes:
            raise ResultError(
                f"Result in {folder} does not belong to {job.recording}: got {result.frame_count} frames, "
                f"expected {info.nframes}."
            )
    return folder, result


def _publish(archive: Archive, job: _Job, folder: Path, result: ProcessingResult, progress: Progress) -> None:
    info = result.info
    facts = provenance(
        recording=str(job.recording),
        content_digest=job.content_digest,
        parameters=info.parameters,
        versions=info.versions,
        task_mode=job.mode.value,
    )
    with publishing(archive.database, archive.store, folder, "processing", progress) as (session, publication):
        session.add(
            make(
                m.Processing,
                task_pk=job.task_pk,
                publication_pk=publication.id,
                processing_time=datetime.now(UTC),
                package=info.package,
                package_version=info.package_version,
                method=info.method,
                timings=info.timings,
                cpu_seconds=info.cpu_seconds,
                peak_memory_bytes=info.peak_memory_bytes,
                unit_count=info.unit_count,
                accepted_count=int(result.accepted.sum()),
                provenance=facts,
                notes=list(info.notes),
            )
        )
        task = session.get_one(m.ProcessingTask, job.task_pk)
        task.error = None
