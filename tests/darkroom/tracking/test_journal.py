"""Flow runs whose server goes away while they work, and comes back after their work is done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.objects import StateType

from darkroom.server.clients import client_of, environment_of
from tests.darkroom.tracking.test_delivery_queue import Server
from tests.darkroom.waiting import wait_for
from tests.places import ROOT

pytestmark = pytest.mark.slow

WORK = """\
import sys, time
from pathlib import Path
from prefect import flow
from darkroom.tracking.journal import journal

folder = Path(sys.argv[1])

@flow(name="work")
def work():
    with journal() as told:
        told.say("line 1")
        (folder / "begun").touch()
        while not (folder / "go").exists():
            time.sleep(0.05)
        told.say("line 2")
        told.publish("page", "markdown", "# page", "A page")
        (folder / "done").touch()
        if len(sys.argv) > 2:
            raise ValueError("no good")

work()
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    one = Server(folder)
    yield one
    one.kill()


def worked(running: Server, folder: Path, *words: str, away: bool) -> int:
    """Have a flow run work, with its server away from then on until it is done; its exit code."""
    server_and_string = environment_of(running.folder, running.url)
    environ = {**os.environ, **server_and_string, "DARKROOM_PATIENCE": "600", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WORK, str(folder), *words]
    with subprocess.Popen(command, cwd=folder, env=environ) as process:
        assert wait_for((folder / "begun").exists, 600)
        if away:
            running.kill()
        (folder / "go").touch()
        assert wait_for((folder / "done").exists, 600)
        if away:
            running.start()
    return process.returncode


def test_work_that_was_done_while_the_server_was_away_is_completed(running: Server, tmp_path: Path) -> None:
    assert worked(running, tmp_path, away=True) == 0
    with client_of(running.folder, running.url), get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs()
        assert run.state_type is StateType.COMPLETED
        assert [one.key for one in client.read_artifacts()] == ["page"]
        assert {"line 1", "line 2"} <= {log.message for log in client.read_logs()}


def test_work_that_fails_is_failed_and_its_lines_are_kept(running: Server, tmp_path: Path) -> None:
    assert worked(running, tmp_path, "fail", away=False) == 1
    with client_of(running.folder, running.url), get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs()
        assert run.state_type is StateType.FAILED
        assert {"line 1", "line 2"} <= {log.message for log in client.read_logs()}
