"""The flows from end to end, under a Prefect server."""

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from sqlmodel import Session, select

from flows import curate_processing, extract_traces, ingest_recording, process_recording, run_pipeline
from miniscope_core import models as m
from miniscope_core.errors import ParameterError
from miniscope_core.pipeline import curate, process
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.flows.conftest import PARAMETERS, Piped, task_runs, use_archive
from tests.postgres import PostgresServer
from tests.services import s3_service, upload

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]


def counted_rows(archive: Archive) -> dict[str, int]:
    with Session(archive.database.engine) as session:
        return {table.__name__: len(session.exec(select(table)).all()) for table in m.entities()}


def files_below(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_pipeline_turns_a_folder_into_cells_that_can_be_queried(copied: Piped) -> None:
    with Workspace() as workspace:
        masks = workspace.masks(copied.key)
        assert copied.key == "mouse1/2024-03-05T14:30:15/0/0/0"
        assert masks["accepted"].sum() >= 3
        assert len(workspace.fluorescence(copied.key, 0).values) == 200
        assert workspace.recordings().iloc[0]["nframes"] == 200
        parameters = workspace.parameter_sets().iloc[0]["params"]
    assert parameters == PARAMETERS.model_dump(exclude={"method"})


def test_pipeline_run_again_changes_nothing(copied: Piped) -> None:
    with Archive.open() as archive:
        rows, objects = counted_rows(archive), files_below(copied.home / "store")
        again = run_pipeline(copied.folder, parameters=PARAMETERS)
        assert again == copied.key
        assert counted_rows(archive) == rows
    assert files_below(copied.home / "store") == objects


def test_single_flows_do_the_same_as_the_pipeline(recorded: Path, archive_home: Path, piped: Piped) -> None:
    recording = ingest_recording(recorded)
    assert recording == piped.recording
    task = process_recording(recording, parameters=PARAMETERS)
    assert task == piped.task
    curation = curate_processing(task)
    assert curation == piped.key
    count = extract_traces(curation)
    with Workspace() as workspace:
        assert len(workspace.masks(curation)) == count > 0


def test_core_log_lines_are_on_the_page_of_the_run(piped: Piped) -> None:
    with get_client(sync_client=True) as client:
        logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[piped.run_id])), limit=200)
    lines = [log.message for log in logs if log.name.startswith("miniscope_core")]
    for line in (f"Processed {piped.task}", f"Extracted {piped.key}"):
        assert sum(one.startswith(line) for one in lines) == 1


def test_runs_are_named_by_what_they_work_on(piped: Piped) -> None:
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(piped.run_id).name.endswith("mouse1/2024_03_05/14_30_15")
        assert [run.name for run in task_runs(piped.run_id)] == [
            f"ingest {piped.folder}",
            f"report {piped.recording}",
            f"plan {piped.recording}",
            f"process {piped.task}",
            f"curate {piped.task}",
            f"extract {piped.key}",
            f"report {piped.key}",
        ]


def test_run_that_died_after_computing_goes_on_where_it_was(
    recorded: Path, archive_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*arguments: object) -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as broken:
        broken.setattr(curate, "curate_processing", dies)
        with pytest.raises(RuntimeError, match="out of luck"):
            run_pipeline(recorded, parameters=PARAMETERS)
    monkeypatch.setattr(process, "compute", dies)
    assert run_pipeline(recorded, parameters=PARAMETERS).endswith("/0/0/0")


def test_recorded_parameter_set_is_used_by_its_number(copied: Piped) -> None:
    assert process_recording(copied.recording, paramset_id=0) == copied.task


def test_parameters_beside_a_number_are_refused(copied: Piped) -> None:
    with pytest.raises(ParameterError, match="expected one of them"):
        process_recording(copied.recording, parameters=PARAMETERS, paramset_id=0)


@pytest.mark.postgres
def test_pipeline_runs_on_postgres_and_s3(
    recorded: Path,
    tmp_path: Path,
    postgres_server: PostgresServer,
    postgres_template: str,
    monkeypatch: pytest.MonkeyPatch,
    blank_pictures: None,
) -> None:
    name = postgres_server.create(postgres_template)
    with s3_service() as service:
        use_archive(
            monkeypatch,
            tmp_path,
            database_url=postgres_server.url(name),
            store_url=f"s3://{service.bucket}/lab",
            store_options=json.dumps(service.options),
            raw_options=json.dumps({"s3": service.options}),
        )
        # From an address too: nothing but the settings and the copies lies on this machine.
        address = upload(service, recorded, "raw/mouse1")
        key = run_pipeline(address, parameters=PARAMETERS)
        with Workspace() as workspace:
            assert len(workspace.masks(key)) > 0
            assert workspace.image(key, "average").shape == (64, 64)
            assert workspace.recordings().iloc[0]["recording_directory"].startswith(address)
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "miniscope.db").exists()
