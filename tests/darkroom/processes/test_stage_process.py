"""A stage's command: its ending, its lines, its deadline, and that nothing of it outlives its owner."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from darkroom.base.meta import StageMeta
from darkroom.processes.lines import LONGEST_LINE
from darkroom.processes.stage_process import Ending, StageJob, execute
from tests.darkroom.waiting import alive, wait_for
from tests.places import ROOT


def job(folder: Path, *commands: str, **options: Any) -> StageJob:
    vectors = tuple(("/bin/sh", "-c", command) for command in commands)
    return StageJob(name="s", commands=vectors, cwd=folder, env=dict(os.environ), **options)


def test_commands_run_one_after_the_other_until_one_fails(tmp_path: Path) -> None:
    result = execute(job(tmp_path, "echo 1 > a", "echo 2 >> a; exit 7", "echo 3 >> a"))
    assert (result.ending, result.code, result.describe()) == (Ending.FAILED, 7, "failed with exit code 7")
    assert (tmp_path / "a").read_text() == "1\n2\n"


def test_every_line_reaches_the_listener_and_every_byte_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "logs/s.log"
    script = "printf 'out\\nbar 1\\rbar 2\\n'; printf 'err \\377\\n' >&2; printf 'no end'"
    result = execute(job(tmp_path, script, "echo second", on_line=lines.append, log=log))
    assert result.well
    assert lines == ["out", "bar 2", "err \ufffd", "no end", "second"]
    raw = log.read_bytes()
    assert raw == b"out\nbar 1\rbar 2\nerr \xff\nno endsecond\n"
    assert result.last_lines == tuple(lines)


@pytest.mark.parametrize("script", ["kill -9 $$", "sh -c 'kill -9 $$'; exit 137"])
def test_a_kill_from_outside_is_told_from_a_failure(tmp_path: Path, script: str) -> None:
    result = execute(job(tmp_path, script))
    assert (result.ending, result.describe()) == (Ending.KILLED, "killed by SIGKILL")


def test_a_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    script = "sleep 50 & echo $! > child; wait"
    result = execute(job(tmp_path, script, meta=StageMeta(timeout=0.3)))
    assert result.ending is Ending.TIMED_OUT
    assert not alive(int((tmp_path / "child").read_text()))


def test_stopping_lets_a_stage_end_politely(tmp_path: Path) -> None:
    stop = threading.Event()
    script = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        stop.set()

    result = execute(job(tmp_path, script, on_line=on_line, stop=stop))
    assert result.ending is Ending.STOPPED
    assert (lines[0], lines[-1]) == ("ready", "saved")


def test_what_a_stage_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    result = execute(job(tmp_path, "sleep 1000 & echo $! > child"))
    assert result.well
    assert not alive(int((tmp_path / "child").read_text()))


def test_a_stage_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    result = execute(job(tmp_path, "exec >&- 2>&-; sleep 0.3; touch done"))
    assert result.well
    assert (tmp_path / "done").exists()


OWNER = """
import os, signal, sys
from pathlib import Path
from darkroom.processes.stage_process import StageJob, execute
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
script = "echo $$ > leader; (sleep 100 & echo $! > child.tmp; mv child.tmp child; wait)"
folder = Path(sys.argv[1])
execute(StageJob(name="s", commands=(("/bin/sh", "-c", script),), cwd=folder, env=dict(os.environ)))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_group_dies_with_its_owner(tmp_path: Path, number: int) -> None:
    root = ROOT
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], cwd=root)
    assert wait_for((tmp_path / "child").exists, 30)
    pids = [int((tmp_path / name).read_text()) for name in ("leader", "child")]
    assert all(alive(pid) for pid in pids)
    owner.send_signal(number)
    owner.wait()
    assert wait_for(lambda: not any(alive(pid) for pid in pids))


def test_a_command_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        execute(StageJob(name="s", commands=(("/no/such/shell",),), cwd=tmp_path, env={}))


# It ends only once the daemon is `sleep` and no longer the shell's copy: its name is in the message.
DAEMON = "setsid sh -c 'sleep 100 & echo $! > daemon; until grep -q sleep /proc/$!/comm; do :; done'"


def daemon_of(folder: Path) -> int:
    return int((folder / "daemon").read_text())


def test_a_daemon_that_a_stage_leaves_is_named_and_ended_with_it(tmp_path: Path) -> None:
    lines: list[str] = []
    assert execute(job(tmp_path, DAEMON, "echo second", on_line=lines.append)).well
    assert not alive(daemon_of(tmp_path))
    assert lines == [
        "second",
        f"darkroom: ended what the stage had left running: pid {daemon_of(tmp_path)} (sleep 100);"
        " `keep_daemons: true` under its meta in dvc.yaml lets its daemons stay",
    ]


def test_a_daemon_that_is_to_stay_outlives_its_stage(tmp_path: Path) -> None:
    lines: list[str] = []
    meta = StageMeta(keep_daemons=True)
    assert execute(
        job(tmp_path, f"sleep 100 & {DAEMON}; echo $! > child", meta=meta, on_line=lines.append)
    ).well
    assert alive(daemon_of(tmp_path))
    os.kill(daemon_of(tmp_path), signal.SIGKILL)
    assert not alive(int((tmp_path / "child").read_text()))  # it never left its stage's group
    assert lines == []


def test_who_left_the_group_is_told_to_end_politely_too(tmp_path: Path) -> None:
    stop = threading.Event()
    script = "trap 'echo saved > saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        stop.set()

    result = execute(job(tmp_path, f"setsid -w sh -c {shlex.quote(script)}", stop=stop, on_line=on_line))
    assert result.ending is Ending.STOPPED
    assert (tmp_path / "saved").exists()
    assert not [line for line in lines if line.startswith("darkroom: ")]


MUCH = "seq -f 'line %.0f of a stage that says much' 1 100000; echo 'ValueError: no'; seq 1 100000"


def test_of_too_many_lines_an_excerpt_reaches_the_listener_and_all_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "s.log"
    result = execute(job(tmp_path, MUCH, on_line=lines.append, log=log))
    assert len(log.read_bytes().splitlines()) == 200_001
    assert lines[0] == "line 1 of a stage that says much"
    assert "ValueError: no" in lines
    assert lines[-1] == "100000"
    assert result.last_lines == tuple(lines[-20:])
    notes = [line for line in lines if line.startswith("darkroom: ")]
    assert notes
    assert all(line.endswith(f" lines left out here; {log} has all of them") for line in notes)
    assert sum(int(line.split()[1]) for line in notes) + len(lines) - len(notes) == 200_001


def test_a_line_without_end_is_read_in_linear_time_and_little_memory(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "s.log"
    tracemalloc.start()
    try:
        result = execute(job(tmp_path, "head -c 64M /dev/zero | tr '\\0' x", on_line=lines.append, log=log))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert log.stat().st_size == 64 << 20
    assert most < 8 << 20
    assert lines == [f"{'x' * LONGEST_LINE}... [{(64 << 20) - LONGEST_LINE:,} bytes more]"]
    assert result.last_lines == tuple(lines)


def test_the_states_of_a_bar_are_told_and_are_one_line(tmp_path: Path) -> None:
    lines: list[str] = []
    bars: list[str] = []

    def on_bar(bar: str) -> None:
        bars.append(bar)
        (tmp_path / "drawn").touch()

    script = "printf '\\r 10%%'; while [ ! -e drawn ]; do sleep 0.02; done; printf '\\r100%%\\n'"
    execute(job(tmp_path, script, on_line=lines.append, on_bar=on_bar))
    assert bars == [" 10%"]
    assert lines == ["100%"]


def test_a_child_that_goes_on_printing_does_not_keep_its_stage_from_ending(tmp_path: Path) -> None:
    assert execute(job(tmp_path, "yes & exec sleep 0.3", log=tmp_path / "s.log")).well
