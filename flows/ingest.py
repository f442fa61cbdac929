"""The flow that records a folder's facts, files and clock."""

from pathlib import Path
from typing import Final

from prefect import flow

from flows.reports import report_recording
from flows.tasks import ingest_task
from miniscope_core.pipeline.requests import IngestOptions

NO_OPTIONS: Final = IngestOptions()


@flow(name="ingest-recording", flow_run_name="ingest {recording_dir}")
def ingest_recording(recording_dir: Path, options: IngestOptions = NO_OPTIONS) -> str:
    """Read a recording folder and record subject, session, recording, files, clock and configuration, once.

    Parameters
    ----------
    recording_dir
        Folder of one recording, or of a session that holds exactly one.
    options
        What the folder does not tell, or tells wrong.

    Returns
    -------
    str
        Key of the recording: ``subject/session_datetime/recording_id``.
    """
    key = str(ingest_task(recording_dir, options).key)
    report_recording(key)
    return key
