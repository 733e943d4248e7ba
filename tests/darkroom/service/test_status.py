"""What is said to be stuck, of states worked out by hand."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkPool

from darkroom.processes.daemons import DaemonState, Note
from darkroom.service.status import (
    Run,
    Service,
    Status,
    late_runs,
    paused_pools,
    pending_runs,
    service_of,
    status_lines,
    wrong_services,
)
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
NOTE = Note(pid=7, started=1, since="2026-01-02T03:00:00+00:00", url="http://127.0.0.1:4200/api")
SERVER = DaemonState("server", running=True, note=NOTE)
WORKER = Service("worker-p", "running")


def run(seconds_ago: float, kind: StateType = StateType.SCHEDULED, name: str = "Scheduled") -> FlowRun:
    moment = NOW - datetime.timedelta(seconds=seconds_ago)
    state: State[Any] = State(type=kind, name=name, timestamp=moment)
    return FlowRun(
        flow_id=uuid4(),
        name="nightly",
        state=state,
        state_type=kind,
        state_name=name,
        expected_start_time=moment,
        work_pool_name="p",
        deployment_id=UUID(int=1),
    )


def pool(**values: Any) -> WorkPool:
    return WorkPool(name="p", type="process", default_queue_id=uuid4(), **values)


def late(one: FlowRun, work_pool: WorkPool, *services: Service) -> list[str]:
    return list(late_runs([one], {"p": work_pool}, services, NOW))


def test_a_service_is_running_killed_or_stopped() -> None:
    assert service_of(SERVER).state == "running"
    assert service_of(DaemonState("server", running=False, note=NOTE)).state == "killed"
    assert service_of(DaemonState("server", running=False, note=None)).state == "stopped"


def test_what_was_killed_and_what_is_missing_is_wrong() -> None:
    nothing = DaemonState("worker-p", running=False, note=None)
    assert list(wrong_services([SERVER])) == []
    assert list(wrong_services([SERVER, DaemonState("worker-p", running=False, note=NOTE)])) == [
        "worker-p was killed; `darkroom up` starts it again"
    ]
    (said,) = wrong_services([SERVER, nothing])
    assert said.startswith("worker-p does not run: nothing of its pool starts")
    assert list(wrong_services([DaemonState("server", running=False, note=None), nothing])) == []


def test_a_run_is_late_after_a_minute_and_the_reason_is_said() -> None:
    assert late(run(-60), pool()) == []
    assert late(run(59), pool(), WORKER) == []
    assert late(run(125), pool()) == [
        "nightly is late by 2 min 05 s: its work pool p has no worker here; `darkroom up` starts it again"
    ]
    assert late(run(125), pool(is_paused=True), WORKER) == [
        "nightly is late by 2 min 05 s: its work pool p is paused"
    ]
    assert "takes 1 at once" in late(run(125), pool(concurrency_limit=1), WORKER)[0]
    waiting = run(125, name="AwaitingConcurrencySlot")
    assert "another run of its deployment is under way" in late(waiting, pool(), WORKER)[0]


def test_a_paused_pool_says_how_to_go_on() -> None:
    assert list(paused_pools([pool()])) == []
    (said,) = paused_pools([pool(is_paused=True)])
    assert "`prefect work-pool resume p`" in said


def test_a_run_that_a_worker_took_and_never_started_is_stuck() -> None:
    assert list(pending_runs([run(200, StateType.PENDING)], NOW)) == []
    assert list(pending_runs([run(400, StateType.RUNNING)], NOW)) == []
    (said,) = pending_runs([run(400, StateType.PENDING)], NOW)
    assert said.startswith("nightly was taken by a worker 6 min 40 s ago")


def test_the_page_says_what_is_up_what_runs_and_what_is_due() -> None:
    found = Status(
        services=(service_of(SERVER),),
        running=(Run("1", "apt-owl", "retrain", "Running", "2026-01-02T03:01:00+00:00"),),
        due=(Run("2", "by-hand", None, "Scheduled", None),),
    )
    first, pages, second, third, last = status_lines(found)
    assert first.startswith("server: running, pid 7, since 2026-01-0")
    assert first.endswith("http://127.0.0.1:4200/api")
    assert pages == "pages: `darkroom ui` opens them, logged in"
    assert second.startswith("running: retrain (apt-owl) since 2026-01-0")
    assert third == "due an unknown time: by-hand"
    assert last == "nothing is stuck"
    assert found.to_json()["well"]


def test_what_is_not_up_says_how_it_is_started() -> None:
    found = Status(services=(service_of(DaemonState("server", running=False, note=None)),))
    assert list(status_lines(found)) == [
        "server: stopped",
        "no schedule is kept: `darkroom up` starts the server and the workers",
    ]
    assert not found.well


@pytest.mark.slow
def test_a_run_by_hand_and_its_stages_are_told_while_it_lives_and_not_after_a_kill(tmp_path: Path) -> None:
    pipeline = "stages:\n  waits: {cmd: touch started; sleep 60, outs: [never.txt]}\n"
    root = make(tmp_path / "r", Shape("small", {"dvc.yaml": pipeline}), tmp_path)
    program = "import sys; from darkroom.cli.main import main; sys.argv[0] = 'darkroom'; main()"

    def command(*words: str) -> list[str]:
        return [sys.executable, "-c", program, *words]

    def running() -> list[dict[str, Any]]:
        done = subprocess.run(
            command("status", "--json"), cwd=root, capture_output=True, text=True, check=False
        )
        assert not done.stderr
        told: list[dict[str, Any]] = json.loads(done.stdout)["running"]
        return told

    assert running() == []
    env = os.environ | {"DARKROOM_SERVER_SECONDS": "0"}
    run = subprocess.Popen(command("run", "--quiet"), cwd=root, env=env, start_new_session=True)
    try:
        assert wait_for((root / "started").exists)
        whole, stage = running()
        assert (stage["name"], stage["state"]) == ("waits", "Running")
        assert whole["state"] == "Running"
        shown = subprocess.run(command("status"), cwd=root, capture_output=True, text=True, check=False)
        assert "running: waits since " in shown.stdout
    finally:
        os.killpg(run.pid, 9)
        run.wait()
    assert running() == []
