"""Wherever DVC is called it may raise anything: each place in turn does, and the command ends in one line."""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from darkroom.base.errors import DarkroomError
from darkroom.base.exits import Exit
from darkroom.cli import main as cli
from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions
from tests.darkroom.repositories import make, serial_repro
from tests.darkroom.shapes import Shape

PIPELINE = """\
stages:
  one: {cmd: cat raw.txt > one.txt, deps: [raw.txt], params: [rate], outs: [one.txt]}
  two: {cmd: cat one.txt > two.txt, deps: [one.txt], outs: [two.txt]}
"""
Place = tuple[str, int, str]
"""A line of ours, by module and number, and the function of DVC's that it calls."""


FAULT = "darkroom itself failed"
OURS = ("darkroom.repository.", "darkroom.workspace.")
"""The packages that call DVC."""
GIVING_BACK = {("dvc.lock", "unlock"), ("dvc.lock", "__exit__")}
"""What gives a lock back: one that does nothing would keep the lock, and all would wait for it."""


class OddError(Exception):
    """None that anybody has foreseen."""


class Calls:
    """DVC's functions as ours call them: which places were seen, and where one raises."""

    def __init__(self, fails: Place | None = None) -> None:
        self.seen: dict[Place, None] = {}
        self._fails = fails

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or (self._fails and frame.f_code.co_name != self._fails[2]):
            return
        caller = frame.f_back
        if caller is None:
            return
        ours, theirs = caller.f_globals.get("__name__", ""), frame.f_globals.get("__name__", "")
        if not ours.startswith(OURS) or theirs.partition(".")[0] not in ("dvc", "dvc_data"):
            return
        if (theirs, frame.f_code.co_name) in GIVING_BACK:
            return
        place = (ours, caller.f_lineno, frame.f_code.co_name)
        self.seen.setdefault(place)
        if place == self._fails:
            sys.setprofile(None)  # it has failed, and goes on at its usual pace
            raise OddError("odd")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {"dvc.yaml": PIPELINE, "params.yaml": "rate: 1\n", "raw.txt": "raw\n"}
    root = make(tmp_path / "r", Shape("watched", files, add=("raw.txt",)), tmp_path)
    assert serial_repro(root)
    return root


def planned(root: Path, calls: Calls) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), calls.watched():
        code = cli.run_command(["plan", "--repo", str(root)])
    return code, err.getvalue()


@pytest.mark.slow
def test_each_call_of_a_plan_may_fail(root: Path) -> None:
    (root / "params.yaml").write_text("rate: 2\n")
    calls = Calls()
    assert planned(root, calls) == (Exit.WORK_TO_DO, "")
    assert len(calls.seen) > 20
    ended = {place: planned(root, Calls(fails=place)) for place in calls.seen}
    right = {(Exit.WRONG_INPUT, 1), (Exit.WORK_TO_DO, 0), (Exit.FAILED, 0)}
    assert {place: end for place, end in ended.items() if (end[0], end[1].count("\n")) not in right} == {}


@pytest.mark.slow
def test_each_call_of_a_run_may_fail(root: Path) -> None:
    rates = iter(range(2, 1000))

    def ran(calls: Calls) -> str:
        (root / "params.yaml").write_text(f"rate: {next(rates)}\n")
        try:
            with calls.watched():
                report = run_pipeline(RunOptions(repo=root, keep_going=True))
        except DarkroomError as error:
            return str(error)
        except OddError:
            return FAULT
        return "; ".join(report.errors)

    calls = Calls()
    assert ran(calls) == ""
    assert len(calls.seen) > 40
    said = {place: ran(Calls(fails=place)) for place in calls.seen}
    assert {place: text for place, text in said.items() if "\n" in text or FAULT in text} == {}
    assert ran(Calls()) == ""
    assert serial_repro(root)
