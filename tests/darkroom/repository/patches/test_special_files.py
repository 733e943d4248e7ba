"""Pipes, sockets and devices among data, and mounts that do not answer: a line or a signal ends all of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions
from tests.darkroom.repositories import make, serial_repro
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for
from tests.places import ROOT

PIPELINE = """\
stages:
  one: {cmd: 'mkdir -p d/e; cp src d/e/x', deps: [src, in], outs: [d]}
  after: {cmd: cp d/e/x y, deps: [d], outs: [y]}
"""


def repository(tmp_path: Path) -> Path:
    files: dict[str, str | None] = {"dvc.yaml": PIPELINE, "src": "1\n", "in/deep/x": "1\n", "data/x": "1\n"}
    root = make(tmp_path / "r", Shape("special", files, add=("data",)), tmp_path)
    assert serial_repro(root)
    return root


def make_socket(path: Path) -> None:
    with contextlib.chdir(path.parent), contextlib.closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(path.name)


def assert_lock_is_free(root: Path) -> None:
    with contextlib.closing(Repo(str(root))) as repo:
        repo.lock.lock()
        repo.lock.unlock()


SLOW_PLACES = ("in/pipe", "d/pipe", "data/pipe", "src")


@pytest.mark.parametrize(
    "place",
    ["in/deep/pipe", "d/e/pipe", *(pytest.param(place, marks=pytest.mark.slow) for place in SLOW_PLACES)],
)
@pytest.mark.parametrize(
    ("kind", "make_one"),
    [("a named pipe", os.mkfifo), pytest.param("a socket", make_socket, marks=pytest.mark.slow)],
)
def test_what_is_no_file_is_refused_by_name(
    tmp_path: Path, place: str, kind: str, make_one: Callable[[Path], None]
) -> None:
    root = repository(tmp_path)
    before = (root / "dvc.lock").read_bytes()
    (root / place).unlink(missing_ok=True)
    make_one(root / place)
    plan = make_plan(RunOptions(repo=root, all_pipelines=True))
    said = [reason for stage in plan.stages for reason in stage.reasons]
    assert any(place in reason and f"{kind}, which DVC cannot keep" in reason for reason in said)
    report = run_pipeline(RunOptions(repo=root, all_pipelines=True))
    assert any(f"{place}: {kind}, which DVC cannot keep" in error for error in report.errors), report.errors
    assert all("\n" not in error for error in report.errors)
    assert (root / "dvc.lock").read_bytes() == before
    assert_lock_is_free(root)


def test_a_command_that_leaves_a_pipe_in_its_out_fails_by_name(tmp_path: Path) -> None:
    root = repository(tmp_path)
    text = PIPELINE.replace("cp src d/e/x", "cp src d/e/x; mkfifo d/e/pipe")
    (root / "dvc.yaml").write_text(text)
    report = run_pipeline(RunOptions(repo=root))
    assert report.outcomes()["one"] == "failed"
    assert any("d/e/pipe: a named pipe" in error for error in report.errors)
    assert_lock_is_free(root)


@pytest.mark.slow
def test_what_dvcignore_names_is_no_matter(tmp_path: Path) -> None:
    root = repository(tmp_path)
    (root / ".dvcignore").write_text("pipe\n")
    os.mkfifo(root / "in/pipe")
    assert run_pipeline(RunOptions(repo=root)).well


@contextlib.contextmanager
def dead_mount(folder: Path) -> Iterator[None]:
    """A FUSE file system that nobody serves: whoever looks there waits, and hears no signal."""
    c = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"no FUSE here: {error}")
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if c.mount(b"dead", os.fsencode(folder), b"fuse", 0, options):
        os.close(device)
        pytest.skip(f"no mount here: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        os.close(device)  # whoever waits gets an error
        c.umount2(os.fsencode(folder), 2)


ALONE = """
import sys, threading
from pathlib import Path
from darkroom.runs.engine import RunOptions, run_pipeline
from darkroom.runs.local_executor import LocalExecutor
from darkroom.processes.stopping import stopping_on_signals

options = RunOptions(repo=Path(sys.argv[1]))
executor = LocalExecutor()
with stopping_on_signals(options.stop, executor.is_busy):
    print("begins", flush=True)
    run_pipeline(options, executor=executor)
"""
COMMAND = "from darkroom.cli.main import main; print('begins', flush=True); main()"


def waits_for_fuse(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "fuse" in Path(f"/proc/{pid}/wchan").read_text() or "request_wait" in (
            Path(f"/proc/{pid}/stack").read_text()
        )
    return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("script", [ALONE, COMMAND])
def test_a_signal_ends_a_run_that_waits_for_a_dead_mount(tmp_path: Path, script: str, number: int) -> None:
    root = repository(tmp_path)
    before = (root / "dvc.lock").read_bytes()
    words = [str(root)] if script is ALONE else ["run", "--repo", str(root)]
    with dead_mount(root / "in/deep"):
        with subprocess.Popen(
            [sys.executable, "-c", script, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == b"begins\n"
            waits = wait_for(lambda: process.poll() is not None or waits_for_fuse(process.pid), 60)
            assert process.poll() is None
            assert waits
            process.send_signal(number)
            try:
                _, said = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == 130
        assert b"did not answer" in said
    assert (root / "dvc.lock").read_bytes() == before
    assert_lock_is_free(root)
