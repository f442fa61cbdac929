"""The flow that computes a recording's result with a parameter set."""

from prefect import flow

from flows.forms import DEFAULT_PARAMETERS, EngineForm, ParamsetId, RecordingText, chosen_parameters
from flows.reports import report_processing
from flows.tasks import plan_task, process_task


@flow(name="process-recording", flow_run_name="process {recording}")
def process_recording(
    recording: RecordingText, parameters: EngineForm = DEFAULT_PARAMETERS, paramset_id: ParamsetId = None
) -> str:
    """Run an engine on an ingested recording and publish its result, once.

    Parameters
    ----------
    recording
        Key of the recording: ``subject/session_datetime/recording_id``.
    parameters
        Parameters of an engine; recorded as a set where they are new.
    paramset_id
        Number of a recorded parameter set, instead of ``parameters``.

    Returns
    -------
    str
        Key of the processing: the recording's, and the parameter set's number.
    """
    task_key = plan_task(recording, chosen_parameters(parameters, paramset_id), paramset_id)
    process_task(task_key)
    report_processing(task_key)
    return task_key
