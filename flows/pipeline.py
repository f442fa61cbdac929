"""The flow that does it all: from a folder of video to cells in the database."""

from pathlib import Path

from prefect import flow

from flows.curate import ACCEPT_ENGINE
from flows.ingest import NO_OPTIONS
from flows.reports import report_curation, report_recording
from flows.tasks import curate_task, extract_task, ingest_task, plan_task, process_task
from miniscope_core.curation.policies import CurationPolicy
from miniscope_core.models.parameters import Parameters
from miniscope_core.pipeline.requests import IngestOptions


@flow(name="run-pipeline", flow_run_name="pipeline {recording_dir}")
def run_pipeline(
    recording_dir: Path,
    options: IngestOptions = NO_OPTIONS,
    parameters: Parameters | None = None,
    paramset_id: int | None = None,
    policy: CurationPolicy = ACCEPT_ENGINE,
) -> str:
    """Ingest a recording, process it, curate the units and extract their traces; what is done already is kept.

    Parameters
    ----------
    recording_dir
        Folder of one recording, or of a session that holds exactly one.
    options
        What the folder does not tell, or tells wrong.
    parameters
        Parameters of an engine. Default: the built-in engine's.
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
    task_key = plan_task(recording, parameters, paramset_id)
    process_task(task_key)
    curation = str(curate_task(task_key, policy).key)
    extract_task(curation)
    report_curation(curation)
    return curation
