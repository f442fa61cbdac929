"""The flow that keeps the gate moving: it closes what is overdue and wakes runs whose answer is there."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Cancelled

from flows.tasks import close_reviews_task, closed_reviews_task
from flows.waking import resume_runs, suspended

_PAGE: Final = 200


@flow(name="close-reviews", flow_run_name="close reviews")
def close_reviews() -> list[str]:
    """Close reviews whose time limit passed, as their policies say, and wake the runs whose review is closed.

    Runs are woken by whoever submits a decision; this is for when the server was away then, and for time limits.

    Returns
    -------
    list of str
        Ids of the runs that were woken.
    """
    with get_client(sync_client=True) as client:
        _cancel_late(client)
        waiting = [str(run.id) for run in _paused(client) if suspended(run)]
    logger = get_run_logger()
    for status in close_reviews_task():
        logger.info("The time limit of %s passed: %s", status.task, status.policy.at_time_limit)
    woken = resume_runs(closed_reviews_task(waiting) if waiting else [])
    logger.info("%d runs wait for a person, %d were woken", len(waiting) - len(woken), len(woken))
    return woken


def _paused(client: SyncPrefectClient) -> Iterator[FlowRun]:
    """Give every run of the server that is paused, whatever flow it is of."""
    paused = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])))
    offset = 0
    while found := client.read_flow_runs(flow_run_filter=paused, limit=_PAGE, offset=offset):
        yield from found
        offset += len(found)


def _cancel_late(client: SyncPrefectClient) -> None:
    """Cancel other runs of this deployment that should have begun by now: while a worker is busy, they pile up."""
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if run is None or run.deployment_id is None:
        return
    late = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[run.deployment_id]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC)),
    )
    for other in client.read_flow_runs(flow_run_filter=late, limit=_PAGE):
        if other.id != run.id:
            client.set_flow_run_state(other.id, Cancelled(message="A later run did its work."))
