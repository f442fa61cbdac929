"""The flow that catches up: everything ingested that has no result yet with a parameter set."""

from prefect import flow
from prefect.logging import get_run_logger

from flows.curate import ACCEPT_ENGINE
from flows.reports import report_curation
from flows.tasks import curate_task, extract_task, pending_task, plan_task, process_task
from miniscope_core.curation.policies import CurationPolicy
from miniscope_core.errors import EngineError, MiniscopeError
from miniscope_core.models.parameters import Parameters


@flow(name="process-pending")
def process_pending(
    parameters: Parameters | None = None,
    paramset_id: int | None = None,
    policy: CurationPolicy = ACCEPT_ENGINE,
) -> list[str]:
    """Process, curate and extract every ingested recording that has no result with a parameter set.

    A recording that fails does not stop the others; the run fails at its end and names each.

    Parameters
    ----------
    parameters
        Parameters of an engine. Default: the built-in engine's.
    paramset_id
        Number of a recorded parameter set, instead of ``parameters``.
    policy
        How the units are decided on.

    Returns
    -------
    list of str
        Keys of the curations made.

    Raises
    ------
    EngineError
        After all were tried, when any failed.
    """
    number, recordings = pending_task(parameters, paramset_id)
    made: list[str] = []
    failed: dict[str, str] = {}
    for recording in recordings:
        try:
            made.append(_process_one(recording, number, policy))
        except MiniscopeError as error:
            get_run_logger().error("%s: %s", recording, error)
            failed[recording] = str(error)
    if failed:
        lines = "; ".join(f"{recording}: {message}" for recording, message in failed.items())
        raise EngineError(f"{len(failed)} of {len(recordings)} recordings failed, the others are done: {lines}")
    return made


def _process_one(recording: str, paramset_id: int, policy: CurationPolicy) -> str:
    task_key = plan_task(recording, None, paramset_id)
    process_task(task_key)
    curation = str(curate_task(task_key, policy).key)
    extract_task(curation)
    report_curation(curation)
    return curation
