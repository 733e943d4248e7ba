"""A small repository with deployments, and the commands on it as a user gives them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient

from darkroom.processes import daemons
from darkroom.server.clients import client_of
from darkroom.server.places import server_folder
from darkroom.server.sharing import kept_up
from darkroom.service import flow_runs, upkeep
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape
from tests.leftovers import shared_environment
from tests.places import ROOT

# A stage that prints its environment, and one that writes a checkpoint at its end and goes on from that.
PIPELINE = """\
stages:
  first:
    cmd: cp in.txt first.txt; env
    deps: [in.txt]
    outs: [first.txt]
  training:
    cmd: sh train.sh
    deps: [first.txt, train.sh]
    outs: [model.txt]
    metrics: [loss.json: {cache: false}]
"""
# Outside of the clone: what tells the test and what the test tells.
TRAIN = """\
trap 'sleep 1; echo half > {outside}/checkpoint; exit 143' TERM
echo $$ >> {outside}/pids
while [ ! -e {outside}/checkpoint -a ! -e {outside}/go ]; do sleep 0.1; done
echo trained > model.txt
cp first.txt loss.json
"""
DEPLOYMENTS = """\
deployments:
  - name: retrain
    entrypoint: darkroom.deployments.retrain.retrain
    work_pool: {name: small}
    concurrency_limit: {limit: 1, collision_strategy: CANCEL_NEW}
  - name: tick
    entrypoint: ticking.py:tick
    work_pool: {name: small}
    schedules: [{interval: 5, active: false}]
"""
TICKING = """\
from prefect import flow

@flow
def tick() -> None:
    pass
"""

QUICK = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
"""A worker asks for runs every second, not every ten."""


class Project:
    """The repository and what is up for it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.services = daemons.services_folder(root)
        self.prefect = server_folder(root)

    def darkroom(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in shared_environment().items() if not k.startswith("PREFECT_")}
        env |= QUICK | environ
        command = [sys.executable, "-c", "from darkroom.cli.main import main; main()"]
        command += [*words, "--repo", str(self.root)]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    def up(self) -> str:
        done = self.darkroom("up")
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout + done.stderr

    def down(self) -> str:
        done = self.darkroom("down")
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout + done.stderr

    def status(self) -> tuple[int, dict[str, Any]]:
        done = self.darkroom("status", "--json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def pids(self) -> dict[str, int]:
        return {seen.name: seen.note.pid for seen in daemons.daemon_states(self.services) if seen.note}

    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted(self.services.glob("*.log")))

    def processes(self) -> list[psutil.Process]:
        """All that came of `darkroom up` and lives."""
        return list(upkeep.left_overs(self.services, keep=0))

    def engines(self) -> list[int]:
        """The processes that execute flow runs."""
        executing = {process.pid: process for process in self.processes() if flow_runs.flow_run_of(process)}
        return [pid for pid, process in executing.items() if process.ppid() not in executing]

    @contextlib.contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        url = kept_up(self.root)
        assert url is not None
        with (
            client_of(self.prefect, url),
            get_client(sync_client=True) as client,
        ):
            yield client


def make_project(folder: Path) -> Project:
    """Its training waits for the file `go` beside it, or for its own checkpoint."""
    files = {
        "dvc.yaml": PIPELINE,
        "train.sh": TRAIN,
        "in.txt": "1\n",
        "prefect.yaml": DEPLOYMENTS,
        "ticking.py": TICKING,
    }
    return Project(make(folder / "small", Shape("service", files), folder))
