"""Services by their locks, with real processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from darkroom.base.locks import LockFile
from darkroom.processes import daemons
from darkroom.processes.daemons import ServiceError, daemon_state, registered, start, stop
from darkroom.processes.process_group import find_process
from tests.darkroom.waiting import alive, wait_for
from tests.places import ROOT

SERVICE = """
import signal, sys, time
from pathlib import Path
from darkroom.processes.daemons import registered
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with registered(Path(sys.argv[1]), "one") as registration:
    registration.ready("http://127.0.0.1:9/api")
    time.sleep(600)
"""
# An owner that ends at once, as `darkroom up` does.
STARTER = """
import sys
from pathlib import Path
from darkroom.processes.daemons import start
note = start(Path(sys.argv[1]), "one", [sys.executable, "-c", sys.argv[2], sys.argv[1]], Path.cwd())
print(note.pid)
"""


def started(folder: Path) -> int:
    command = [sys.executable, "-c", STARTER, str(folder), SERVICE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_nothing_is_known_of_a_service_that_never_ran(tmp_path: Path) -> None:
    assert daemon_state(tmp_path, "one") == daemons.DaemonState("one", running=False, note=None)
    assert daemons.daemon_states(tmp_path) == []
    assert not stop(tmp_path, "one", 1)


@pytest.mark.slow
def test_a_service_outlives_its_starter_and_is_stopped(tmp_path: Path) -> None:
    pid = started(tmp_path)
    seen = daemon_state(tmp_path, "one")
    assert seen.running
    assert seen.note is not None
    assert (seen.note.pid, seen.note.url) == (pid, "http://127.0.0.1:9/api")
    assert os.getsid(pid) == pid  # no terminal's end reaches it
    with pytest.raises(ServiceError, match="one of this project runs already"), registered(tmp_path, "one"):
        pass
    assert stop(tmp_path, "one", 30)
    assert not alive(pid)
    assert daemon_state(tmp_path, "one") == daemons.DaemonState("one", running=False, note=None)


@pytest.mark.slow
def test_a_service_that_was_killed_is_known_and_can_be_started_again(tmp_path: Path) -> None:
    pid = started(tmp_path)
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: daemon_state(tmp_path, "one").killed)
    again = started(tmp_path)
    assert again != pid
    assert daemon_state(tmp_path, "one").running
    assert stop(tmp_path, "one", 30)


@pytest.mark.slow
def test_a_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"one did not start: no such colour"):
        start(tmp_path, "one", [sys.executable, "-c", "import sys; sys.exit('error: no such colour')"], ROOT)


def test_another_process_with_the_pid_of_a_note_is_left_alone(tmp_path: Path) -> None:
    """The lock is held, by a process that has not written its note yet: the old one names a stranger."""
    with subprocess.Popen(["sleep", "600"]) as stranger:
        now = find_process(stranger.pid)
        assert now is not None
        with registered(tmp_path, "one"), LockFile(tmp_path / "one.lock") as file:
            note = {"pid": stranger.pid, "started": now.started - 1, "since": "2026-01-01T00:00:00+00:00"}
            file.write_notes([note])
            assert daemon_state(tmp_path, "one").running
            assert not stop(tmp_path, "one", 1)
        assert alive(stranger.pid)
        stranger.kill()


def test_only_the_owner_may_read_locks(tmp_path: Path) -> None:
    with registered(tmp_path, "one"):
        assert (tmp_path / "one.lock").stat().st_mode & 0o777 == 0o600
        assert json.loads((tmp_path / "one.lock").read_text())["pid"] == os.getpid()


def test_two_commands_at_once_are_refused(tmp_path: Path) -> None:
    with (
        daemons.alone_with_daemons(tmp_path),
        pytest.raises(ServiceError, match="another `darkroom up`"),
        daemons.alone_with_daemons(tmp_path),
    ):
        pass
