"""The gate on a real server: runs that wait for a person outlive the server and what runs them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.flow_runs import resume_flow_run
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlmodel import Session, select

from flows import wake_runs
from flows.waking import resume_runs
from miniscope_core import models as m
from miniscope_core.curation.decisions import Accept, Reject
from miniscope_core.curation.policies import Manual
from miniscope_core.models import CurationKey, ReviewState, TaskKey, as_key
from miniscope_core.pipeline.curate import decisions_of, submit_curation
from miniscope_core.pipeline.reviews import review_of_run
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.flows.conftest import PARAMETERS, shown, task_runs, use_archive
from tests.web.browsing import Curator, find_chromium, launch

pytestmark = pytest.mark.flow

TASK = "mouse1/2024-03-05T14:30:15/0/0"
SERVE = """
import time
from flows.health import ServerError, find_server
from flows.serve import serve_all

while True:
    try:
        find_server()
        break
    except ServerError:
        time.sleep(0.2)
serve_all(cron=None)
"""
WITHIN_S = 120.0
T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, *processes: "Process") -> T:
    """Return what is seen at last; fail with the end of what the processes printed."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.25)
    printed = "\n".join(process.printed() for process in processes)
    raise AssertionError(f"not within {WITHIN_S:g} s: {what}\n{printed}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def browsing() -> Iterator[Browser]:
    """Give the machine's Chromium."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


class Process:
    """A process in a group of its own, so that it can be killed with all that it started."""

    def __init__(self, log: Path, *command: str, **environment: str) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it and its children without a chance to tidy up; again, it does nothing."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def printed(self) -> str:
        """Return the end of what it printed."""
        return self._log.read_text(errors="replace")[-4000:]


class Laboratory:
    """A Prefect server and a process that serves the flows, both of which can die and come back."""

    def __init__(self, folder: Path) -> None:
        self.port, self.page_port = free_port(), free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self._folder, self._starts = folder, 0
        self._environment = {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        }
        self.server: Process
        self.serving: Process

    def start(self) -> None:
        """Start both and wait until the flows are offered."""
        logs = [self._folder / f"{name}-{self._starts}.log" for name in ("server", "serving")]
        self._starts += 1
        command = ("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port))
        self.server = Process(logs[0], *command, **self._environment)
        self.serving = Process(logs[1], "-c", SERVE, **self._environment)
        until(lambda: "are being served" in self.serving.printed(), "flows are offered", self.server, self.serving)

    def page(self, log: Path) -> Process:
        """Start the curation page as a person does, and wait until it listens."""
        command = ("curate", "--no-browser", "--port", str(self.page_port), "--by", "Ada")
        started = Process(log, "-c", "from miniscope_core.cli import main; main()", *command, **self._environment)
        until(lambda: "Curation page" in started.printed(), "the page is served", started)
        return started

    def kill(self) -> None:
        """Kill both."""
        self.serving.kill()
        self.server.kill()

    def run(self, **parameters: Any) -> UUID:
        """Start a run of the pipeline as its form would."""
        with get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name("run-pipeline/served")
            return client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id

    def wait(self, run_id: UUID, name: str) -> FlowRun:
        """Wait until a run is in the state of a name."""

        def look() -> FlowRun | None:
            with get_client(sync_client=True) as client:
                run = client.read_flow_run(run_id)
            assert run.state is not None
            assert not run.state.is_final() or run.state.name == name, (run.state, self.serving.printed())
            return run if run.state.name == name else None

        return until(look, f"run is {name}", self.server, self.serving)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("laboratory")
    with pytest.MonkeyPatch.context() as monkeypatch, ExitStack() as stack:
        use_archive(monkeypatch, folder / "home")
        made = Laboratory(folder)
        stack.callback(made.kill)
        made.start()
        with temporary_settings({PREFECT_API_URL: made.api}):
            yield made


@contextmanager
def archive_rows() -> Iterator[Session]:
    with Archive.open() as archive, Session(archive.database.engine) as session:
        yield session


def names_of_tasks(run_id: UUID) -> list[str]:
    return [run.name.split(" ")[0] for run in task_runs(run_id)]


def pipeline_parameters(folder: Path, **policy: Any) -> dict[str, Any]:
    return {
        "recording_dir": str(folder),
        "parameters": PARAMETERS.model_dump(mode="json"),
        "policy": Manual(**policy).model_dump(mode="json"),
    }


def test_run_that_waits_outlives_server_and_worker_and_ends_with_what_the_person_decided(
    laboratory: Laboratory, recorded: Path
) -> None:
    run_id = laboratory.run(**pipeline_parameters(recorded))
    laboratory.wait(run_id, "Suspended")
    assert "`miniscope curate`" in shown("review", TASK, run_id).data
    laboratory.kill()

    task = as_key(TASK, TaskKey)
    with Archive.open() as archive:
        status = review_of_run(archive, str(run_id))
        assert status is not None
        assert status.state is ReviewState.WAITING
        before = decisions_of(archive, task, status.start)
        wanted = {unit: not decision.accepted for unit, decision in before.items()}
        edits = [
            kind(unit_ids=units)
            for kind, verdict in ((Accept, True), (Reject, False))
            if (units := tuple(unit for unit, accepted in wanted.items() if accepted is verdict))
        ]
        done = submit_curation(archive, task, edits, curator="first curator", parent=status.start)
    assert done.runs == (str(run_id),)
    [line] = wake_runs(done.runs)
    assert "will go on when a Prefect server is back" in line

    laboratory.start()
    laboratory.wait(run_id, "Suspended")
    assert resume_runs(done.runs) == [str(run_id)]
    assert resume_runs(done.runs) == []
    laboratory.wait(run_id, "Completed")
    with get_client(sync_client=True) as client:
        states = [state.name for state in client.read_flow_run_states(run_id)]
    assert [states.count(name) for name in ("Running", "Suspended", "Resuming", "Completed")] == [2, 1, 1, 1]

    with Workspace() as workspace:
        masks = workspace.masks(done.key)
    assert dict(zip(masks["mask_id"], masks["accepted"], strict=True)) == wanted
    tasks = names_of_tasks(run_id)
    assert [tasks.count(name) for name in ("ingest", "plan", "process", "extract")] == [1, 1, 1, 1]
    with archive_rows() as session:
        assert len(session.exec(select(m.Processing)).all()) == 1
        assert len(session.exec(select(m.Review)).all()) == 1


@pytest.mark.browser
def test_from_a_waiting_run_over_the_page_to_extracted_cells(
    laboratory: Laboratory, recorded: Path, tmp_path: Path
) -> None:
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    run_id = laboratory.run(**pipeline_parameters(recorded))
    laboratory.wait(run_id, "Suspended")
    with Archive.open() as archive:
        before = decisions_of(archive, as_key(TASK, TaskKey), as_key(f"{TASK}/0", CurationKey))
    with ExitStack() as stack:
        page = laboratory.page(tmp_path / "page-0.log")
        stack.callback(page.kill)
        person = Curator(stack.enter_context(browsing()))
        stack.callback(person.context.close)
        person.expected = ["ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "ERR_SOCKET", "ERR_CONTENT_LENGTH"]
        person.visit(f"http://127.0.0.1:{laboratory.page_port}/")
        expect(person.page.get_by_role("region", name="Waiting for a decision")).to_contain_text("a flow run waits")
        person.button(f"Curate {TASK}").click()
        person.ready()
        # By keys: the first unit becomes the other, then by mouse the second; the page's server dies in between.
        person.select(0)
        person.press("r" if before[0].accepted else "a")
        person.saved()
        page.kill()
        person.select(1)
        person.button("Reject" if before[1].accepted else "Accept").click()
        expect(person.page.locator("#notices")).to_contain_text("The server is away")
        page = laboratory.page(tmp_path / "page-1.log")
        stack.callback(page.kill)
        person.saved()
        person.press("Control+Enter")
        person.page.locator("#note").fill("seen")
        person.page.locator("#go").click()
        expect(person.page.locator("#notices")).to_contain_text("Curated")
        laboratory.wait(run_id, "Completed")
    with Archive.open() as archive:
        status = review_of_run(archive, str(run_id))
    assert status is not None
    assert status.answer is not None
    wanted = {unit: decision.accepted != (unit < 2) for unit, decision in before.items()}
    with Workspace() as workspace:
        curation = workspace.fetch1("Curation", status.answer)
        assert (curation["curator"], curation["curation_note"]) == ("Ada", "seen")
        masks = workspace.masks(status.answer)
    assert dict(zip(masks["mask_id"], masks["accepted"], strict=True)) == wanted
    tasks = names_of_tasks(run_id)
    assert [tasks.count(name) for name in ("ingest", "plan", "process", "extract")] == [1, 1, 1, 1]


def test_form_of_the_run_page_ends_a_run(laboratory: Laboratory, recorded: Path) -> None:
    run_id = laboratory.run(**pipeline_parameters(recorded))
    laboratory.wait(run_id, "Suspended")
    answer = {"decision": "reject all", "curator": "second curator", "note": "only <b>vessels</b>"}
    resume_flow_run(run_id, run_input=answer)
    laboratory.wait(run_id, "Completed")
    with Archive.open() as archive:
        status = review_of_run(archive, str(run_id))
    assert status is not None
    assert status.answer is not None
    with Workspace() as workspace:
        curation = workspace.fetch1("Curation", status.answer)
        assert (curation["curator"], curation["curation_note"]) == ("second curator", "only <b>vessels</b>")
        assert not workspace.masks(status.answer)["accepted"].any()
    with archive_rows() as session:
        assert len(session.exec(select(m.Processing)).all()) == 1
