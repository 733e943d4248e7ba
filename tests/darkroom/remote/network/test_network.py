"""Hosts with addresses of their own, that share no folder: one is cut off from the network, and returns."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from darkroom.base.files import logs_folder
from darkroom.runs.attempt_table import TABLE_NAME, AttemptLine, AttemptTable
from tests.darkroom.exchange.servers import Sshd, sshd, why_no_sshd
from tests.darkroom.remote.hosts import HostProcess, set_pools
from tests.darkroom.remote.network.namespaces import HUB, HUB_ADDRESS, Network, network, why_no_namespaces
from tests.darkroom.repositories import contents, git, make, serial_repro
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(why_no_sshd()), reason=str(why_no_sshd())),
    pytest.mark.skipif(bool(why_no_namespaces()), reason=str(why_no_namespaces())),
]

WORKERS = ("one", "two", "three")

PIPELINE = """\
stages:
  left: {cmd: sh wait.sh first; echo left > left.txt, deps: [wait.sh], outs: [left.txt]}
  middle: {cmd: sh wait.sh first; echo middle > middle.txt, deps: [wait.sh], outs: [middle.txt]}
  right: {cmd: sh wait.sh first; echo right > right.txt, deps: [wait.sh], outs: [right.txt]}
  join:
    cmd: sh wait.sh last; cat left.txt middle.txt right.txt > join.txt
    deps: [wait.sh, left.txt, middle.txt, right.txt]
    outs: [join.txt]
"""


class Site:
    """A hub that plans, with storage and code behind servers, and workers with homes of their own."""

    def __init__(self, folder: Path, net: Network, server: Sshd) -> None:
        self.gates = {name: folder / name for name in ("first", "last")}
        wait = f"while [ ! -e {folder}/$1 ]; do sleep 0.2; done\n"
        self.shape = Shape("network", {"dvc.yaml": PIPELINE, "wait.sh": wait})
        self.root = make(folder / "repo", self.shape, folder)
        storage = server.address(folder / "storage")
        set_pools(self.root, storage, lost_after=30, code=f"git://{HUB_ADDRESS}/code.git")
        self.workers = {}
        for name in WORKERS:
            shutil.copytree(server.home / ".ssh", folder / name / ".ssh")
            self.workers[name] = HostProcess(folder, name, storage, {}, net.within(name), jobs=1)
        self._folder, self._net, self._home = folder, net, server.home

    @contextlib.contextmanager
    def run(self) -> Iterator[subprocess.Popen[bytes]]:
        """A run on the hub."""
        env = {"HOME": str(self._home), "PATH": os.environ["PATH"]}
        env |= {name: os.environ[name] for name in ("DVC_SITE_CACHE_DIR", "DVC_NO_ANALYTICS")}
        command = [*self._net.within(HUB), sys.executable, "-m", "darkroom.cli.main", "run", "--no-record"]
        with (self._folder / "run.txt").open("wb") as log:
            process = subprocess.Popen(command, cwd=self.root, env=env, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def attempts(self) -> list[AttemptLine]:
        """What became of the stages so far."""
        tables = logs_folder(self.root, "").glob(f"*/{TABLE_NAME}")
        return [entry for table in tables for entry in AttemptTable(table.parent).entries()]

    def wait_until(self, stage: str, event: str) -> str:
        """The host of the stage, once that has happened to it."""
        found: list[str] = []

        def has_happened() -> bool:
            found[:] = [one.host for one in self.attempts() if (one.stage, one.event) == (stage, event)]
            return bool(found)

        assert wait_for(has_happened, 400), self.said()
        return found[-1]

    def said(self) -> str:
        """What run and workers have printed."""
        run = (self._folder / "run.txt").read_text()
        return "\n".join([run, *(worker.said for worker in self.workers.values())])

    def close(self) -> None:
        """End the workers."""
        for worker in self.workers.values():
            worker.process.kill()
            worker.process.wait()


@contextlib.contextmanager
def code_server(folder: Path, within: list[str]) -> Iterator[None]:
    """The repository code.git in the folder, served to everybody."""
    (folder / "code.git").mkdir()
    git(folder / "code.git", "init", "--bare")
    daemon = Path(git(folder, "--exec-path").strip()) / "git-daemon"
    options = ["--export-all", "--enable=receive-pack", f"--base-path={folder}", f"--listen={HUB_ADDRESS}"]
    server = subprocess.Popen([*within, str(daemon), "--reuseaddr", *options])
    try:
        yield
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def net() -> Iterator[Network]:
    with network(*WORKERS) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, net: Network) -> Iterator[Site]:
    with (
        sshd(tmp_path / "sshd", HUB_ADDRESS, net.within(HUB)) as server,
        code_server(tmp_path, net.within(HUB)),
        contextlib.closing(Site(tmp_path, net, server)) as site,
    ):
        yield site


def test_a_host_is_cut_off_in_the_middle_of_a_stage(site: Site, net: Network, tmp_path: Path) -> None:
    with site.run() as run:
        first = {stage: site.wait_until(stage, "runs") for stage in ("left", "middle", "right")}
        assert sorted(first.values()) == sorted(WORKERS)
        cut_off = first["middle"]
        net.cut_off(cut_off)
        assert site.wait_until("middle", "lost") == cut_off
        site.gates["first"].touch()  # the host that was cut off makes its result, too, and cannot hand it in
        assert site.wait_until("middle", "ok") != cut_off
        net.reconnect(cut_off)
        site.workers[cut_off].wait_until_said("middle: given up by its run")
        site.gates["last"].touch()
        assert run.wait(400) == 0, site.said()
    assert "middle: attempt 1 handed in" not in site.workers[cut_off].said
    serial = make(tmp_path / "serial", site.shape, tmp_path)
    assert serial_repro(serial)
    assert contents(site.root) == contents(serial)
    came_from = (tmp_path / "sshd" / "sshd.txt").read_text()
    for number in range(1, 5):
        assert f"Accepted publickey for root from 10.99.0.{number} " in came_from
