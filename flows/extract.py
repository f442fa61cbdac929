"""The flow that turns a curation into rows of masks, traces, activity and quality."""

from prefect import flow

from flows.forms import CurationText
from flows.reports import report_curation
from flows.tasks import extract_task


@flow(name="extract-traces", flow_run_name="extract {curation}")
def extract_traces(curation: CurationText) -> int:
    """Write motion correction, masks, classification, fluorescence, activity and quality of a curation, once.

    Parameters
    ----------
    curation
        Key of the curation: ``subject/session_datetime/recording_id/paramset_id/curation_id``.

    Returns
    -------
    int
        Number of masks, accepted or not.
    """
    extracted = extract_task(curation)
    report_curation(curation)
    return extracted.mask_count
