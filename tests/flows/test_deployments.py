"""Deployments: the file for work pools, and the process that serves all flows."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_URL, temporary_settings

import flows
import flows.serve
from flows.health import ServerError, find_server
from flows.serve import deployments, serve_all
from miniscope_core.errors import ParameterError

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deployments" / "prefect.yaml"
SERVED = [
    "run-pipeline",
    "process-pending",
    "ingest-recording",
    "process-recording",
    "curate-processing",
    "extract-traces",
    "close-reviews",
]
ALL = {one.name for name in flows.__all__ if isinstance(one := getattr(flows, name), Flow)}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


def test_every_entrypoint_is_the_flow_that_its_deployment_is_named_after(described: dict[str, Any]) -> None:
    for deployment in described["deployments"]:
        path, name = deployment["entrypoint"].split(":")
        assert (ROOT / path).is_file()
        flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
        assert isinstance(flow, Flow)
        assert flow.name == deployment["name"]


def test_every_flow_is_deployed_to_a_pool_of_processes(described: dict[str, Any]) -> None:
    names = {deployment["name"] for deployment in described["deployments"]}
    assert names == ALL
    assert {deployment["work_pool"]["name"] for deployment in described["deployments"]} == {"miniscope"}


def test_schedules_of_the_file_are_such_that_prefect_takes(described: dict[str, Any]) -> None:
    scheduled = {one["name"]: one["schedules"] for one in described["deployments"] if "schedules" in one}
    assert scheduled.keys() == {"process-pending", "close-reviews"}
    for [schedule] in scheduled.values():
        made = DeploymentScheduleCreate(
            schedule=CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"]), active=schedule["active"]
        )
        assert made.active


def test_same_recording_is_not_computed_by_two_runs_of_a_deployment(described: dict[str, Any]) -> None:
    limits = {one["name"]: one.get("concurrency_limit") for one in described["deployments"]}
    for name in ("run-pipeline", "process-pending", "process-recording"):
        assert limits[name] == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_serving_offers_all_flows_and_schedules_what_catches_up_and_what_closes() -> None:
    offered = {one.flow_name: one for one in deployments("30 3 * * *", "Europe/Berlin")}
    assert offered.keys() == ALL
    scheduled = {name: one.schedules[0].schedule for name, one in offered.items() if one.schedules}
    assert scheduled.keys() == {"process-pending", "close-reviews"}
    assert (scheduled["process-pending"].cron, scheduled["process-pending"].timezone) == ("30 3 * * *", "Europe/Berlin")
    for one in offered.values():
        module, name = one.entrypoint.rsplit(".", 1)
        assert isinstance(getattr(importlib.import_module(module), name), Flow)


def test_serving_needs_no_schedule_but_that_of_the_gate() -> None:
    assert [one.flow_name for one in deployments(None) if one.schedules] == ["close-reviews"]


@pytest.mark.parametrize(
    "wrong", [{"cron": "whenever"}, {"timezone": "Mars/Olympus"}, {"limit": 0}], ids=lambda wrong: next(iter(wrong))
)
def test_schedule_that_makes_no_sense_is_refused_in_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as refusal:
        serve_all(**wrong)
    assert "\n" not in str(refusal.value)


def test_server_that_is_not_there_is_named_with_the_remedy() -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(ServerError, match=r"127\.0\.0\.1:9.*prefect server start") as refusal,
    ):
        serve_all()
    assert "\n" not in str(refusal.value)


@pytest.mark.flow
@pytest.mark.usefixtures("prefect_server")
def test_serving_hands_all_flows_to_the_server_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []

    def serve(*offered: Any, limit: int) -> None:
        served.append(([one.flow_name for one in offered], limit, PREFECT_API_URL.value()))

    monkeypatch.setattr(flows.serve, "serve", serve)
    serve_all(limit=2)
    assert served == [(SERVED, 2, find_server())]
