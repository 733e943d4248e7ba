"""Never two writers on one out: two runs at once, and a run after one that was killed with its guard."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from darkroom.processes import stage_lock
from darkroom.processes.process_group import living_processes
from darkroom.repository.graph import Selection
from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, StageLine, StageWaits
from darkroom.schedule.scheduler import Busy
from darkroom.workspace.workspace import Workspace
from tests.darkroom.repositories import make, put, serial_repro
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import alive, wait_for
from tests.places import ROOT

# Notes when it overlaps with another execution of itself; ends once `go` is there.
PIPELINE = """\
stages:
  slow:
    cmd: sh slow.sh
    deps: [in.txt]
    outs: [out.txt]
  after:
    cmd: cat out.txt > after.txt
    deps: [out.txt]
    outs: [after.txt]
"""
SLOW = """\
if [ -e {outside}/running ] && grep -v ') Z' /proc/$(cat {outside}/running)/stat; then
  echo overlap >> {outside}/overlaps
fi
echo $$ > {outside}/running.tmp; mv {outside}/running.tmp {outside}/running
echo execution >> {outside}/executions
while [ ! -e {outside}/go ]; do echo more >> out.txt; sleep 0.05; done
cat in.txt > out.txt
rm {outside}/running
"""
RUN = """
import sys
from pathlib import Path
from darkroom.schedule.events import StageWaits
from darkroom.runs.engine import RunOptions, run_pipeline

def tell(event):
    if isinstance(event, StageWaits):
        print(event.reason, flush=True)

report = run_pipeline(RunOptions(repo=Path(sys.argv[1])), observe=tell)
print({name: str(outcome) for name, outcome in report.outcomes().items()})
"""


def repository(tmp_path: Path) -> Path:
    files = {"dvc.yaml": PIPELINE, "slow.sh": SLOW, "in.txt": "1\n"}
    return make(tmp_path / "r", Shape("two", dict(files)), tmp_path)


def start(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(root)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def is_running(tmp_path: Path) -> bool:
    return wait_for((tmp_path / "running").exists, 60)


@pytest.mark.slow
def test_of_two_runs_at_once_one_waits_and_says_on_whom(tmp_path: Path) -> None:
    root = repository(tmp_path)
    with start(root) as first:
        assert is_running(tmp_path)
        with start(root) as second:
            assert second.stdout is not None
            waits = second.stdout.readline()
            (tmp_path / "go").touch()
            ended = second.stdout.read()
        ended_first = first.communicate()[0]
    assert f"in use by pid {first.pid} " in waits
    # It may have had to wait for the next stage, too.
    assert ended.splitlines()[-1] == "{'slow': 'skipped', 'after': 'skipped'}"
    assert ended_first == "{'slow': 'ran', 'after': 'ran'}\n"
    assert (tmp_path / "executions").read_text() == "execution\n"


@pytest.mark.slow
def test_what_outlives_a_killed_run_is_ended_before_its_stage_starts_again(tmp_path: Path) -> None:
    root = repository(tmp_path)
    with start(root) as first:
        assert is_running(tmp_path)
        command = int((tmp_path / "running").read_text())
        guard = os.getpgid(command)
        first.send_signal(signal.SIGSTOP)  # it would put another guard in its place
        os.kill(guard, signal.SIGKILL)
        first.kill()
    assert alive(command)
    (tmp_path / "go").touch()
    os.kill(command, signal.SIGSTOP)  # it would end by itself now
    assert run_pipeline(RunOptions(repo=root)).outcomes() == {"slow": "ran", "after": "ran"}
    assert not alive(command)
    assert not living_processes(guard)
    assert not (tmp_path / "overlaps").exists()
    assert (root / "out.txt").read_text() == "1\n"


DAEMONS = {
    "a session of its own": "setsid sleep 100 & echo $! > {outside}/stranger\n",
    "a double fork": "setsid sh -c 'sleep 100 & echo $! > {outside}/stranger'\n",
    "nothing of ours open": (
        "setsid sh -c 'exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; sleep 100 & echo $! > {outside}/stranger'\n"
    ),
    "an empty environment": "env -i setsid sleep 100 & echo $! > {outside}/stranger\n",
}


def stranger_in(folder: Path) -> int:
    file = folder / "stranger"
    assert wait_for(lambda: file.exists() and file.read_text().strip())
    return int(file.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("how", DAEMONS)
def test_a_daemon_that_a_killed_run_has_left_is_named_and_ended(tmp_path: Path, how: str) -> None:
    root = repository(tmp_path)
    put(root, {"slow.sh": DAEMONS[how] + SLOW}, tmp_path)
    with start(root) as first:
        assert is_running(tmp_path)
        first.kill()
    stranger = stranger_in(tmp_path)
    assert alive(stranger)
    put(root, {"slow.sh": SLOW}, tmp_path)
    (tmp_path / "go").touch()
    said: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, StageLine | StageWaits):
            said.append(event.line if isinstance(event, StageLine) else f"waits: {event.reason}")

    assert run_pipeline(RunOptions(repo=root), observe=observe).well
    assert not alive(stranger)
    (line,) = [line for line in said if f"pid {stranger} (sleep 100)" in line]
    assert line.startswith("darkroom: ended ")
    assert line.endswith(f"left by the `darkroom run` with pid {first.pid}, which was killed")
    assert not [line for line in said if line.startswith("waits")]
    assert not (tmp_path / "overlaps").exists()


@pytest.mark.slow
def test_a_daemon_that_is_to_stay_outlives_a_killed_run_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    root = repository(tmp_path)
    pipeline = (root / "dvc.yaml").read_text().replace("  after:", "    meta: {keep_daemons: true}\n  after:")
    assert "keep_daemons" in pipeline
    put(root, {"slow.sh": DAEMONS["a session of its own"] + SLOW, "dvc.yaml": pipeline}, tmp_path)
    with start(root) as first:
        assert is_running(tmp_path)
        first.kill()
    stranger = stranger_in(tmp_path)
    put(root, {"slow.sh": SLOW}, tmp_path)
    (tmp_path / "go").touch()
    try:
        assert run_pipeline(RunOptions(repo=root)).well
        assert alive(stranger)
    finally:
        os.kill(stranger, signal.SIGKILL)
    assert not (tmp_path / "overlaps").exists()


STAGES = 7
MANY = "stages:\n" + "".join(
    f"  s{n}:\n    cmd: sleep {0.1 * (5 * n % STAGES)}; mkdir -p {folder}; cat in.txt > {folder}/s{n}.txt\n"
    f"    deps: [in.txt]\n    outs: [{folder}/s{n}.txt]\n"
    for n in range(STAGES)
    for folder in ["even" if n % 3 else "odd"]
)
# They read each other's folders: what a .gitignore holds, and in which order, is part of what they depend on.
MANY += """\
  reads:
    cmd: cat even/* odd/* > reads.txt
    deps: [even, odd]
    outs: [reads.txt]
  beside:
    cmd: sleep 0.3; cat in.txt > beside.txt
    deps: [in.txt]
    outs: [beside.txt]
"""
SERIAL = Shape("many", {"dvc.yaml": MANY, "in.txt": "1\n"})
LONGEST_SECONDS = 4.0
"""About as long as a run of these stages takes."""


def recorded(root: Path) -> dict[str, str]:
    """The files in which an order shows."""
    return {str(path.relative_to(root)): path.read_text() for path in ordered_files(root)}


def ordered_files(root: Path) -> list[Path]:
    return [root / "dvc.lock", *root.glob(".gitignore"), *root.glob("[!.]*/.gitignore")]


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("serial")
    root = make(folder / "r", SERIAL, folder)
    assert serial_repro(root)
    return recorded(root)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_two_runs_at_once_end_in_the_serial_order(tmp_path: Path, serial: dict[str, str], seed: int) -> None:
    root, dice = make(tmp_path / "r", SERIAL, tmp_path), random.Random(seed)
    with start(root) as first:
        time.sleep(dice.uniform(0, LONGEST_SECONDS / 2))
        with start(root) as second:
            second.communicate()
        first.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    assert recorded(root) == serial
    assert not (root / ".darkroom/ahead.jsonl").exists()


def ended_early(root: Path, runs: int, dice: random.Random) -> None:
    """So many runs, all killed at some moment."""
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(start(root)) for _ in range(runs)]
        time.sleep(dice.uniform(LONGEST_SECONDS / 4, LONGEST_SECONDS))
        for process in started:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_two_runs_that_were_killed_are_taken_up_in_the_serial_order(
    tmp_path: Path, serial: dict[str, str], seed: int
) -> None:
    root, dice = make(tmp_path / "r", SERIAL, tmp_path), random.Random(seed)
    ended_early(root, 2, dice)
    assert run_pipeline(RunOptions(repo=root)).well
    assert recorded(root) == serial
    assert not (root / ".darkroom/ahead.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_dvc_repro_after_a_killed_run_ends_in_the_serial_order(
    tmp_path: Path, serial: dict[str, str], seed: int
) -> None:
    root, dice = make(tmp_path / "r", SERIAL, tmp_path), random.Random(seed)
    ended_early(root, 1, dice)
    stage_lock.end_left_overs(root / ".darkroom/locks")
    assert serial_repro(root)
    assert recorded(root) == serial
    assert run_pipeline(RunOptions(repo=root)).well
    assert recorded(root) == serial


ONE = {
    "dvc.yaml": "stages: {one: {cmd: cp in.txt out.txt, deps: [in.txt], outs: [out.txt]}}\n",
    "in.txt": "1\n",
}


def in_rwlock(root: Path, pid: int) -> None:
    who = {"pid": pid, "cmd": "dvc repro"}
    (root / ".dvc/tmp/rwlock").write_text(json.dumps({"write": {str(root / "out.txt"): who}}))


def test_dvcs_rwlock_is_looked_at_and_not_written_while_stages_are_judged(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("one", ONE), tmp_path)
    with contextlib.closing(Workspace(root, Selection())) as workspace, contextlib.chdir(root):
        workspace.load()
        with workspace.locked():
            assert workspace.peek("one") is None
            assert not (root / ".dvc/tmp/rwlock").exists()
        with subprocess.Popen(["sleep", "100"]) as other:
            in_rwlock(root, other.pid)
            with workspace.locked(), pytest.raises(Busy, match=f"pid {other.pid}"):
                workspace.peek("one")
            other.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", [".dvc/cache/files/md5", ".dvc/cache/files/md5/??", ".dvc/cache/runs/??/*", ""]
)
def test_what_a_killed_run_left_half_written_is_swept(tmp_path: Path, place: str) -> None:
    root = make(tmp_path / "r", Shape("one", ONE), tmp_path)
    run_pipeline(RunOptions(repo=root))
    (folder,) = root.glob(place) if place else [root]
    there = sorted(folder.iterdir())
    left = folder / ".fYBvFTF7sB5HlX6rWxb4VQ.tmp"
    left.touch()
    run_pipeline(RunOptions(repo=root, force=True))
    assert left.exists(), "no sign that anybody died"
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    in_rwlock(root, dead.pid)
    with left.open():  # as by another repository that shares this cache
        run_pipeline(RunOptions(repo=root))
        assert left.exists()
    in_rwlock(root, dead.pid)
    run_pipeline(RunOptions(repo=root))
    assert sorted(folder.iterdir()) == there
