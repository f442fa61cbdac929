"""Waking: runs that are suspended until a person decides are resumed when somebody did."""

import logging
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import httpx
import orjson
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.health import ServerError, find_server
from miniscope_core.pipeline.answers import Answer, Verdict

_log = logging.getLogger(__name__)
# The server takes no resumption without the form's fields; the run looks at the review first anyway.
_LOOK: Final = {"decision": Verdict.SUBMITTED.value, "curator": "miniscope"}


def wake_runs(runs: Iterable[str]) -> list[str]:
    """Resume flow runs that are suspended until a person decides, and tell what became of it.

    Waking one that is not suspended, or whose review nobody answered, does no harm: the run looks at its review and
    waits again. Where no server answers, nothing is lost either: the flow ``close-reviews`` wakes what is answered.

    Parameters
    ----------
    runs
        Their ids, such as :attr:`miniscope_core.pipeline.curate.Curated.runs`.

    Returns
    -------
    list of str
        A line for every run that goes on, or one that says why none does.
    """
    wanted = list(dict.fromkeys(runs))
    try:
        return [f"Flow run {run} waited for this decision and goes on" for run in resume_runs(wanted)]
    except ServerError as error:
        count = "1 flow run waits" if len(wanted) == 1 else f"{len(wanted)} flow runs wait"
        return [f"{count} for this decision and will go on when a Prefect server is back. {error}"]


def resume_runs(runs: Iterable[str]) -> list[str]:
    """Resume those of some flow runs that are suspended until a person decides.

    Returns
    -------
    list of str
        The ids of those that were resumed.

    Raises
    ------
    ServerError
        When no server answers; nothing is lost, and it can be tried again.
    """
    wanted = list(dict.fromkeys(runs))
    if not wanted:
        return []
    try:
        with temporary_settings({PREFECT_API_URL: find_server()}), get_client(sync_client=True) as client:
            return [run for run in wanted if _resumed(client, run)]
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise ServerError(
            f"The Prefect server did not resume runs: {error}. Is it starting, or shutting down?"
        ) from error


def suspended(run: FlowRun) -> bool:
    """Tell whether a run is suspended: it has no process, and starts again when it is resumed."""
    return run.state is not None and run.state.is_paused() and run.state.state_details.pause_reschedule is True


def _resumed(client: SyncPrefectClient, run_id: str) -> bool:
    try:
        run = client.read_flow_run(UUID(run_id))
    except (ObjectNotFound, ValueError):  # of another server, or deleted
        return False
    if not suspended(run):
        return False
    _mend_form(client, run)
    answer = client.resume_flow_run(run.id, run_input=_LOOK)
    if answer.status != "ACCEPT":
        _log.warning("Run %s was not resumed: %s", run_id, getattr(answer.details, "reason", answer.status))
    return answer.status == "ACCEPT"


def _mend_form(client: SyncPrefectClient, run: FlowRun) -> None:
    """Give a run back the form that it was killed before it had sent: the server resumes none without."""
    keyset = None if run.state is None else run.state.state_details.run_input_keyset
    if not keyset:
        return
    try:
        client.read_flow_run_input(run.id, keyset["schema"])
    except PrefectHTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        schema = orjson.dumps(Answer.model_json_schema()).decode()
        client.create_flow_run_input(run.id, keyset["schema"], schema)
