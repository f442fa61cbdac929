"""All flows as deployments of one process: the simple way to have forms and a schedule, without work pools."""

from typing import Any, Final

from prefect import Flow, serve
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.types.entrypoint import EntrypointType

from flows.closing import close_reviews
from flows.curate import curate_processing
from flows.extract import extract_traces
from flows.health import find_server
from flows.ingest import ingest_recording
from flows.pending import process_pending
from flows.pipeline import run_pipeline
from flows.process import process_recording
from miniscope_core.errors import ParameterError

NIGHTLY: Final = "0 2 * * *"
_OFTEN: Final = "*/5 * * * *"
# Not the names of deployments/prefect.yaml: whoever uses both should see which is which.
_NAME: Final = "served"
_FLOWS: Final[tuple[Flow[..., Any], ...]] = (
    run_pipeline,
    process_pending,
    ingest_recording,
    process_recording,
    curate_processing,
    extract_traces,
    close_reviews,
)


def serve_all(limit: int = 1, cron: str | None = NIGHTLY, timezone: str = "UTC") -> None:
    """Offer all flows on a Prefect server and run what is asked for, until this process is stopped.

    Ctrl+C ends it and pauses the schedule; it goes on when this is started again.

    Parameters
    ----------
    limit
        Runs at the same time; further ones wait. An engine uses all workers it may, so more than one rarely helps.
    cron
        When to process what is pending, or None for never by itself.
    timezone
        Of ``cron``, as ``Europe/Berlin``.

    Raises
    ------
    ServerError
        When no server answers at ``PREFECT_API_URL``, or, where that is not set, on this machine.
    ParameterError
        When the schedule or the limit makes no sense.
    """
    if limit < 1:
        raise ParameterError(f"Limit of runs: got {limit}, expected at least 1.")
    offered = deployments(cron, timezone)
    with temporary_settings({PREFECT_API_URL: find_server()}):
        serve(*offered, limit=limit)


def deployments(cron: str | None = NIGHTLY, timezone: str = "UTC") -> list[RunnerDeployment]:
    """Make a deployment of each flow; ``process-pending`` gets the schedule, ``close-reviews`` one of its own.

    Raises
    ------
    ParameterError
        When the schedule makes no sense.
    """
    try:
        schedules = {close_reviews.name: Cron(_OFTEN, slug="often")}
        if cron is not None:
            schedules[process_pending.name] = Cron(cron, timezone=timezone, slug="nightly")
        return [
            RunnerDeployment.from_flow(
                flow,
                name=_NAME,
                tags=["miniscope"],
                schedule=schedules.get(flow.name),
                # By module: wherever the process was started, the installed package is what runs.
                entrypoint_type=EntrypointType.MODULE_PATH,
            )
            for flow in _FLOWS
        ]
    except ValueError as error:
        raise ParameterError(
            f"Schedule: got {cron!r} in time zone {timezone!r}, expected as '0 2 * * *' and 'Europe/Berlin'."
        ) from error
