"""The gate: runs that wait for a person. Here a worker is a call; on real processes see test_gate_restarts."""

import contextlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.flow_runs import resume_flow_run
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Crashed, Running, Scheduled
from sqlmodel import Session, select

import flows.gate
from flows import close_reviews, curate_processing, process_pending, run_pipeline, wake_runs
from flows.gate import Decision
from flows.health import ServerError
from flows.waking import resume_runs
from miniscope_core import models as m
from miniscope_core.curation.decisions import Reject
from miniscope_core.curation.policies import Manual
from miniscope_core.errors import CurationError, EngineError
from miniscope_core.models import CurationKey, ReviewState, TaskKey, as_key
from miniscope_core.pipeline import ingest, process, reviews
from miniscope_core.pipeline.curate import Curated, submit_curation
from miniscope_core.pipeline.reviews import ReviewStatus, review_of_run, waiting_reviews
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.flows.conftest import PARAMETERS, Piped, shown, task_runs

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]

ANNA = "first curator"


class Deployed:
    """A flow as a deployment, whose runs are worked on when they are told to."""

    def __init__(self, flow: Flow[..., Any]) -> None:
        self._flow = flow
        self.id = RunnerDeployment.from_flow(flow, name="tested").apply()

    def start(self, **parameters: Any) -> UUID:
        with get_client(sync_client=True) as client:
            return client.create_flow_run_from_deployment(self.id, parameters=parameters).id

    def work(self, run_id: UUID) -> State[Any]:
        """Run as a worker's process would, until the run is done or suspended."""
        with contextlib.suppress(Pause):
            run_flow(self._flow, flow_run=read_run(run_id), return_type="state")
        state = read_run(run_id).state
        assert state is not None
        return state


def read_run(run_id: UUID) -> Any:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)


def set_state(run_id: UUID, state: State[Any]) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, state, force=True)


def review(run_id: UUID) -> ReviewStatus:
    with Archive.open() as archive:
        found = review_of_run(archive, str(run_id))
    assert found is not None
    return found


def submit(task: str) -> Curated:
    """Decide as the page would: without the first unit."""
    with Archive.open() as archive:
        return submit_curation(archive, as_key(task, TaskKey), [Reject(unit_ids=(0,))], curator=ANNA)


def let_time_pass() -> None:
    with Archive.open() as archive, archive.database.session() as session:
        for row in session.scalars(select(m.Review)):
            row.deadline = datetime.now(UTC) - timedelta(seconds=1)


def form_text(state: State[Any]) -> str:
    keys = state.state_details.run_input_keyset
    assert keys is not None
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    with get_client(sync_client=True) as client:
        schema = json.loads(client.read_flow_run_input(run_id, keys["schema"]))
    assert set(schema["required"]) == {"decision", "curator"}
    assert "default" not in schema["properties"]["decision"]
    return str(schema["properties"]["decision"]["description"])


def names_of_tasks(run_id: UUID) -> list[str]:
    return [run.name.split(" ")[0] for run in task_runs(run_id)]


@pytest.fixture
def curating(copied: Piped) -> Deployed:
    """Deploy ``curate-processing``, for an archive with a finished processing."""
    return Deployed(curate_processing)


def suspended(deployed: Deployed, task: str, **policy: Any) -> UUID:
    run_id = deployed.start(processing=task, policy=Manual(**policy).model_dump(mode="json"))
    assert deployed.work(run_id).name == "Suspended"
    return run_id


# -- where nothing can be suspended ---------------------------------------------------------------------------
def test_pipeline_called_from_python_fails_at_once_with_what_to_do(recorded: Path, archive_home: Path) -> None:
    state = run_pipeline(recorded, parameters=PARAMETERS, policy=Manual(), return_state=True)
    assert state.is_failed()
    with pytest.raises(CurationError, match=r"miniscope serve.*without_server='block'.*miniscope curate") as refusal:
        state.result()
    assert "\n" not in str(refusal.value)
    assert task_runs(state.state_details.flow_run_id) == []
    assert not archive_home.exists()


def test_flow_called_by_another_flow_cannot_be_suspended_and_says_so(copied: Piped) -> None:
    @flow
    def outer(task: str) -> str:
        return curate_processing(task, Manual())

    deployed = Deployed(outer)
    run_id = deployed.start(task=copied.task)
    state = deployed.work(run_id)
    assert state.is_failed()
    assert "cannot be suspended" in str(state.message)


def test_process_that_may_block_waits_until_a_person_decided(
    copied: Piped, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decided: list[Curated] = []
    real = reviews.wait_for_answer

    def wait(archive: Archive, status: ReviewStatus) -> CurationKey:
        def person() -> None:
            decided.append(submit(copied.task))

        thread = threading.Thread(target=person)
        answer = real(archive, status, poll_s=0.05, waiting=lambda _: None if thread.ident else thread.start())
        if thread.ident:
            thread.join()
        return answer

    monkeypatch.setattr(flows.gate, "wait_for_answer", wait)
    policy = Manual(without_server="block")
    key = run_pipeline(copied.folder, parameters=PARAMETERS, policy=policy)
    assert [key] == [str(one.key) for one in decided]
    assert decided[0].runs == ()
    assert f"miniscope curate {copied.task}" in caplog.text
    with Workspace() as workspace:
        assert not workspace.masks(key).set_index("mask_id")["accepted"][0]
    # Asked once: who calls again gets the same answer, and nobody is asked.
    assert run_pipeline(copied.folder, parameters=PARAMETERS, policy=policy) == key


# -- suspended and resumed ------------------------------------------------------------------------------------
def test_pipeline_goes_on_where_it_stood_when_a_person_submitted(copied: Piped) -> None:
    deployed = Deployed(run_pipeline)
    parameters = {"recording_dir": str(copied.folder), "parameters": PARAMETERS.model_dump(mode="json")}
    run_id = deployed.start(**parameters, policy=Manual().model_dump(mode="json"))
    state = deployed.work(run_id)
    assert state.name == "Suspended"
    assert state.state_details.pause_timeout is None  # the time limit is ours
    before = names_of_tasks(run_id)
    text = shown("review", copied.task, run_id).data
    for part in (
        "units** are accepted by accept&#95;engine",
        f"`miniscope curate` {copied.task}",
        "Without a time limit",
    ):
        assert part.replace("&#95;", "_") in text.replace("&#95;", "_"), part
    assert "data:image/png" in form_text(state)

    done = submit(copied.task)
    assert done.runs == (str(run_id),)
    assert resume_runs([*done.runs, *done.runs]) == [str(run_id)]
    assert resume_runs(done.runs) == []
    assert deployed.work(run_id).is_completed()
    assert resume_runs(done.runs) == []
    after = names_of_tasks(run_id)[len(before) :]
    assert sorted(after) == ["extract", "find-review", "find-review", "report", "settle-review"]
    with Workspace() as workspace:
        assert not workspace.masks(done.key).set_index("mask_id")["accepted"][0]


def test_waking_a_run_that_nobody_answered_lets_it_wait_again(copied: Piped, curating: Deployed) -> None:
    run_id = suspended(curating, copied.task)
    first = read_run(run_id).state.state_details.pause_key
    assert resume_runs([str(run_id)]) == [str(run_id)]
    again = curating.work(run_id)
    assert again.name == "Suspended"
    assert again.state_details.pause_key != first
    assert "Nobody submitted a decision" in form_text(again)
    assert review(run_id).state is ReviewState.WAITING


def test_form_of_the_ui_decides(copied: Piped, curating: Deployed) -> None:
    run_id = suspended(curating, copied.task)
    resume_flow_run(run_id, run_input={"decision": "reject all", "curator": ANNA, "note": "all vessels"})
    assert curating.work(run_id).is_completed()
    key = review(run_id).answer
    assert key is not None
    with Workspace() as workspace:
        row = workspace.fetch1("Curation", key)
    assert (row["curator"], row["curation_note"], row["manual_curation"]) == (ANNA, "all vessels", True)


def test_form_that_is_not_filled_in_resumes_nothing(copied: Piped, curating: Deployed) -> None:
    run_id = suspended(curating, copied.task)
    for given in (None, {}, {"curator": ANNA}, {"decision": "accept as is"}, {"decision": "yes", "curator": ANNA}):
        with pytest.raises(RuntimeError, match="Cannot resume this run"):
            resume_flow_run(run_id, run_input=given)
    assert read_run(run_id).state.name == "Suspended"


def test_form_that_makes_no_sense_is_asked_again_under_a_new_key(copied: Piped, curating: Deployed) -> None:
    run_id = suspended(curating, copied.task)
    first = read_run(run_id).state.state_details.pause_key
    resume_flow_run(run_id, run_input={"decision": "thresholds", "curator": ANNA})
    again = curating.work(run_id)
    assert again.name == "Suspended"
    assert again.state_details.pause_key != first
    assert "expected at least one bound" in form_text(again)
    assert review(run_id).state is ReviewState.WAITING
    resume_flow_run(run_id, run_input={"decision": "thresholds", "curator": ANNA, "min_npix": 1})
    assert curating.work(run_id).is_completed()


@pytest.mark.parametrize("state", [Scheduled(), Running()], ids=lambda state: state.name)
def test_run_that_was_started_again_without_any_input_approves_nothing(
    copied: Piped, curating: Deployed, state: State[Any]
) -> None:
    run_id = suspended(curating, copied.task)
    set_state(run_id, Crashed(message="killed"))
    set_state(run_id, state)  # tried again from the UI, or by a worker that knows no better
    assert curating.work(run_id).name == "Suspended"
    assert review(run_id).state is ReviewState.WAITING
    assert names_of_tasks(run_id).count("request-review") == 1


def test_run_that_was_killed_before_it_sent_its_form_can_be_woken(copied: Piped, curating: Deployed) -> None:
    run_id = suspended(curating, copied.task)
    with get_client(sync_client=True) as client:
        client.delete_flow_run_input(run_id, read_run(run_id).state.state_details.run_input_keyset["schema"])
    assert wake_runs(submit(copied.task).runs) == [f"Flow run {run_id} waited for this decision and goes on"]
    assert curating.work(run_id).is_completed()


def test_other_runs_that_wait_for_the_same_are_woken_by_a_form(copied: Piped, curating: Deployed) -> None:
    one, other = suspended(curating, copied.task), suspended(curating, copied.task)
    resume_flow_run(one, run_input={"decision": "accept as is", "curator": ANNA})
    assert curating.work(one).is_completed()
    assert read_run(other).state.name == "Resuming"
    assert curating.work(other).is_completed()
    assert review(one).answer == review(other).answer


def test_server_that_is_away_loses_no_decision(copied: Piped, curating: Deployed) -> None:
    run_id = suspended(curating, copied.task)
    waits = suspended(curating, copied.task)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        done = submit(copied.task)
        assert set(done.runs) == {str(run_id), str(waits)}
        [line] = wake_runs(done.runs)
        assert line.startswith("2 flow runs wait for this decision and will go on when a Prefect server is back")
        with pytest.raises(ServerError):
            resume_runs(done.runs)
    assert set(close_reviews()) == set(done.runs)
    assert close_reviews() == []
    assert curating.work(run_id).is_completed()


def test_runs_that_no_server_knows_are_passed_over(prefect_server: None) -> None:
    assert resume_runs(["00000000-0000-0000-0000-000000000000", "no run"]) == []
    assert resume_runs([]) == []


# -- time limits ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("outcome", ["fail", "accept_start", "reject_all"])
def test_time_limit_ends_the_run_as_its_policy_says(copied: Piped, curating: Deployed, outcome: str) -> None:
    run_id = suspended(curating, copied.task, time_limit_h=1, at_time_limit=outcome)
    assert close_reviews() == []
    let_time_pass()
    assert close_reviews() == [str(run_id)]
    state = curating.work(run_id)
    if outcome == "fail":
        assert state.is_failed()
        assert "Nobody decided" in str(state.message)
        # A decision that comes too late is what the run finds when it is tried again.
        submit(copied.task)
        set_state(run_id, Scheduled())
        assert curating.work(run_id).is_completed()
    else:
        assert state.is_completed()
        assert (review(run_id).answer == review(run_id).start) is (outcome == "accept_start")


def test_runs_of_closing_that_piled_up_are_cancelled(copied: Piped) -> None:
    deployed = Deployed(close_reviews)
    late, now = deployed.start(), deployed.start()
    assert deployed.work(now).is_completed()
    assert read_run(late).state.is_cancelled()


# -- catching up ----------------------------------------------------------------------------------------------
def test_catching_up_asks_once_and_goes_on_with_the_answer_in_a_later_run(
    recorded: Path, archive_home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Archive.open() as archive:
        recording = ingest.ingest_recording(archive, recorded).key
    assert process_pending(parameters=PARAMETERS, policy=Manual()) == []
    assert f"{recording} waits for a person" in caplog.text

    def computes(*arguments: object) -> None:
        raise AssertionError("computed twice")

    monkeypatch.setattr(process, "compute", computes)
    assert process_pending(parameters=PARAMETERS, policy=Manual()) == []
    with Archive.open() as archive:
        [asked] = waiting_reviews(archive)
        assert (asked.run, process.pending_recordings(archive, 0)) == (None, [recording])
    assert shown("review", str(asked.task)).data
    done = submit(str(asked.task))
    assert done.runs == ()
    assert process_pending(parameters=PARAMETERS, policy=Manual()) == [str(done.key)]
    assert process_pending(parameters=PARAMETERS, policy=Manual()) == []
    with Archive.open() as archive, Session(archive.database.engine) as session:
        assert len(session.exec(select(m.Review)).all()) == 1


def test_catching_up_fails_for_what_nobody_decided_in_time(recorded: Path, archive_home: Path) -> None:
    with Archive.open() as archive:
        ingest.ingest_recording(archive, recorded)
    policy = Manual(time_limit_h=1)
    assert process_pending(parameters=PARAMETERS, policy=policy) == []
    let_time_pass()
    with pytest.raises(EngineError, match=r"1 of 1 recordings failed.*Nobody decided"):
        process_pending(parameters=PARAMETERS, policy=policy)


# -- the form -------------------------------------------------------------------------------------------------
def test_form_requires_what_decides_and_says_what_everything_is() -> None:
    schema = Decision.model_json_schema()
    assert set(schema["required"]) == {"decision", "curator"}
    assert list(schema["properties"])[:4] == ["decision", "curator", "note", "min_snr"]
    for name, field in schema["properties"].items():
        assert field.get("description"), name


def test_page_is_linked_where_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    link: Callable[[TaskKey], str] = flows.reports.page_link
    task = as_key("mouse 1/2024-03-05T14:30:15/0/0", TaskKey)
    assert link(task) == ""
    monkeypatch.setenv("MINISCOPE_PAGE_URL", "http://127.0.0.1:5006/")
    assert link(task) == "http://127.0.0.1:5006/#/mouse%201/2024-03-05T14:30:15/0/0"
