"""Prefect tasks: each wraps one plain function and adds a name, retries of transient faults, a time limit and tags.

Only what reads or computes much carries a tag to limit (``miniscope-io``, ``miniscope-engine``): asking the server
for leave costs a second or two. Between tasks go keys as text and small models, never arrays or connections: a task
opens the archive that the settings of its own process name.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from prefect import task

from flows.logs import forward_logs
from flows.progress import RunProgress
from flows.retries import RETRY_TRANSIENT
from miniscope_core.curation.policies import CurationPolicy, Manual
from miniscope_core.models import CurationKey, RecordingKey, ReviewState, TaskKey, as_key
from miniscope_core.models.parameters import Parameters
from miniscope_core.pipeline import answers, curate, extract, ingest, join, process, reviews
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.storage.archive import Archive

# Reading is bounded by the disk, an engine by the recording's length: about a day is more than any of ours takes.
_INGEST_LIMIT: Final = timedelta(hours=6).total_seconds()
_PROCESS_LIMIT: Final = timedelta(hours=24).total_seconds()
_ROWS_LIMIT: Final = timedelta(hours=1).total_seconds()


@contextmanager
def open_archive() -> Iterator[Archive]:
    """Open database and store for a task or a flow, whose log lines go to the run's page."""
    forward_logs()
    with Archive.open() as archive:
        yield archive


@task(
    name="ingest",
    task_run_name="ingest {recording_dir}",
    tags=["miniscope-io"],
    timeout_seconds=_INGEST_LIMIT,
    **RETRY_TRANSIENT,
)
def ingest_task(recording_dir: str | Path, options: IngestOptions) -> ingest.Ingested:
    """Ingest a folder: see :func:`miniscope_core.pipeline.ingest.ingest_recording`."""
    with open_archive() as archive:
        return join.ingest_folder(archive, recording_dir, options, RunProgress())


@task(name="plan", task_run_name="plan {recording}", timeout_seconds=_ROWS_LIMIT, **RETRY_TRANSIENT)
def plan_task(recording: str, parameters: Parameters | None, paramset_id: int | None) -> str:
    """Record the parameter set and the task; return the task's key."""
    with open_archive() as archive:
        number = process.choose_parameter_set(archive, parameters, paramset_id)
        return str(process.add_task(archive, as_key(recording, RecordingKey), number))


@task(
    name="process",
    task_run_name="process {task_key}",
    tags=["miniscope-engine"],
    timeout_seconds=_PROCESS_LIMIT,
    **RETRY_TRANSIENT,
)
def process_task(task_key: str) -> process.Processed:
    """Compute and publish a task's result: see :func:`miniscope_core.pipeline.process.process_recording`."""
    with open_archive() as archive:
        return process.process_recording(archive, as_key(task_key, TaskKey), RunProgress())


@task(name="curate", task_run_name="curate {task_key}", timeout_seconds=_ROWS_LIMIT, **RETRY_TRANSIENT)
def curate_task(task_key: str, policy: CurationPolicy) -> curate.Curated:
    """Decide on the units of a processing: see :func:`miniscope_core.pipeline.curate.curate_processing`."""
    with open_archive() as archive:
        return curate.curate_processing(archive, as_key(task_key, TaskKey), policy)


@task(
    name="extract",
    task_run_name="extract {curation_key}",
    timeout_seconds=_ROWS_LIMIT,
    **RETRY_TRANSIENT,
)
def extract_task(curation_key: str) -> extract.Extracted:
    """Write the rows of a curation's results: see :func:`miniscope_core.pipeline.extract.extract_traces`."""
    with open_archive() as archive:
        return extract.extract_traces(archive, as_key(curation_key, CurationKey), RunProgress())


@task(name="pending", timeout_seconds=_ROWS_LIMIT, **RETRY_TRANSIENT)
def pending_task(parameters: Parameters | None, paramset_id: int | None) -> tuple[int, list[str]]:
    """Return the parameter set's number and the keys of the recordings that have no result with it."""
    with open_archive() as archive:
        number = process.choose_parameter_set(archive, parameters, paramset_id)
        return number, [str(key) for key in process.pending_recordings(archive, number)]


# -- reviews ----------------------------------------------------------------------------------------------
@task(name="find-review", task_run_name="find-review", timeout_seconds=_ROWS_LIMIT, **RETRY_TRANSIENT)
def find_review_task(run: str) -> reviews.ReviewStatus | None:
    """Return the review that a flow run asked for: see :func:`miniscope_core.pipeline.reviews.review_of_run`."""
    with open_archive() as archive:
        return reviews.review_of_run(archive, run)


@task(name="find-review", task_run_name="find-review {task_key}", timeout_seconds=_ROWS_LIMIT, **RETRY_TRANSIENT)
def find_review_of_policy_task(task_key: str, policy: Manual) -> reviews.ReviewStatus | None:
    """Return what a policy asked for: see :func:`miniscope_core.pipeline.reviews.review_of_policy`."""
    with open_archive() as archive:
        return reviews.review_of_policy(archive, as_key(task_key, TaskKey), policy)


@task(name="request-review", task_run_name="request-review {task_key}", timeout_seconds=_ROWS_LIMIT, **RETRY_TRANSIENT)
def request_review_task(task_key: str, policy: Manual, run: str | None) -> reviews.ReviewStatus:
    """Ask for a person's decision: see :func:`miniscope_core.pipeline.reviews.request_review`."""
    with open_archive() as archive:
        return reviews.request_review(archive, as_key(task_key, TaskKey), policy, run)


@task(name="settle-review", task_run_name="settle-review {status.task}", timeout_seconds=_ROWS_LIMIT, **RETRY_TRANSIENT)
def settle_review_task(status: reviews.ReviewStatus, given: Mapping[str, Any] | None) -> answers.Settled:
    """Look whether a person decided: see :func:`miniscope_core.pipeline.answers.settle_review`."""
    with open_archive() as archive:
        return answers.settle_review(archive, status, given)


@task(name="close-reviews", timeout_seconds=_ROWS_LIMIT, **RETRY_TRANSIENT)
def close_reviews_task() -> list[reviews.ReviewStatus]:
    """Close what is overdue: see :func:`miniscope_core.pipeline.reviews.close_reviews`."""
    with open_archive() as archive:
        return reviews.close_reviews(archive)


@task(name="closed-reviews", timeout_seconds=_ROWS_LIMIT, **RETRY_TRANSIENT)
def closed_reviews_task(runs: list[str]) -> list[str]:
    """Return those of some flow runs whose review is answered or expired."""
    with open_archive() as archive:
        found = {run: reviews.review_of_run(archive, run) for run in runs}
    return [run for run, status in found.items() if status is not None and status.state is not ReviewState.WAITING]
