"""The flow that records a folder's facts, files and clock."""

from prefect import flow

from flows.forms import NO_OPTIONS, Options, RecordingDir, name_by_folder
from flows.reports import report_recording
from flows.tasks import ingest_task


@flow(name="ingest-recording", flow_run_name=name_by_folder("ingest"))
def ingest_recording(recording_dir: RecordingDir, options: Options = NO_OPTIONS) -> str:
    """Read a recording folder and record subject, session, recording, files, clock and configuration, once.

    Parameters
    ----------
    recording_dir
        Folder or address of one recording, or of a session that holds exactly one.
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
