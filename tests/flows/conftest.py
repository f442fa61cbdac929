"""Fixtures for the flows: one Prefect server for all tests, an archive of its own for each."""

import gc
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.objects import TaskRun
from prefect.client.schemas.sorting import ArtifactSort
from prefect.testing.utilities import prefect_test_harness

import flows.reports
from flows import run_pipeline
from flows.markdown import artifact_key
from miniscope_core.models.parameters import CnmfeParameters
from tests.simulation import simulate

PARAMETERS = CnmfeParameters(cell_diameter_px=8)
"""Fit for the small recordings here."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let Prefect leave connections open: its functions for artifacts each make a client that nobody closes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(r"ignore:unclosed <socket.*127\.0\.0\.1:ResourceWarning"))


@pytest.fixture(scope="package")
def prefect_server() -> Iterator[None]:
    """Run all flows here against one temporary server."""
    with prefect_test_harness(server_startup_timeout=120):
        yield
    gc.collect()  # what Prefect left open, before tests that would be blamed for it


def use_archive(monkeypatch: pytest.MonkeyPatch, home: Path, **settings: str) -> None:
    """Point the settings to an archive below a folder: flows have nothing but the environment to know it from."""
    monkeypatch.setenv("MINISCOPE_HOME", str(home))
    monkeypatch.setenv("MINISCOPE_WORKERS", "1")
    for name, value in settings.items():
        monkeypatch.setenv(f"MINISCOPE_{name.upper()}", value)


@pytest.fixture
def blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures of reports blank: drawing takes longer than all else that these small recordings need."""
    blank = io.BytesIO()
    Image.new("RGB", (8, 8)).save(blank, format="png")
    monkeypatch.setattr(flows.reports, "png_bytes", lambda figure: blank.getvalue())


@pytest.fixture
def archive_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_pictures: None) -> Path:
    """Return the folder of an empty archive that the flows of this test use; their reports have blank pictures."""
    home = tmp_path / "home"
    use_archive(monkeypatch, home)
    return home


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the session folder of a small recording; tests that change it copy it."""
    session = tmp_path_factory.mktemp("raw") / "mouse1" / "2024_03_05" / "14_30_15"
    simulate((64, 64), 200, 6, diameter_px=8).write_v4(session)
    return session


@dataclass(frozen=True)
class Piped:
    """A recording that went through the whole pipeline once."""

    folder: Path
    home: Path
    key: str
    """Of the curation."""
    run_id: UUID
    """Of the flow run."""

    @property
    def recording(self) -> str:
        """Key of the recording."""
        return self.key.rsplit("/", 2)[0]

    @property
    def task(self) -> str:
        """Key of the task and its processing."""
        return self.key.rsplit("/", 1)[0]


@pytest.fixture(scope="package")
def piped(recorded: Path, prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Piped:
    """Return a finished pipeline run with its real report; its archive stays as it is."""
    home = tmp_path_factory.mktemp("piped")
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_archive(monkeypatch, home)
        state = run_pipeline(recorded, parameters=PARAMETERS, return_state=True)
    return Piped(recorded, home, state.result(), state.state_details.flow_run_id)


@pytest.fixture
def copied(piped: Piped, archive_home: Path) -> Piped:
    """Return a finished pipeline run in an archive of this test's own."""
    shutil.copytree(piped.home, archive_home)
    return replace(piped, home=archive_home)


def task_runs(flow_run_id: UUID) -> list[TaskRun]:
    """Return the task runs of a flow run, in the order they began."""
    with get_client(sync_client=True) as client:
        wanted = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[flow_run_id]))
        found = client.read_task_runs(task_run_filter=wanted)
    return sorted(found, key=lambda run: run.start_time or run.created)


def shown(kind: str, key: str, run_id: UUID | None = None) -> Any:
    """Return the newest artifact of a kind about something, of one flow run or of any."""
    name = artifact_key(kind, key)
    wanted = ArtifactFilter(
        key=ArtifactFilterKey(any_=[name]),
        flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]) if run_id else None,
    )
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.UPDATED_DESC)
    assert found, f"no artifact {name}"
    return found[0]
