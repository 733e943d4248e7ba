"""The project's own deployments."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.schedules import construct_schedule
from prefect.server.schemas.schedules import CronSchedule

from darkroom.releases import gate
from darkroom.service.upkeep import pools_of
from tests.darkroom.repositories import make
from tests.darkroom.service.project import Project
from tests.darkroom.shapes import Shape
from tests.places import ROOT

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


def test_its_schedules_are_due_from_now_on(deployment: dict[str, Any]) -> None:
    for schedule in deployment["schedules"]:
        cron = CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        dates = asyncio.run(cron.get_dates(3))  # as the server asks: without a start
        assert len(set(dates)) == 3
        assert all(one > datetime.now(UTC) for one in dates)


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC")
YEARS = range(2026, 2031)


def schedules(every: str) -> list[dict[str, Any]]:
    """Those that are shipped and run so often; one in another zone is what a user may make of it."""
    shipped = [schedule for one in DEPLOYMENTS for schedule in one["schedules"]]
    found = [schedule for schedule in shipped if every in schedule["cron"]]
    assert found
    return found


def due(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """When Prefect would start runs from `start` up to before `end`; it says a thousand at a time."""
    schedule, found = CronSchedule(cron=cron, timezone=zone), list[datetime]()
    while dates := asyncio.run(schedule.get_dates(1000, start, end)):
        found += [one.astimezone(UTC) for one in dates if one < end]
        start = dates[-1] + timedelta(seconds=1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_a_night_is_never_left_out_doubled_or_at_another_hour(zone: str) -> None:
    here = ZoneInfo(zone)
    first, end = datetime(YEARS.start, 1, 1, tzinfo=here), datetime(YEARS.stop, 1, 1, tzinfo=here)
    days = [first.date() + timedelta(days=n) for n in range((end.date() - first.date()).days)]
    for cron in {schedule["cron"] for schedule in schedules(every="0 4 ")}:
        nights = [one.astimezone(here) for one in due(cron, zone, first, end)]
        assert [night.date() for night in nights] == days
        assert {(night.hour, night.minute) for night in nights} == {(4, 0)}


def days_of_change() -> set[date]:
    """On which the clocks of one of the zones are changed."""
    found = set()
    for here in map(ZoneInfo, ZONES):
        midnight = datetime(YEARS.start, 1, 1, tzinfo=here)
        while midnight.year < YEARS.stop:
            next_day = midnight + timedelta(days=1)
            if next_day.utcoffset() != midnight.utcoffset():
                found.add(midnight.date())
            midnight = next_day
    return found


@pytest.mark.slow
def test_a_look_every_five_minutes_is_never_left_out_or_doubled() -> None:
    days = days_of_change()
    assert len(days) == 3 * 2 * len(YEARS)  # two of the five zones never change theirs
    for cron, zone in {(one["cron"], one["timezone"]) for one in schedules(every="*/5")}:
        for day in days:
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            looks = due(cron, zone, start, start + timedelta(days=1))
            assert looks == [start + timedelta(minutes=5 * n) for n in range(24 * 12)]


def test_a_slow_run_is_not_overtaken(deployment: dict[str, Any]) -> None:
    assert deployment["concurrency_limit"]["limit"] == 1


def test_a_file_with_the_flows_old_names_is_refused_with_the_new_ones(tmp_path: Path) -> None:
    """Those of the package that was called `flows`; nothing is started."""
    root = make(tmp_path / "r", Shape("old", {"dvc.yaml": "stages: {}\n"}), tmp_path)
    text = (ROOT / "prefect.yaml").read_text().replace("entrypoint: darkroom.", "entrypoint: flows.")
    (root / "prefect.yaml").write_text(text)
    done = Project(root).darkroom("up")
    assert (done.returncode, done.stderr) == (
        2,
        "error: prefect.yaml: retrain: the entrypoint flows.deployments.retrain.retrain is called"
        " darkroom.deployments.retrain.retrain now; write that in prefect.yaml\n",
    )
    assert not (root / ".darkroom").exists()


def test_one_worker_serves_them() -> None:
    assert pools_of(ROOT) == ("darkroom",)


def test_its_gate_asks_for_metrics_and_outs_that_there_are() -> None:
    asked = gate.read_gate(ROOT)
    assert asked is not None
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    assert asked.release in pipeline["artifacts"]
    for name in asked.metrics:
        file = name.partition(":")[0]
        assert gate.metric_value({file: json.loads((ROOT / file).read_text())}, name) is not None
    outs = [out for stage in pipeline["stages"].values() for out in stage.get("outs", [])]
    for _, pictures in asked.by_pictures():
        assert pictures.results in outs
        assert any(Path(pictures.of).is_relative_to(out) for out in outs)
