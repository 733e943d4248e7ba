"""Stages that change what they depend on: recorded as `dvc repro` does; other people's edits are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from darkroom.base.errors import MetaError
from darkroom.processes.witness import Witness
from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions, RunReport
from darkroom.schedule.events import Event, Outcome, StageAgain, StageLine
from tests.darkroom.repositories import contents, make, serial_repro
from tests.darkroom.shapes import Shape


def watching_is_allowed() -> bool:
    try:
        Witness([]).close()
    except OSError:
        return False
    return True


needs_a_witness = pytest.mark.skipif(
    not watching_is_allowed(), reason="the kernel tells root alone who changes a file"
)


def stages(**commands: tuple[str, str]) -> str:
    """A dvc.yaml of stages: each a command and its deps; the out is the stage's name."""
    entries = (
        f"  {name}: {{cmd: {json.dumps(cmd)}, deps: [{deps}], outs: [{name}]}}"
        for name, (cmd, deps) in commands.items()
    )
    return "\n".join(("stages:", *entries, ""))


def two_copies(tmp_path: Path, files: dict[str, str | None]) -> tuple[Path, Path]:
    serial, parallel = (
        make(tmp_path / name, Shape("own", files), tmp_path) for name in ("serial", "parallel")
    )
    return serial, parallel


def run(root: Path, **options: Any) -> RunReport:
    return run_pipeline(RunOptions(repo=root, **{"jobs": 4, **options}))


IN_PYTHON = f"{sys.executable} -c 'open(chr(110), chr(97)).write(chr(49))'; cp n o"
CASES: dict[str, dict[str, str | None]] = {
    "in place": {"dvc.yaml": stages(o=("echo >> n; cp n o", "n")), "n": "1\n"},
    "by another program": {"dvc.yaml": stages(o=(IN_PYTHON, "n")), "n": "1\n"},
    "renamed into its place": {"dvc.yaml": stages(o=("sed -i s/1/11/ n; cp n o", "n")), "n": "1\n"},
    "line ends": {"dvc.yaml": stages(o=("sed -i s/.$// n; cp n o", "n")), "n": "1\r\n2\r\n"},
    "by what left the group": {
        "dvc.yaml": stages(o=("setsid -w sh -c \"sh -c 'echo >> n'\"; cp n o", "n")),
        "n": "1\n",
    },
    "an out of another": {
        "dvc.yaml": stages(
            log=("echo 1 > log", "n"), o=("echo 2 >> log; cp log o", "log"), p=("cp o p", "o")
        ),
        "n": "1\n",
    },
    "a file of a folder": {
        "dvc.yaml": stages(o=("echo 2 >> d/sub/x; cp d/sub/x o", "d")),
        "d/sub/x": "1\n",
        "d/y": "1\n",
    },
    "a file less and one more": {
        "dvc.yaml": stages(o=("mv d/x d/y; echo > d/z; rm d/a; ls d > o", "d")),
        "d/x": "1\n",
        "d/a": "1\n",
    },
    "params": {
        "dvc.yaml": "stages: {o: {cmd: 'echo \"a: 2\" > params.yaml; cp params.yaml o', params: [a],"
        " outs: [o]}}\n",
        "params.yaml": "a: 1\n",
    },
    "behind a link": {
        "dvc.yaml": stages(o=("ln -sfn n other; echo 2 >> other; cp n o", "n")),
        "n": "1\n",
    },
    "two commands": {
        "dvc.yaml": "stages: {o: {cmd: [echo 2 >> n, cp n o, echo 3 >> n], deps: [n], outs: [o]}}\n",
        "n": "1\n",
    },
}


QUICK = ("in place", "a file of a folder")


@needs_a_witness
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES]
)
def test_what_a_stage_changes_itself_is_recorded_as_a_serial_run_does(tmp_path: Path, case: str) -> None:
    serial, parallel = two_copies(tmp_path, CASES[case])
    assert serial_repro(serial)
    lines: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, StageLine):
            lines.append(event.line)

    report = run_pipeline(RunOptions(repo=parallel, jobs=4), observe=listen)
    assert report.errors == ()
    assert contents(parallel) == contents(serial)
    assert any("changed by the stage itself: recorded as it is now" in line for line in lines)
    if case != "an out of another":  # its maker's out is another one now, to DVC too
        assert set(run(parallel).outcomes().values()) == {Outcome.SKIPPED}


WAITING = "echo 2 >> n; cp n o; echo go; while [ ! -e edited ]; do sleep .02; done"


@pytest.mark.parametrize(
    "edit",
    [
        "echo 3 >> n",
        pytest.param("sed -i s/1/3/ n", marks=pytest.mark.slow),
        pytest.param("cp n m; echo 3 > m; mv m n", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("command", [WAITING, WAITING.removeprefix("echo 2 >> n; ")])
def test_what_somebody_else_changes_is_refused(tmp_path: Path, edit: str, command: str) -> None:
    files: dict[str, str | None] = {"dvc.yaml": stages(o=(command, "n")), "n": "1\n"}
    root = make(tmp_path / "r", Shape("edited", files), tmp_path)

    def edit_meanwhile(event: Event) -> None:
        if isinstance(event, StageLine):
            subprocess.run(["sh", "-c", f"{edit}; touch edited"], cwd=root, check=True)

    report = run_pipeline(RunOptions(repo=root), observe=edit_meanwhile)
    (error,) = report.errors
    assert error.startswith("o: n changed while it ran, ")
    assert ": not recorded, run again" in error
    if watching_is_allowed():
        assert "by another process: pid " in error
    assert not (root / "dvc.lock").exists()


@pytest.mark.slow
def test_what_a_stage_says_that_it_changes_is_recorded_whoever_changes_it(tmp_path: Path) -> None:
    declared = "    meta: {changes_deps: [n]}\n"
    pipeline = f"stages:\n  o:\n    cmd: {json.dumps(WAITING)}\n    deps: [n, m]\n    outs: [o]\n{declared}"
    root = make(tmp_path / "r", Shape("said", {"dvc.yaml": pipeline, "n": "1\n", "m": "1\n"}), tmp_path)

    def edit_meanwhile(event: Event) -> None:
        if isinstance(event, StageLine) and event.line == "go":
            (root / "n").write_text("3\n")
            (root / "edited").touch()

    assert run_pipeline(RunOptions(repo=root), observe=edit_meanwhile).well
    assert run(root).outcomes() == {"o": Outcome.SKIPPED}


@pytest.mark.slow
def test_stages_beside_a_change_that_was_said_keep_to_the_serial_order(tmp_path: Path) -> None:
    pipeline = stages(a=("cp n a; sleep .3", "n"), b=("echo 2 >> n; cp n b", "n"), c=("cp n c", "n"))
    files: dict[str, str | None] = {
        "dvc.yaml": pipeline.replace("outs: [b]", "outs: [b], meta: {changes_deps: [n]}"),
        "n": "1\n",
    }
    serial, parallel = two_copies(tmp_path, files)
    assert serial_repro(serial)
    assert run(parallel).well
    assert contents(parallel) == contents(serial)
    assert (parallel / "a").read_text() == "1\n"


def test_a_change_of_what_is_no_dep_is_refused_in_one_line(tmp_path: Path) -> None:
    pipeline = stages(o=("cp n o", "n")).replace("outs:", "meta: {changes_deps: [m]}, outs:")
    root = make(tmp_path / "r", Shape("said", {"dvc.yaml": pipeline, "n": "1\n"}), tmp_path)
    with pytest.raises(MetaError, match=r"^dvc.yaml: o.meta.changes_deps: m is none of the stage's deps"):
        make_plan(RunOptions(repo=root))


UNTIL = "while [ ! -e {0} ]; do sleep .02; done"


@pytest.mark.slow
@needs_a_witness
def test_a_stage_whose_dep_another_one_changed_meanwhile_is_run_again_apart(tmp_path: Path) -> None:
    pipeline = stages(
        log=("echo 1 > log", "n"),
        b=(f"{UNTIL.format('started')}; echo 2 >> log; touch changed; cp log b", "log"),
        c=(f"touch started; {UNTIL.format('changed')}; cp log c", "log"),
    )
    serial, parallel = two_copies(tmp_path, {"dvc.yaml": pipeline, "n": "1\n"})
    (serial / "started").touch()
    assert serial_repro(serial)
    again: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, StageAgain):
            again.append(f"{event.stage}: {event.reason}")

    report = run_pipeline(RunOptions(repo=parallel, jobs=4), observe=listen)
    assert report.errors == ()
    assert again == ["c: log changed while it ran, by b"]
    assert (parallel / "dvc.lock").read_text() == (serial / "dvc.lock").read_text()


@pytest.mark.slow
@needs_a_witness
def test_two_stages_that_change_the_same_file_side_by_side_are_both_recorded(tmp_path: Path) -> None:
    both = "touch {0}.started; while [ ! -e {1}.started ]; do sleep .02; done; echo {0} >> log; cp log {0}"
    pipeline = stages(b=(both.format("b", "c"), "log"), c=(both.format("c", "b"), "log"))
    root = make(tmp_path / "r", Shape("both", {"dvc.yaml": pipeline, "log": "1\n"}), tmp_path)
    report = run(root)
    assert report.errors == ()
    assert report.outcomes() == {"b": "ran", "c": "ran"}
