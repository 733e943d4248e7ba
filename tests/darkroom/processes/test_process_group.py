"""Groups under guard: whoever of them is killed, nothing of the stage lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from darkroom.processes.process_group import find_process, guarded_group, living_processes
from darkroom.processes.stage_process import Ending, StageJob, StageResult, execute
from tests.darkroom.waiting import alive, wait_for
from tests.places import ROOT

SCRIPT = "echo $$ > leader; (sleep 100 & echo $! > child.tmp; mv child.tmp child; wait)"


def run_in_thread(folder: Path) -> tuple[threading.Thread, list[StageResult]]:
    results: list[StageResult] = []
    job = StageJob(name="s", commands=(("/bin/sh", "-c", SCRIPT),), cwd=folder, env=dict(os.environ))
    thread = threading.Thread(target=lambda: results.append(execute(job)))
    thread.start()
    assert wait_for((folder / "child").exists, 30)
    return thread, results


def pid_in(path: Path) -> int:
    return int(path.read_text())


def guards(group: int) -> list[int]:
    return [one.pid for one in living_processes(group) if b"read -r" in command_of(one.pid)]


def command_of(pid: int) -> bytes:
    """Nothing of a process that has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.mark.slow
def test_a_killed_guard_is_replaced_and_the_new_one_does_its_work(tmp_path: Path) -> None:
    root = ROOT
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from darkroom.processes.stage_process import StageJob, execute\n"
        f"execute(StageJob(name='s', commands=(('/bin/sh', '-c', {SCRIPT!r}),), cwd=Path(sys.argv[1]),"
        " env=dict(os.environ)))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root) as owner:
        assert wait_for((tmp_path / "child").exists, 30)
        leader, child = (pid_in(tmp_path / name) for name in ("leader", "child"))
        group = os.getpgid(leader)
        for _ in range(2):
            (guard,) = guards(group)
            os.kill(guard, signal.SIGKILL)
            assert wait_for(lambda old=guard: len(new := guards(group)) == 1 and new != [old])  # type: ignore[misc]
            assert alive(leader)
        owner.kill()
    assert wait_for(lambda: not alive(leader) and not alive(child))
    assert wait_for(lambda: not living_processes(group))


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGALRM]
)
def test_the_guard_outlives_what_the_group_is_sent(number: int) -> None:
    with guarded_group() as group:
        looked = group.start(["/bin/sh", "-c", "trap '' HUP INT TERM USR1 ALRM; sleep 0.3"], Path("/"), {})
        assert looked.stdout is not None
        assert wait_for(lambda: "S" in Path(f"/proc/{group.id}/stat").read_text().rpartition(")")[2][:3])
        os.kill(group.id, number)
        assert looked.wait() == 0
        assert alive(group.id)
        looked.stdout.close()


def test_a_group_that_is_killed_whole_is_told_as_a_kill(tmp_path: Path) -> None:
    thread, results = run_in_thread(tmp_path)
    os.killpg(os.getpgid(pid_in(tmp_path / "leader")), signal.SIGKILL)
    thread.join()
    assert results[0].ending is Ending.KILLED
    assert not alive(pid_in(tmp_path / "child"))


def test_a_killed_command_takes_its_children_with_it(tmp_path: Path) -> None:
    thread, results = run_in_thread(tmp_path)
    os.kill(pid_in(tmp_path / "leader"), signal.SIGKILL)
    thread.join()
    assert results[0].describe() == "killed by SIGKILL"
    assert not alive(pid_in(tmp_path / "child"))


def test_a_process_is_known_by_pid_and_start() -> None:
    me = find_process(os.getpid())
    assert me is not None
    assert (me.pid, me.group, me.zombie) == (os.getpid(), os.getpgrp(), False)
    with subprocess.Popen(["sleep", "0"]) as ended:
        assert wait_for(lambda: (found := find_process(ended.pid)) is not None and found.zombie)
        found = find_process(ended.pid)
        assert found is not None
        assert found.started >= me.started
    assert find_process(ended.pid) is None
