"""Processing: a recording and a parameter set into a published result, once."""

import hashlib
import json
import logging
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.cleaning import Cleaned, clean
from miniscope_core.engines.base import Resources
from miniscope_core.errors import ConflictError, EngineError, MiniscopeError, NotFoundError, ParameterError, ResultError
from miniscope_core.io.recording import Recording
from miniscope_core.models import (
    RecordingKey,
    TaskKey,
    TaskMode,
    as_key,
    describe_key,
    find,
    get,
    make,
    param_set_hash,
)
from miniscope_core.models.cleaning import Cleaning
from miniscope_core.models.parameters import CnmfeParameters, Parameters
from miniscope_core.pipeline.engines import engine_for, validate_parameters
from miniscope_core.pipeline.loading import Wanted, loaded, refuse_other_movie
from miniscope_core.pipeline.originals import open_ingested
from miniscope_core.pipeline.provenance import provenance
from miniscope_core.pipeline.rows import find_or_add, lock_writers, next_number
from miniscope_core.progress import Progress, silent
from miniscope_core.result import RESULT_FILE, ProcessingResult, amend_result, load_result
from miniscope_core.settings import Settings
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
        lock_writers(session)
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
            raise ConflictError(
                f"Parameter set {number} is there already with other values or of another method: "
                "nothing was overwritten. Leave the number out to get the next free one."
            )
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
    task_mode: TaskMode | None = None,
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
        ``trigger`` computes; ``load`` takes the finished result that is at ``output_dir``. Without one, a task
        that is there stays as it is, and a new one computes.
    output_dir
        For ``load``: the result's folder, or a CaImAn file or folder that holds one, relative to a raw root or
        absolute.

    Raises
    ------
    NotFoundError
        When there is no such recording or parameter set.
    ParameterError
        When there is nothing to load.
    ConflictError
        When the task is there already with another mode or folder.
    """
    if task_mode is TaskMode.LOAD and not output_dir:
        raise ParameterError(f"Task {recording}/{paramset_id} loads a result: name where it is by output_dir=.")
    as_it_is = task_mode is None and not output_dir
    task_mode = task_mode or TaskMode.TRIGGER
    with archive.database.session() as session:
        lock_writers(session)
        info = get(session, m.RecordingInfo, **recording.columns)
        paramset = get(session, m.ProcessingParamSet, paramset_id=paramset_id)
        task = find_or_add(
            session,
            m.ProcessingTask,
            recording_info_pk=info.id,
            paramset_pk=paramset.id,
            defaults={"task_mode": task_mode, "processing_output_dir": output_dir},
        )
        if not as_it_is and (task.task_mode, task.processing_output_dir) != (task_mode, output_dir):
            raise ConflictError(
                f"Task {recording}/{paramset_id} is there already: got mode {task_mode.value} {output_dir!r}, "
                f"expected {task.task_mode.value} {task.processing_output_dir!r}. Use another parameter set."
            )
    return TaskKey(recording=recording, paramset_id=paramset_id)


def pending_recordings(archive: Archive, paramset_id: int) -> list[RecordingKey]:
    """Return every ingested recording without extracted traces of a parameter set, in the order of their keys.

    One whose result is there and was never curated or extracted is pending too: each stage does only what is left.
    """
    with archive.database.session() as session:
        get(session, m.ProcessingParamSet, paramset_id=paramset_id)
        rows = session.execute(m.natural_select(m.RecordingInfo)).mappings().all()
        done = {
            (row["subject"], row["session_datetime"], row["recording_id"])
            for row in session.execute(m.natural_select(m.Segmentation, paramset_id=paramset_id)).mappings()
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
    method: str
    params: dict[str, Any]
    content_digest: str
    frame_count: int
    shape: tuple[int, int]

    @property
    def recording(self) -> RecordingKey:
        return self.key.recording

    @property
    def wanted(self) -> Wanted:
        shape = Cleaning.of(self.params).shape_of(self.shape)
        return Wanted(self.key, self.method, self.params, self.frame_count, shape)


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
    with Claim(archive.database, job.task_pk) as claim, _noted_failure(claim), ExitStack() as held:
        # Somebody may have finished between the first look and the claim.
        done = _finished(archive, task)
        if done is not None:
            return done
        if job.mode is TaskMode.LOAD:
            folder, result = held.enter_context(loaded(archive, job.wanted, job.output_dir))
        else:
            folder, result = _compute(archive, job, progress)
        refuse_other_movie(job.wanted, folder, result)
        accepted = int(result.accepted.sum())
        claim.ensure_held()
        _publish(archive, job, claim, folder, result, progress)
    if job.mode is TaskMode.TRIGGER:
        shutil.rmtree(folder, ignore_errors=True)
        _leave_if_empty(folder.parent)
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
        method=method.processing_method,
        params=paramset.params,
        content_digest=info.content_digest,
        frame_count=info.nframes,
        shape=(info.px_height, info.px_width),
    )


@contextmanager
def _noted_failure(claim: Claim) -> Iterator[None]:
    """Keep the message of a failure in the task's row, where ``status`` shows it."""
    try:
        yield
    except MiniscopeError as error:
        claim.note_error(str(error))
        raise
    except Exception as error:
        claim.note_error(f"{type(error).__name__}: {error}")
        raise


def _job_folder(archive: Archive, job: _Job) -> Path:
    """Return the scratch folder of exactly this computation: same database, files, parameters and code.

    Every attempt works in folders of its own in there; they share what was finished, in ``result``.
    """
    parts = [
        archive.database.identity,
        str(job.key),
        job.content_digest,
        job.method,
        json.dumps(job.params, sort_keys=True, default=str),
    ]
    parts.append(json.dumps(provenance()["packages"], sort_keys=True))
    return archive.settings.jobs_dir / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def claimed_folders(archive: Archive) -> set[Path]:
    """Return the scratch folders of the tasks that somebody claims; a claim that lapsed is none."""
    with archive.database.session() as session:
        held = col(m.ProcessingTask.claimed_by).is_not(None) & (
            col(m.ProcessingTask.claim_expires_at) > datetime.now(UTC)
        )
        rows = session.scalars(select(m.ProcessingTask).where(held)).all()
        keys = [as_key(describe_key(row, session), TaskKey) for row in rows]
        return {_job_folder(archive, _read_job(session, key)) for key in keys}


def _compute(archive: Archive, job: _Job, progress: Progress) -> tuple[Path, ProcessingResult]:
    parameters = validate_parameters(job.method, job.params)
    # An engine takes long: what would fail at its end fails before.
    archive.store.check()
    folder = _job_folder(archive, job) / "result"
    earlier = _earlier_result(folder)
    if earlier is not None:
        return folder, earlier
    recording = open_ingested(archive, job.recording, progress)
    # A claim can lapse while its holder is alive: two attempts at one task must not touch each other's files.
    attempt = folder.with_name(f"attempt-{uuid.uuid4().hex}")
    try:
        result = compute(recording, parameters, attempt, archive.settings, progress)
        return _share(attempt, folder, result)
    finally:
        _leave_if_empty(folder.parent)


def _share(attempt: Path, folder: Path, result: ProcessingResult) -> tuple[Path, ProcessingResult]:
    """Put a finished result where the next attempt looks for it; where one is already, take that."""
    try:
        attempt.rename(folder)
    except OSError as error:
        other = _earlier_result(folder)
        if other is None:
            _log.warning("Finished result stays in %s: %s", attempt, error)
            return attempt, result
        shutil.rmtree(attempt, ignore_errors=True)
        return folder, other
    return folder, load_result(folder)


def _leave_if_empty(job_folder: Path) -> None:
    with suppress(OSError):
        job_folder.rmdir()  # stays where it holds a result, or another attempt


def _earlier_result(folder: Path) -> ProcessingResult | None:
    """Return what an earlier attempt finished and could not publish."""
    if not folder.exists():
        return None
    try:
        result = load_result(folder)
        result.check(str(folder))
    except ResultError as error:
        _log.warning("Removing what an earlier attempt left: %s", error)
        shutil.rmtree(folder, ignore_errors=True)
        return None
    _log.info("Found the finished result of an earlier attempt in %s: publishing it", folder)
    return result


def compute(
    recording: Recording,
    parameters: Parameters,
    output_dir: Path,
    settings: Settings,
    progress: Progress = silent,
) -> ProcessingResult:
    """Run an engine alone: no database, no store.

    Parameters
    ----------
    recording
        Opened recording.
    parameters
        Of the engine to run.
    output_dir
        Where the result shall lie, empty or absent; a link is followed. Working folders are made beside it, or inside
        where it exists (it may be a mount point), and removed, whatever comes.
    settings
        What the engine may use, and where other programs are that it runs.
    progress
        Told the engine's stages.

    Raises
    ------
    EngineError, ParameterError
        As the engine says; also when the disk is full or a folder cannot be written. A finished result that cannot be
        moved to its place stays where it is: the message names the folder.
    ResultError
        When ``output_dir`` holds something.
    """
    output_dir = output_dir.resolve()
    refuse_occupied(output_dir)
    engine = engine_for(parameters.method, settings)
    working_dir = output_dir if output_dir.exists() else output_dir.parent
    attempt = f".{output_dir.name}.{uuid.uuid4().hex[:12]}"
    scratch, partial = working_dir / f"{attempt}.scratch", working_dir / f"{attempt}.partial"
    try:
        with _explained(recording, working_dir):
            scratch.mkdir(parents=True)
            resources = Resources(scratch, settings.workers, settings.memory_limit)
            ready = clean(recording, parameters.cleaning, settings.workers, progress)
            result = engine.run(ready.recording, parameters, partial, progress, resources)
            _with_preparation(result, recording, ready).check(str(partial))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _move_into_place(partial, output_dir)
    return load_result(output_dir)


def _with_preparation(result: ProcessingResult, recording: Recording, ready: Cleaned) -> ProcessingResult:
    """Write what the movie was made of, and what was done to it, into its result, whichever engine made it."""
    arrays: dict[str, NDArray[Any]] = {f"cleaning_{name}": image for name, image in ready.images.items()}
    if len(ready.filled):
        arrays["filled_frames"] = ready.filled
    if recording.parts:
        arrays["part_starts"] = np.array(recording.part_starts)
    return amend_result(result, arrays, ready.notes) if arrays or ready.notes else result


@contextmanager
def _explained(recording: Recording, working_dir: Path) -> Iterator[None]:
    try:
        yield
    except MiniscopeError:
        raise
    except OSError as error:
        raise EngineError(
            f"Result of {recording.directory} cannot be written below {working_dir}: "
            f"{error.strerror or error}. Free some space, check the rights, or set MINISCOPE_SCRATCH_DIR."
        ) from error


def _move_into_place(partial: Path, output_dir: Path) -> None:
    """Move a finished result to where it was asked for; its description comes last and makes it one."""
    moved: list[tuple[Path, Path]] = []
    try:
        if partial.parent != output_dir:
            partial.rename(output_dir)
            return
        for source in sorted(partial.iterdir(), key=lambda path: path.name == RESULT_FILE):
            target = output_dir / source.name
            if target.exists():
                raise FileExistsError(f"{target} is there already")
            source.rename(target)
            moved.append((source, target))
        partial.rmdir()
    except OSError as error:
        for source, target in reversed(moved):
            with suppress(OSError):
                target.rename(source)
        raise EngineError(
            f"The finished result cannot be moved to {output_dir}: {error.strerror or error}. "
            f"It is kept, whole, in {partial}: move it by hand."
        ) from error


def refuse_occupied(output_dir: Path) -> None:
    """Refuse an output folder that holds something, before an hour is spent on its content.

    Raises
    ------
    ResultError
        When it is not empty, or no folder.
    """
    if output_dir.is_file() or (output_dir.exists() and any(output_dir.iterdir())):
        raise ResultError(f"Output folder is not empty at {output_dir}: name a new one, nothing was overwritten.")


def _publish(
    archive: Archive, job: _Job, claim: Claim, folder: Path, result: ProcessingResult, progress: Progress
) -> None:
    info = result.info
    facts = provenance(
        recording=str(job.recording),
        content_digest=job.content_digest,
        parameters=info.parameters,
        versions=info.versions,
        task_mode=job.mode.value,
    )
    # Whatever else lies in the folder of a result that is loaded is not ours to publish.
    names = [RESULT_FILE, *info.files]
    with publishing(archive.database, archive.store, folder, "processing", progress, names) as (session, publication):
        claim.ensure_held(session)
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
