"""The project's own server that a run starts: it delivers, lives on for a while, and gives way to others."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from darkroom.processes.daemons import daemon_state, services_folder
from darkroom.reporting.deliverers import log_of
from darkroom.reporting.outbox import Outbox, waiting_outboxes
from darkroom.server.places import server_folder
from darkroom.server.sharing import RECORDER, shared_url
from tests.darkroom.repositories import make
from tests.darkroom.server.processes.pages_process import pages_process
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import alive, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

LONG = 240  # seconds: for what takes a few on a machine with nothing else to do
PIPELINE = "stages:\n  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n"
WAITING = "while [ ! -e ../go ]; do sleep .1; done; cp in.txt a.txt"


def project(folder: Path, name: str = "r", pipeline: str = PIPELINE) -> Path:
    return make(folder / name, Shape("small", {"dvc.yaml": pipeline, "in.txt": "1\n"}), folder)


def environment(root: Path, seconds: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, "HOME": str(root.parent), "DARKROOM_SERVER_SECONDS": seconds}


def darkroom(root: Path, *words: str, seconds: str = "600") -> str:
    command = [Path(sys.executable).with_name("darkroom"), *words]
    done = subprocess.run(
        command, cwd=root, env=environment(root, seconds), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def recorder(root: Path, seconds: str = "0.1") -> int:
    """Be the recorder until it ends; its exit code."""
    command = [sys.executable, "-m", "darkroom.tracking.recorder_process", str(root), ""]
    return subprocess.run(
        command, env=environment(root, seconds), stderr=subprocess.DEVNULL, check=False
    ).returncode


def recorded(root: Path) -> Counter[tuple[str, str]]:
    with closing(sqlite3.connect(server_folder(root) / "prefect.db")) as database:
        return Counter(database.execute("select name, state_type from flow_run"))


def recorder_pid(root: Path) -> int | None:
    state = daemon_state(services_folder(root), RECORDER)
    return state.note.pid if state.running and state.note else None


def test_a_server_serves_several_runs_keeps_no_terminal_and_ends_by_down(tmp_path: Path) -> None:
    root = project(tmp_path)
    darkroom(root, "run")
    assert wait_for(lambda: shared_url(server_folder(root)), LONG)
    pid = recorder_pid(root)
    assert pid is not None
    assert os.getsid(pid) == pid
    files = {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (0, 1, 2)}
    assert files == {"/dev/null", str(log_of(root))}
    darkroom(root, "run", "--force")
    assert wait_for(lambda: not waiting_outboxes(root), LONG)
    assert recorder_pid(root) == pid
    assert recorded(root) == {("r", "COMPLETED"): 2, ("a", "COMPLETED"): 2}
    assert darkroom(root, "down").startswith("down\n")
    assert not alive(pid)
    assert shared_url(server_folder(root)) is None


def test_one_that_is_killed_is_replaced_and_one_whose_run_is_killed_says_so(tmp_path: Path) -> None:
    root = project(tmp_path, pipeline=PIPELINE.replace("cp in.txt a.txt", f"'{WAITING}'"))
    command = [Path(sys.executable).with_name("darkroom"), "run"]
    with subprocess.Popen(
        command, cwd=root, env=environment(root, "2"), stdout=subprocess.DEVNULL
    ) as process:
        assert wait_for(lambda: recorder_pid(root), LONG)
        first = recorder_pid(root)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert wait_for(lambda: recorder_pid(root) not in (first, None), LONG)
        assert wait_for(lambda: shared_url(server_folder(root)), LONG)
        assert wait_for(lambda: recorded(root) == {("r", "RUNNING"): 1, ("a", "RUNNING"): 1}, LONG)
        process.send_signal(signal.SIGKILL)
    second = recorder_pid(root)
    assert second is not None
    assert wait_for(lambda: not waiting_outboxes(root), LONG)
    assert recorded(root) == {("r", "CRASHED"): 1, ("a", "CRASHED"): 1}
    assert wait_for(lambda: not psutil.pid_exists(second), LONG)  # nobody asks it for anything


def test_one_whose_database_is_out_of_order_leaves_the_letters_to_the_next(tmp_path: Path) -> None:
    root = project(tmp_path)
    darkroom(root, "run", seconds="0")
    database = server_folder(root) / "prefect.db"
    database.parent.mkdir()
    with closing(sqlite3.connect(database)) as held:
        held.execute("create table t (n)")
        held.execute("begin exclusive")
        assert recorder(root) == 2
    assert len(waiting_outboxes(root)) == 1
    database.write_bytes(b"garbage" * 1000)
    assert recorder(root) == 0
    assert waiting_outboxes(root) == []
    assert recorded(root) == {("r", "COMPLETED"): 1, ("a", "COMPLETED"): 1}
    assert len(list(database.parent.glob("prefect.db.damaged-*"))) == 1


def test_ui_takes_its_place_and_delivers(tmp_path: Path) -> None:
    root = project(tmp_path)
    darkroom(root, "run")
    assert wait_for(lambda: recorder_pid(root), LONG)
    with pages_process(root) as pages:
        assert recorder_pid(root) is None
        assert shared_url(server_folder(root)) == pages.url
        darkroom(root, "run", "--force")
        assert wait_for(lambda: not waiting_outboxes(root), LONG)
        assert recorder_pid(root) is None
        pages.process.send_signal(signal.SIGINT)
        assert pages.process.wait(LONG) == 0
    assert recorded(root) == {("r", "COMPLETED"): 2, ("a", "COMPLETED"): 2}


def test_of_several_at_once_one_serves(tmp_path: Path) -> None:
    """And it leaves alone what goes elsewhere."""
    root = project(tmp_path)
    darkroom(root, "run", seconds="0")
    elsewhere = Outbox(root, "http://127.0.0.1:9/api", "elsewhere")
    elsewhere.end()
    elsewhere.close()
    command = [sys.executable, "-m", "darkroom.tracking.recorder_process", str(root), ""]
    several = [subprocess.Popen(command, env=environment(root, "0.1")) for _ in range(3)]
    assert [process.wait(LONG) for process in several] == [0, 0, 0]
    assert waiting_outboxes(root) == [elsewhere.path]
    assert recorded(root) == {("r", "COMPLETED"): 1, ("a", "COMPLETED"): 1}
