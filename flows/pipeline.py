"""The flow that does it all: from a folder of video to cells in the database."""

from prefect import flow

from flows.forms import (
    ACCEPT_ENGINE,
    DEFAULT_PARAMETERS,
    NO_OPTIONS,
    EngineForm,
    Options,
    ParamsetId,
    PolicyForm,
    RecordingDir,
    chosen_parameters,
    name_by_folder,
)
from flows.reports import report_curation, report_recording
from flows.tasks import curate_task, extract_task, ingest_task, plan_task, process_task


@flow(name="run-pipeline", flow_run_name=name_by_folder("pipeline"))
def run_pipeline(
    recording_dir: RecordingDir,
    options: Options = NO_OPTIONS,
    parameters: EngineForm = DEFAULT_PARAMETERS,
    paramset_id: ParamsetId = None,
    policy: PolicyForm = ACCEPT_ENGINE,
) -> str:
    """Ingest a recording, process it, curate the units and extract their traces; what is done already is kept.

    Parameters
    ----------
    recording_dir
        Folder of one recording, or of a session that holds exactly one.
    options
        What the folder does not tell, or tells wrong.
    parameters
        Parameters of an engine; recorded as a set where they are new.
    paramset_id
        Number of a recorded parameter set, instead of ``parameters``.
    policy
        How the units are decided on.

    Returns
    -------
    str
        Key of the curation: ``subject/session_datetime/recording_id/paramset_id/curation_id``.
    """
    recording = str(ingest_task(recording_dir, options).key)
    report_recording(recording)
    task_key = plan_task(recording, chosen_parameters(parameters, paramset_id), paramset_id)
    process_task(task_key)
    curation = str(curate_task(task_key, policy).key)
    extract_task(curation)
    report_curation(curation)
    return curation
