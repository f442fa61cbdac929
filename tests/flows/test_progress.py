"""Progress of a task: in its log, on its page, and to whoever else listens."""

import logging
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

import flows.progress
from flows.progress import RunProgress, listen, stop_listening


def artifacts_of(flow_run_id: UUID) -> list[Any]:
    with get_client(sync_client=True) as client:
        return client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        )


def run_with_progress(page_after_s: float) -> UUID:
    @task
    def works() -> None:
        progress = RunProgress(page_after_s)
        for done in (0, 5, 10):
            progress("decoding", done, 10)
        progress("demixing", 2, 4)

    @flow
    def working() -> None:
        works()

    state = working(return_state=True)
    assert state.is_completed()
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    return run_id


@pytest.mark.flow
@pytest.mark.usefixtures("prefect_server")
class TestOnAPage:
    def test_long_work_has_one_bar_that_shows_where_it_is(self) -> None:
        [bar] = artifacts_of(run_with_progress(page_after_s=0))
        assert (bar.type, float(bar.data), bar.description) == ("progress", 50.0, "demixing")

    def test_short_work_has_none(self) -> None:
        assert artifacts_of(run_with_progress(page_after_s=3600)) == []

    def test_bar_that_cannot_be_drawn_does_not_end_the_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def away(**options: Any) -> None:
            asked.append(options)
            raise httpx.ConnectError("server is away")

        monkeypatch.setattr(flows.progress, "create_progress_artifact", away)
        assert artifacts_of(run_with_progress(page_after_s=0)) == []
        assert len(asked) == 1


def test_without_a_run_progress_goes_to_the_log_and_to_listeners(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[tuple[str, int, int]] = []

    def listener(stage: str, done: int, total: int) -> None:
        heard.append((stage, done, total))

    caplog.set_level(logging.INFO, "flows")
    listen(listener)
    try:
        progress = RunProgress()
        for done in (1, 2, 3, 4):
            progress("decoding", done, 4)
    finally:
        stop_listening(listener)
    progress("decoding", 4, 4)
    assert heard == [("decoding", done, 4) for done in (1, 2, 3, 4)]
    # A line when a stage begins and when it is done, not one a call.
    assert [record.message for record in caplog.records] == ["decoding: 25 %", "decoding: 100 %", "decoding: 100 %"]
