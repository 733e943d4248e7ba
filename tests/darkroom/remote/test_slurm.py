"""Stages as jobs of a real Slurm cluster, where there is Slurm; what is asked of it needs none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from darkroom.base.meta import Resources
from darkroom.exchange.storages import FolderStorage
from darkroom.remote import slurm
from darkroom.remote.attempt import Carried
from darkroom.remote.pools import PoolSettings
from darkroom.remote.slurm import RefusedError, Slurm, submit_options
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, Outcome, StageAgain
from tests.darkroom.exchange.test_board import ORDER, TOKEN
from tests.darkroom.remote.cluster import NODES, Cluster, running_cluster, why_none
from tests.darkroom.remote.hosts import hosts_in, run_elsewhere, set_pools
from tests.darkroom.remote.test_hosts import FarRun
from tests.darkroom.repositories import contents, make, serial_repro
from tests.darkroom.shapes import DIAMOND, Shape
from tests.darkroom.waiting import wait_for

SLURM = "    kind: slurm\n"


def test_resources_are_the_requests_of_the_job(tmp_path: Path) -> None:
    wanted = Resources(cpu=8, memory=16 * 1000**3, gpu=2, pool="c")
    settings = PoolSettings(kind="slurm", partition="big", options=("--account=a",))
    options = submit_options(replace(ORDER, resources=wanted, timeout=90.0), settings, tmp_path)
    assert f"--job-name=darkroom-{TOKEN}" in options
    assert {"--no-requeue", "--partition=big", "--cpus-per-task=8", "--mem=15259M", "--gres=gpu:2"} <= {
        *options
    }
    assert {"--time=7", "--account=a"} <= {*options}


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Slurm's commands, as scripts that say what they are to."""
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_queue_that_does_not_answer_is_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path / "bin", monkeypatch, squeue="echo no connection >&2; exit 1")
    with pytest.raises(OSError, match="squeue: no connection"):
        Slurm(PoolSettings(), FolderStorage(tmp_path)).state(TOKEN)


def test_a_queue_with_names_of_other_bytes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path / "bin", monkeypatch, squeue=f"printf 'caf\\351\\ndarkroom-{TOKEN}\\n'")
    assert Slurm(PoolSettings(), FolderStorage(tmp_path)).state(TOKEN) is Carried.THERE


def test_a_host_without_slurm_refuses_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError, match="sbatch is not installed here: start the run on a login node"):
        Slurm(PoolSettings(), FolderStorage(tmp_path)).submit(ORDER)


def test_a_job_is_gone_once_a_later_queue_lacks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "QUEUE_SECONDS", 0.0)
    asked = tmp_path / "asked"
    script = f"touch {asked}; echo darkroom-{TOKEN}"
    commands(tmp_path / "bin", monkeypatch, squeue=":", sbatch=f"cat > {asked}", sacct="exit 1")
    carrier = Slurm(PoolSettings(), FolderStorage(tmp_path))
    carrier.submit(ORDER)
    assert TOKEN in asked.read_text()
    commands(tmp_path / "bin", monkeypatch, squeue=script)
    assert carrier.state(TOKEN) is Carried.THERE
    commands(tmp_path / "bin", monkeypatch, squeue=":")
    assert carrier.state(TOKEN) is Carried.GONE


def test_an_answer_of_the_queue_says_once_that_a_job_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "QUEUE_SECONDS", 3600.0)
    commands(tmp_path / "bin", monkeypatch, squeue=":")
    carrier = Slurm(PoolSettings(), FolderStorage(tmp_path))
    assert [carrier.state(TOKEN) for _ in range(3)] == [Carried.GONE, Carried.NO_NEWS, Carried.NO_NEWS]


@pytest.mark.parametrize(
    ("squeue", "sacct"), [(f"echo darkroom-{TOKEN}", ":"), (":", "echo 7")], ids=["queue", "accounting"]
)
def test_what_the_cluster_knows_is_not_submitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, squeue: str, sacct: str
) -> None:
    commands(
        tmp_path / "bin", monkeypatch, squeue=squeue, sacct=sacct, sbatch=f"touch {tmp_path / 'submitted'}"
    )
    Slurm(PoolSettings(), FolderStorage(tmp_path)).submit(ORDER)
    assert not (tmp_path / "submitted").exists()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if why := why_none():
        pytest.skip(why)
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def _client(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setenv("DARKROOM_WORK", str(tmp_path / "work"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_client")
def test_the_bytes_are_those_of_a_serial_run(tmp_path: Path) -> None:
    text = DIAMOND.replace("    outs:", "    meta: {resources: {gpu: 1, cpu: 1, memory: 100MB}}\n    outs:")
    shape = Shape("diamond", {"dvc.yaml": text, "in.txt": "in\n"})
    serial, far = (make(tmp_path / name, shape, tmp_path) for name in ("serial", "far"))
    set_pools(far, tmp_path / "storage", more=SLURM)
    assert serial_repro(serial)
    events: list[Event] = []
    report = run_elsewhere(RunOptions(repo=far), far, events.append)
    assert report.errors == ()
    assert contents(far) == contents(serial)
    assert {host for stage in ("top", "left", "right", "join") for host in hosts_in(events, stage)} <= {
        *NODES
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_client")
def test_a_controller_that_is_killed_and_started_again_ends_nothing(tmp_path: Path, cluster: Cluster) -> None:
    run = FarRun(tmp_path, more=SLURM)
    run.start()
    run.wait_until_begun()
    cluster.kill_controller()
    assert cluster.ask("squeue") == ""
    run.gate.touch()
    assert wait_for(lambda: (run.root / "long.txt").exists(), 120), "the record is enough"
    cluster.start_controller()
    run.end()
    assert run.report is not None
    assert run.report.errors == ()
    assert hosts_in(run.events, "long")[1:] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_client")
def test_a_job_that_was_cancelled_is_lost_and_runs_again(tmp_path: Path, cluster: Cluster) -> None:
    # The stage may be gone before the process that looks after it: then it was killed, and has retries.
    run = FarRun(tmp_path, more=SLURM)
    run.start()
    run.wait_until_begun()
    run.gate.touch()
    cluster.ask("scancel", "--user=root", "--signal=KILL", "--full")
    run.end()
    assert run.report is not None
    assert run.report.errors == ()
    assert (run.root / "after.txt").read_text() == "made\n"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_client")
def test_a_submit_whose_answer_is_lost_makes_one_job(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch, log = shutil.which("sbatch"), tmp_path / "asked"
    lost = f'echo >> {log}; {sbatch} "$@" || exit 2; [ "$(wc -l < {log})" != 1 ]'
    folder = tmp_path / "bin"
    path = f"{folder}:{os.environ['PATH']}"
    commands(folder, monkeypatch, sbatch=lost)
    monkeypatch.setenv("PATH", path)
    run = FarRun(tmp_path, more=SLURM)
    run.start()
    run.wait_until_begun()
    assert len(cluster.ask("squeue", "-h").splitlines()) == 1
    run.gate.touch()
    run.end()
    assert run.report is not None
    assert run.report.errors == ()
    assert len(log.read_text().splitlines()) == 2, "one job a stage"


GROWS = """\
stages:
  big:
    cmd: echo asked $SLURM_MEM_PER_NODE; {command}
    outs: [big.txt]
    meta: {{retries: 3, resources: {{memory: {memory}}}}}
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_client")
def test_after_out_of_memory_the_next_job_asks_for_more(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = f"[ -e {mark} ] || {{ touch {mark}; echo CUDA out of memory; exit 1; }}; echo 1 > big.txt"
    text = GROWS.format(command=command, memory="{first: 512MiB, factor: 2}")
    far = make(tmp_path / "far", Shape("grows", {"dvc.yaml": text}), tmp_path)
    set_pools(far, tmp_path / "storage", more=SLURM)
    events: list[Event] = []
    report = run_elsewhere(RunOptions(repo=far), far, events.append)
    assert report.errors == ()
    said = [getattr(event, "line", "") for event in events]
    assert [line for line in said if line.startswith("asked")] == ["asked 512", "asked 1024"]
    again = [event.reason for event in events if isinstance(event, StageAgain)]
    assert [reason.endswith("the next attempt asks for 1.1 GB") for reason in again] == [True]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_client")
def test_what_the_cluster_can_never_give_is_refused_in_one_line(tmp_path: Path) -> None:
    text = GROWS.format(command="echo 1 > big.txt", memory="900GB")
    far = make(tmp_path / "far", Shape("large", {"dvc.yaml": text}), tmp_path)
    set_pools(far, tmp_path / "storage", more=SLURM)
    report = run_elsewhere(RunOptions(repo=far), far)
    assert report.outcomes() == {"big": Outcome.FAILED}
    (error,) = report.errors
    assert error.startswith("big: sbatch: ")
    assert "resources in dvc.yaml" in error
    assert "\n" not in error
    assert not any((tmp_path / "storage" / "attempts").iterdir())
