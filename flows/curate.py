"""The flow that decides which units are cells."""

from prefect import flow

from flows.forms import ACCEPT_ENGINE, PolicyForm, TaskText
from flows.tasks import curate_task


@flow(name="curate-processing", flow_run_name="curate {processing}")
def curate_processing(processing: TaskText, policy: PolicyForm = ACCEPT_ENGINE) -> str:
    """Decide on every unit of a processing by a policy, once per policy.

    Parameters
    ----------
    processing
        Key of the processing: ``subject/session_datetime/recording_id/paramset_id``.
    policy
        How to decide.

    Returns
    -------
    str
        Key of the curation: the processing's, and the curation's number.
    """
    return str(curate_task(processing, policy).key)
