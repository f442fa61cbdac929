"""The flow that catches up: everything ingested that has no result yet with a parameter set."""

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.forms import (
    ACCEPT_ENGINE,
    DEFAULT_PARAMETERS,
    EngineForm,
    ParamsetId,
    PolicyForm,
    RecordingText,
    chosen_parameters,
)
from flows.gate import decide_or_ask
from flows.reports import report_curation
from flows.tasks import extract_task, pending_task, plan_task, process_task
from miniscope_core.errors import ClaimError, EngineError


def _name() -> str:
    number = flow_run.parameters.get("paramset_id")
    return "pending" if number is None else f"pending with parameter set {number}"


@flow(name="process-pending", flow_run_name=_name)
def process_pending(
    parameters: EngineForm = DEFAULT_PARAMETERS,
    paramset_id: ParamsetId = None,
    policy: PolicyForm = ACCEPT_ENGINE,
) -> list[str]:
    """Process, curate and extract every ingested recording that has no result with a parameter set.

    Each recording is a run of its own, one after another. One that fails does not stop the others: the run fails
    at its end and names each. One that somebody else is computing at the moment is left to them. With the policy
    ``manual`` nothing waits: a person is asked once about each recording, and a later run goes on with the answer.

    Parameters
    ----------
    parameters
        Parameters of an engine; recorded as a set where they are new.
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
    number, recordings = pending_task(chosen_parameters(parameters, paramset_id), paramset_id)
    logger = get_run_logger()
    logger.info("%d recordings have no result with parameter set %d", len(recordings), number)
    made: list[str] = []
    failed: list[str] = []
    for recording in recordings:
        # Whatever befalls one recording, also what nobody thought of, must not keep the later ones from their turn.
        outcome = finish_recording(recording, number, policy, return_state=True).result(raise_on_failure=False)
        if isinstance(outcome, str):
            made.append(outcome)
        elif outcome is None:
            logger.warning("%s waits for a person: decide, and the next run goes on with it", recording)
        elif isinstance(outcome, ClaimError):
            logger.warning("%s is left out: %s", recording, outcome)
        else:
            logger.error("%s failed: %s", recording, outcome)
            failed.append(f"{recording}: {outcome}")
    if failed:
        raise EngineError(f"{len(failed)} of {len(recordings)} recordings failed, all were tried: {'; '.join(failed)}")
    return made


@flow(name="finish-recording", flow_run_name="finish {recording}")
def finish_recording(recording: RecordingText, paramset_id: int, policy: PolicyForm) -> str | None:
    """Process, curate and extract one ingested recording with a recorded parameter set.

    Parameters
    ----------
    recording
        Key of the recording: ``subject/session_datetime/recording_id``.
    paramset_id
        Number of the parameter set.
    policy
        How the units are decided on.

    Returns
    -------
    str or None
        Key of the curation; None while a person is waited for.
    """
    task_key = plan_task(recording, None, paramset_id)
    process_task(task_key)
    curation = decide_or_ask(task_key, policy)
    if curation is None:
        return None
    extract_task(curation)
    report_curation(curation)
    return curation
