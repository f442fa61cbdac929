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
from flows.gate import decide, refuse_to_wait, task_under_review
from flows.reports import report_curation, report_recording
from flows.tasks import extract_task, ingest_task, plan_task, process_task


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
        Folder or address of one recording, or of a session that holds exactly one.
    options
        What the folder does not tell, or tells wrong.
    parameters
        Parameters of an engine; recorded as a set where they are new.
    paramset_id
        Number of a recorded parameter set, instead of ``parameters``.
    policy
        How the units are decided on. With ``manual`` the run is suspended until a person decided.

    Returns
    -------
    str
        Key of the curation: ``subject/session_datetime/recording_id/paramset_id/curation_id``.

    Raises
    ------
    CurationError
        When a person is to be waited for where that cannot be, before anything is done; when nobody came in time.
    """
    refuse_to_wait(policy)
    task_key = task_under_review(policy)
    if task_key is None:
        recording = str(ingest_task(recording_dir, options).key)
        report_recording(recording)
        task_key = plan_task(recording, chosen_parameters(parameters, paramset_id), paramset_id)
        process_task(task_key)
    curation = decide(task_key, policy)
    extract_task(curation)
    report_curation(curation)
    return curation
