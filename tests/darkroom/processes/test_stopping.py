"""Ctrl-C on a real terminal: once, checkpoints are written and the run says how to go on; twice, now."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Outcome
from tests.darkroom.repositories import make, put
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import alive, wait_for
from tests.places import ROOT

PIPELINE = """\
stages:
  first:
    cmd: echo 1 > first.txt
    outs: [first.txt]
  training:
    cmd: sh train.sh
    deps: [first.txt]
    outs: [model.txt]
  after:
    cmd: cat model.txt > after.txt
    deps: [model.txt]
    outs: [after.txt]
"""
# The shell that DVC calls ends at once by SIGTERM; what it called needs a second for its checkpoint.
POLITE = (
    "trap 'echo half > model.txt; sleep 1; echo saved > checkpoint; exit 143' TERM\n"
    "echo $$ > pid; echo under way; while :; do sleep 0.1; done\n"
)
STUBBORN = "trap '' TERM INT\necho $$ > pid; echo under way; while :; do sleep 0.1; done\n"


class Terminal:
    """A command under a terminal of its own, and what it shows."""

    def __init__(self, command: list[str], cwd: Path) -> None:
        self._master, slave = pty.openpty()
        name = os.ttyname(slave)
        # The first terminal that the leader of a new session opens is its controlling one.
        script = f'exec "$@" < {name} > {name} 2>&1'
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *command], cwd=cwd, start_new_session=True
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self._shown = b""

    def shown(self) -> str:
        with contextlib.suppress(OSError):  # nothing there, or the other end is closed
            while chunk := os.read(self._master, 1 << 16):
                self._shown += chunk
        return self._shown.decode(errors="replace")

    def shows(self, text: str) -> bool:
        return wait_for(lambda: text in self.shown() or self.process.poll() is not None, 120) and (
            text in self.shown()
        )

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def ended(self) -> bool:
        """Read on meanwhile: a full terminal would keep its writers waiting."""
        return wait_for(lambda: (self.shown() or True) and self.process.poll() is not None, 60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


@contextlib.contextmanager
def terminal(command: list[str], cwd: Path = ROOT) -> Iterator[Terminal]:
    shown = Terminal(command, cwd)
    try:
        yield shown
    finally:
        shown.close()


def repository(tmp_path: Path, train: str) -> Path:
    return make(tmp_path / "r", Shape("stop", {"dvc.yaml": PIPELINE, "train.sh": train}), tmp_path)


DARKROOM = [sys.executable, "-c", "from darkroom.cli.main import main; main()", "run", "--repo"]
# The same without Prefect's server.
ALONE = """
import sys, threading
from pathlib import Path
from darkroom.schedule.events import StageLine
from darkroom.runs.engine import RunOptions, run_pipeline
from darkroom.runs.local_executor import LocalExecutor
from darkroom.processes.stopping import stopping_on_signals

def tell(event):
    if isinstance(event, StageLine):
        print(event.line, flush=True)

options = RunOptions(repo=Path(sys.argv[1]))
executor = LocalExecutor()
with stopping_on_signals(options.stop, executor.is_busy):
    report = run_pipeline(options, executor=executor, observe=tell)
print({name: str(outcome) for name, outcome in report.outcomes().items()})
"""


@pytest.mark.slow
def test_ctrl_c_lets_a_checkpoint_be_written_and_says_how_to_go_on(tmp_path: Path) -> None:
    root = repository(tmp_path, POLITE)
    with terminal([*DARKROOM, str(root)]) as shown:
        assert shown.shows("under way"), shown.shown()
        shown.press_ctrl_c()
        assert shown.ended(), shown.shown()
        said = shown.shown()
        assert shown.process.returncode == 130
    assert "Ctrl-C again ends it now" in said
    assert "stopped: 1 of 3 stages are done and kept; `darkroom run` goes on from there" in said
    assert "the last lines of" not in said  # they stand above, and nothing has failed
    assert (root / "checkpoint").read_text() == "saved\n"
    assert not alive(int((root / "pid").read_text()))
    put(root, {"train.sh": "cat checkpoint > model.txt\n"}, tmp_path)
    report = run_pipeline(RunOptions(repo=root))
    assert report.outcomes() == {"first": "skipped", "training": "ran", "after": "ran"}


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_a_stage_that_does_not_end_by_itself_is_ended(tmp_path: Path, times: int) -> None:
    root = repository(tmp_path, STUBBORN)
    with terminal([sys.executable, "-c", ALONE, str(root)]) as shown:
        assert shown.shows("under way"), shown.shown()
        shown.press_ctrl_c()
        assert shown.shows("Ctrl-C again ends it now")
        pid = int((root / "pid").read_text())
        if times == 2:
            assert alive(pid)
            shown.press_ctrl_c()
        assert shown.ended(), shown.shown()
        assert not alive(pid)
        assert ("KeyboardInterrupt" in shown.shown()) == (times == 2)
    put(root, {"train.sh": "echo 1 > model.txt\n"}, tmp_path)
    assert run_pipeline(RunOptions(repo=root)).outcomes()["first"] is Outcome.SKIPPED
