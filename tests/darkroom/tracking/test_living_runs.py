"""Runs by hand that are killed, looked at by whoever comes next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType

from darkroom.server.clients import client_of
from darkroom.server.temporary import temporary_server
from darkroom.tracking.living_runs import end_killed, is_gone, living_run
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for

WAITING = "while [ ! -e ../go ]; do sleep .1; done; cp in.txt a.txt"
PIPELINE = f"stages:\n  a: {{cmd: '{WAITING}', deps: [in.txt], outs: [a.txt]}}\n"


def test_a_run_lives_as_long_as_its_process_holds_its_lock(tmp_path: Path) -> None:
    with living_run(tmp_path) as labels, living_run(tmp_path) as others:
        assert labels != others
        assert not is_gone(labels)
        (kept,) = {Path(str(labels["darkroom.lock"]))}
    assert is_gone(labels)  # it ended, and could not tell
    assert not list(kept.parent.iterdir())
    kept.touch()  # as a killed one leaves it
    assert is_gone(labels)


def test_of_runs_elsewhere_nothing_is_known(tmp_path: Path) -> None:
    with living_run(tmp_path) as labels:
        pass
    assert not is_gone({})
    assert not is_gone({**labels, "darkroom.host": "another"})
    assert not is_gone({**labels, "darkroom.lock": str(tmp_path / "not/here")})


def test_a_run_goes_on_where_no_lock_can_be_made(tmp_path: Path) -> None:
    (tmp_path / ".darkroom").write_text("no folder")
    with living_run(tmp_path) as labels:
        assert labels == {}


@pytest.mark.slow
def test_a_killed_run_and_its_stages_have_crashed_and_one_that_goes_on_has_not(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("small", {"dvc.yaml": PIPELINE, "in.txt": "1\n"}), tmp_path)
    folder = tmp_path / "server"
    with (
        temporary_server(folder) as url,
        client_of(folder, url),
        get_client(sync_client=True) as client,
    ):
        environ = {**os.environ, "HOME": str(tmp_path)}
        command = [Path(sys.executable).with_name("darkroom"), "run"]
        with subprocess.Popen(command, cwd=root, env=environ, stdout=subprocess.DEVNULL) as process:
            assert wait_for(lambda: states(client) == {"r": StateType.RUNNING, "a": StateType.RUNNING}, 120)
            assert end_killed(client) == []
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert [run.name for run in end_killed(client)] == ["r"]
        assert states(client) == {"r": StateType.CRASHED, "a": StateType.CRASHED}
        assert end_killed(client) == []
        assert not list((root / ".darkroom/runs").iterdir())


def states(client: SyncPrefectClient) -> dict[str, StateType | None]:
    return {run.name: run.state_type for run in client.read_flow_runs()}
