"""The flow that decides which units are cells."""

from prefect import flow

from flows.forms import ACCEPT_ENGINE, PolicyForm, TaskText
from flows.gate import decide, refuse_to_wait


@flow(name="curate-processing", flow_run_name="curate {processing}")
def curate_processing(processing: TaskText, policy: PolicyForm = ACCEPT_ENGINE) -> str:
    """Decide on every unit of a processing by a policy, once per policy.

    Parameters
    ----------
    processing
        Key of the processing: ``subject/session_datetime/recording_id/paramset_id``.
    policy
        How to decide. With ``manual`` the run is suspended until a person decided.

    Returns
    -------
    str
        Key of the curation: the processing's, and the curation's number.

    Raises
    ------
    CurationError
        When a person is to be waited for where that cannot be; when nobody came in time.
    """
    refuse_to_wait(policy)
    return decide(processing, policy)
