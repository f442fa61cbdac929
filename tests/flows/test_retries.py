"""What is tried again, and what fails at once with its one line."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError
from prefect import flow, task
from prefect.states import Failed
from prefect.task_engine import TaskRunTimeoutError
from sqlalchemy.exc import OperationalError

import flows.extract
import flows.tasks
from flows import extract_traces, ingest_recording, run_pipeline
from flows.retries import RETRY_TRANSIENT, transient_only
from miniscope_core.errors import ClockError, DatabaseError, RecordingNotFoundError, StoreError
from miniscope_core.storage.faults import is_transient
from miniscope_core.storage.store import Store
from tests.flows.conftest import Piped, task_runs

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]

AWAY = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AWAY, True),
        (caused(StoreError("away"), AWAY), True),
        (caused(StoreError("slow"), ConnectTimeoutError(endpoint_url="http://127.0.0.1:1")), True),
        (ConnectionResetError("reset"), True),
        (caused(DatabaseError("busy"), OperationalError("", {}, Exception("database is locked"))), True),
        (caused(DatabaseError("full"), OperationalError("", {}, Exception("database or disk is full"))), False),
        (caused(DatabaseError("who"), OperationalError("", {}, Exception("password authentication failed"))), False),
        (StoreError("the bucket is wrong"), False),
        (caused(StoreError("denied"), PermissionError("no")), False),
        (FileNotFoundError("gone"), False),
        (RecordingNotFoundError("gone"), False),
        # A broken folder stays broken, whatever brought it to light.
        (caused(ClockError("bad clock"), ConnectionError("share")), False),
        (ZeroDivisionError(), False),
    ],
    ids=str,
)
def test_only_what_passes_by_itself_is_transient(error: Exception, expected: bool) -> None:
    assert is_transient(error) is expected


@pytest.mark.parametrize(
    ("error", "expected"), [(AWAY, True), (ValueError("bad"), False), (TaskRunTimeoutError("24 h"), False)], ids=repr
)
def test_task_that_ran_out_of_its_own_time_is_not_tried_again(error: Exception, expected: bool) -> None:
    assert transient_only(flows.tasks.extract_task, None, Failed(data=error)) is expected


def every_task() -> list[Any]:
    return [*vars(flows.tasks).values(), *vars(flows.reports).values()]


def test_all_tasks_try_again_with_growing_delays_and_end_some_time() -> None:
    tasks = {item.name: item for item in every_task() if hasattr(item, "retry_condition_fn")}
    assert len(tasks) == 16
    for name, one in tasks.items():
        assert one.retries == len(one.retry_delay_seconds) == 4, name
        assert one.retry_delay_seconds == sorted(set(one.retry_delay_seconds)), name
        assert one.retry_condition_fn is transient_only, name
        assert one.timeout_seconds, name


def flaky(failures: int, error: Exception, then: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    """Return what raises a number of times before it does its work, and the list its calls are counted in."""
    calls: list[int] = []

    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(len(calls))
        if len(calls) <= failures:
            raise error
        return then(*arguments, **options)

    return call, calls


def test_store_that_is_away_for_a_moment_is_tried_again(copied: Piped, monkeypatch: pytest.MonkeyPatch) -> None:
    away = caused(StoreError("Cannot read the object store"), AWAY)
    call, calls = flaky(2, away, flows.tasks.extract.extract_traces)
    monkeypatch.setattr(flows.tasks.extract, "extract_traces", call)
    monkeypatch.setattr(flows.extract, "extract_task", flows.tasks.extract_task.with_options(retry_delay_seconds=0))
    state = extract_traces(copied.key, return_state=True)
    assert state.is_completed()
    assert len(calls) == 3
    runs = {run.name: run.run_count for run in task_runs(state.state_details.flow_run_id)}
    assert runs == {f"extract {copied.key}": 3, f"report {copied.key}": 1}


def test_report_is_tried_again_like_everything_else(copied: Piped, monkeypatch: pytest.MonkeyPatch) -> None:
    call, calls = flaky(1, caused(StoreError("Cannot read the object store"), AWAY), Store.read_bytes)
    monkeypatch.setattr(Store, "read_bytes", call)
    again = flows.reports.report_curation.with_options(retry_delay_seconds=0)
    monkeypatch.setattr(flows.extract, "report_curation", again)
    assert extract_traces(copied.key) > 0
    assert len(calls) == 2


def test_broken_folder_fails_at_once_with_one_line(recorded: Path, archive_home: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(recorded, tmp_path / "broken")
    (broken / "My_V4_Miniscope" / "timeStamps.csv").unlink()
    state = run_pipeline(broken, return_state=True)
    assert state.is_failed()
    assert state.message is not None
    assert "timeStamps.csv missing" in state.message
    assert "\n" not in state.message
    [only] = task_runs(state.state_details.flow_run_id)
    assert (only.name, only.run_count) == (f"ingest {broken}", 1)


def test_folder_that_is_not_there_fails_at_once(archive_home: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordingNotFoundError):
        ingest_recording(tmp_path / "nowhere")


def test_options_are_what_prefect_takes() -> None:
    @task(**{**RETRY_TRANSIENT, "retry_delay_seconds": 0})
    def fails() -> None:
        attempts.append(1)
        raise AWAY

    @flow
    def runs() -> None:
        fails()

    attempts: list[int] = []
    with pytest.raises(EndpointConnectionError):
        runs()
    assert len(attempts) == 5
