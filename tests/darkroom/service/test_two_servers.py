"""A run recorded in one of two API servers on PostgreSQL and Redis, and read from the other."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.filters import EventFilter, EventOccurredFilter

from benchmarks.darkroom import servers
from darkroom.server.clients import client_set_to
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for

lacking = servers.missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(lacking is not None, reason=str(lacking)),
]

PIPELINE = """\
stages:
  first:
    cmd: echo first > first.txt; env
    outs: [first.txt]
  second:
    cmd: cp first.txt second.txt
    deps: [first.txt]
    outs: [second.txt]
"""


@pytest.fixture(scope="module")
def both() -> Iterator[servers.Servers]:
    with servers.two_servers() as made:
        yield made


def test_what_one_server_was_told_the_other_knows(both: servers.Servers, tmp_path: Path) -> None:
    root = make(tmp_path / "project", Shape("two", {"dvc.yaml": PIPELINE}), tmp_path)
    command = [sys.executable, "-c", "from darkroom.cli.main import main; main()", "run"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environ |= both.client_environment(0) | {"DARKROOM_PATIENCE": "120"}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert both.urls[0].removesuffix("/api") in done.stdout + done.stderr
    with (
        client_set_to(both.urls[1], both.client_environment(1)),
        get_client(sync_client=True) as client,
    ):
        runs = {run.name: run for run in client.read_flow_runs()}
        assert len(runs) == 3
        assert {run.state_type for run in runs.values()} == {StateType.COMPLETED}
        assert {"first", "second"} < set(runs)
        assert any("first" in str(artifact.data) for artifact in client.read_artifacts())
        # Through Redis to the process of the services, and from there into the database.
        since = EventOccurredFilter(since=datetime.now(tz=UTC) - timedelta(hours=1))
        wanted = f"prefect.flow-run.{runs['second'].id}"

        def event_is_there() -> bool:
            answer = client._client.post(
                "/events/filter", json={"filter": EventFilter(occurred=since).model_dump(mode="json")}
            )
            return any(
                event["resource"]["prefect.resource.id"] == wanted for event in answer.json()["events"]
            )

        assert wait_for(event_is_there, 60)
    assert not both.complaints()


@pytest.mark.parametrize("number", [0, 1])
def test_without_the_string_each_refuses(both: servers.Servers, number: int) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{both.urls[number]}/admin/settings")
