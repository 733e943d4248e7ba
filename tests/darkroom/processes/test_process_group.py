"""Groups under guard: whoever of them is killed, nothing of the stage lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from darkroom.processes.process_group import (
    MARK,
    find_process,
    guarded_group,
    living_processes,
    marked_processes,
)
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


def reads() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("syscr")))


def test_who_was_there_before_a_stage_costs_nothing_at_its_end() -> None:
    others = [subprocess.Popen(["sleep", "100"]) for _ in range(40)]
    try:
        me = find_process(os.getpid())
        assert me is not None
        since = me.started + 10**9  # all are older
        assert marked_processes("nobody's", since) == []
        before = reads()
        for _ in range(10):
            assert marked_processes("nobody's", since) == []
        assert reads() - before < 10 * 20  # others on this host start processes meanwhile
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_a_process_with_the_number_of_one_that_is_known_is_looked_at() -> None:
    with subprocess.Popen(["sleep", "100"]) as first:
        known = find_process(first.pid)
        assert known is not None
        since = known.started + 1
        assert marked_processes("m", since) == []
        first.kill()
    assert wait_for(lambda: ticks_now() > since + 1)
    try:
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(first.pid - 1))
    except OSError as error:
        pytest.skip(f"pids cannot be chosen here: {error}")
    with subprocess.Popen(["sleep", "100"], env={MARK: "m"}) as second:
        if second.pid == first.pid:  # else another process was faster
            assert [one.pid for one in marked_processes("m", since)] == [second.pid]
        second.kill()


def ticks_now() -> int:
    return int(float(Path("/proc/uptime").read_text().split()[0]) * os.sysconf("SC_CLK_TCK"))
