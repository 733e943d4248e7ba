"""The project's own deployments."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.schedules import construct_schedule

from flows.deployments import gate
from flows.service.upkeep import pools_of

ROOT = Path(__file__).parent.parent.parent.parent
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.fixture(params=DEPLOYMENTS, ids=lambda held: held["name"])
def deployment(request: pytest.FixtureRequest) -> dict[str, Any]:
    held: dict[str, Any] = request.param
    return held


def test_its_flow_takes_its_parameters(deployment: dict[str, Any]) -> None:
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(import_module(module), name)
    assert isinstance(flow, Flow)
    assert flow.name == deployment["name"]
    flow.validate_parameters(deployment["parameters"])
    described = flow.parameters.properties
    assert all(held.get("description") for held in described.values())


def test_its_schedules_are_prefects_and_name_a_time_zone(deployment: dict[str, Any]) -> None:
    for schedule in deployment["schedules"]:
        when = {key: value for key, value in schedule.items() if key != "active"}
        made = construct_schedule(**when)
        assert made.timezone == schedule["timezone"]


def test_a_slow_run_is_not_overtaken(deployment: dict[str, Any]) -> None:
    assert deployment["concurrency_limit"]["limit"] == 1


def test_one_worker_serves_them() -> None:
    assert pools_of(ROOT) == ("darkroom",)


def test_its_gate_asks_for_metrics_and_outs_that_there_are() -> None:
    asked = gate.read(ROOT)
    assert asked is not None
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    assert asked.release in pipeline["artifacts"]
    for name in asked.metrics:
        file = name.partition(":")[0]
        assert gate.value({file: json.loads((ROOT / file).read_text())}, name) is not None
    outs = [out for stage in pipeline["stages"].values() for out in stage.get("outs", [])]
    for _, pictures in asked.by_pictures():
        assert pictures.results in outs
        assert any(Path(pictures.of).is_relative_to(out) for out in outs)
