"""A stage's lock: held as long as anyone of the stage lives; what a dead run has left is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from darkroom.processes.process_group import living_processes
from darkroom.processes.stage_lock import StageLock, busy_stage, end_left_overs, lock_stage
from tests.darkroom.waiting import alive, wait_for
from tests.places import ROOT

# Owns a stage whose command leaves a child that has closed what it inherited, as Python's subprocess does.
OWNER = """
import os, sys
from pathlib import Path
from darkroom.processes.stage_lock import lock_stage
from darkroom.processes.stage_process import StageJob, execute
folder = Path(sys.argv[1])
script = sys.argv[2]
env = {**os.environ, "DVC_ROOT": str(folder), "DVC_STAGE": "train"}
lock = lock_stage(folder / "locks", "train", folder)
execute(StageJob(name="train", commands=(("/bin/sh", "-c", script),), cwd=folder, env=env, lock=lock))
"""
CLOSED = "echo $$ > leader; (exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-; sleep 100) & echo $! > child; wait"
DAEMON = "echo $$ > leader; setsid sleep 100 & echo $! > child; wait"


@pytest.fixture
def owner(tmp_path: Path) -> subprocess.Popen[bytes]:
    return start_owner(tmp_path, CLOSED)


def start_owner(tmp_path: Path, script: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path), script], cwd=ROOT)
    assert wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text(), 30)
    return process


def pids(folder: Path) -> list[int]:
    return [int((folder / name).read_text()) for name in ("leader", "child")]


def free(folder: Path) -> bool:
    lock = lock_stage(folder / "locks", "train", folder)
    if isinstance(lock, StageLock):
        lock.release()
    return isinstance(lock, StageLock)


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    lock = lock_stage(tmp_path, "train", tmp_path)
    assert isinstance(lock, StageLock)
    assert lock_stage(tmp_path, "train", tmp_path) == f"`darkroom run` with pid {os.getpid()} runs it"
    other = lock_stage(tmp_path, "test", tmp_path)
    assert isinstance(other, StageLock)
    other.release()
    inherited = os.dup(lock.descriptor)  # by a process that left the stage
    lock.release()
    again = lock_stage(tmp_path, "train", tmp_path)
    assert isinstance(again, StageLock)
    again.release()
    os.close(inherited)


@pytest.mark.slow
def test_a_stage_whose_run_lives_is_left_alone(tmp_path: Path, owner: subprocess.Popen[bytes]) -> None:
    assert lock_stage(tmp_path / "locks", "train", tmp_path) == f"`darkroom run` with pid {owner.pid} runs it"
    end_left_overs(tmp_path / "locks")
    assert all(alive(pid) for pid in pids(tmp_path))
    owner.kill()
    owner.wait()
    assert wait_for(lambda: not any(alive(pid) for pid in pids(tmp_path)))
    assert wait_for(lambda: free(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("also_the_leader", [False, True])
def test_what_outlived_both_owner_and_guard_is_ended_first(
    tmp_path: Path, owner: subprocess.Popen[bytes], also_the_leader: bool
) -> None:
    leader, child = pids(tmp_path)
    guard = os.getpgid(leader)
    owner.send_signal(signal.SIGSTOP)  # it would replace the guard
    os.kill(guard, signal.SIGKILL)
    owner.kill()
    owner.wait()
    if also_the_leader:  # nobody holds the lock now, but the child may still write
        os.kill(leader, signal.SIGKILL)
        assert wait_for(lambda: not alive(leader))
    assert alive(child)
    assert wait_for(lambda: free(tmp_path))
    assert not alive(child)
    assert not alive(leader)


@pytest.mark.slow
def test_a_run_ends_what_dead_ones_left_of_any_stage(tmp_path: Path, owner: subprocess.Popen[bytes]) -> None:
    leader, child = pids(tmp_path)
    owner.send_signal(signal.SIGSTOP)
    os.kill(os.getpgid(leader), signal.SIGKILL)
    owner.kill()
    owner.wait()
    end_left_overs(tmp_path / "locks")
    assert wait_for(lambda: not alive(leader) and not alive(child))


@pytest.mark.slow
def test_a_daemon_that_a_dead_run_has_left_keeps_its_stage_busy_until_it_is_ended(tmp_path: Path) -> None:
    owner = start_owner(tmp_path, DAEMON)
    leader, daemon = pids(tmp_path)
    assert wait_for(lambda: os.getsid(daemon) == daemon)  # till then it is like any process of the stage
    owner.kill()
    owner.wait()
    assert wait_for(lambda: not alive(leader) and len(living_processes(os.getpgid(daemon))) == 1)
    run = f"`darkroom run` with pid {owner.pid}, which was killed"
    left = f"pid {daemon} (sleep 100) still lives, left by the {run}; end it"
    assert wait_for(lambda: busy_stage(tmp_path / "locks") == f"train: {left}")
    said: list[tuple[str, str]] = []
    end_left_overs(tmp_path / "locks", lambda *words: said.append(words))
    assert said == [("train", f"darkroom: ended pid {daemon} (sleep 100), left by the {run}")]
    assert not alive(daemon)
    assert busy_stage(tmp_path / "locks") is None


def test_a_number_that_another_group_bears_by_now_is_left_alone(tmp_path: Path) -> None:
    lock = lock_stage(tmp_path, "train", tmp_path)
    assert isinstance(lock, StageLock)
    with subprocess.Popen(["sleep", "100"], process_group=0) as stranger:
        lock.note(stranger.pid, None)
        (file,) = tmp_path.iterdir()
        noted = file.read_text()
        lock.release()
        file.write_text(json.dumps({**json.loads(noted), "owner": 0, "group_started": 1}))
        assert free(tmp_path)
        assert stranger.poll() is None
        stranger.kill()


def test_a_torn_note_is_no_obstacle(tmp_path: Path) -> None:
    assert free(tmp_path)
    (file,) = (tmp_path / "locks").iterdir()
    file.write_text('{"stage": "tr')
    assert free(tmp_path)
