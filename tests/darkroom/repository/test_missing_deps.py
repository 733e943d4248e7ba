"""A stage whose deps are not there and will not be made: the plan says so, as the run would fail at it."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo

from darkroom.base.exits import Exit
from darkroom.cli.main import run_command
from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Outcome
from darkroom.schedule.plan import Action, PlannedStage
from tests.darkroom.repositories import git, make, serial_repro
from tests.darkroom.shapes import Shape

MAKE = "  make: {cmd: 'mkdir -p d; cp src d/x', deps: [src], outs: [d]}\n"


def planned(root: Path, **options: object) -> dict[str, PlannedStage]:
    plan = make_plan(RunOptions(repo=root, **options))  # type: ignore[arg-type]
    return {stage.name: stage for stage in plan.stages}


def repository(tmp_path: Path, stages: str, files: dict[str, str | None] | None = None) -> Path:
    held = {"dvc.yaml": f"stages:\n{stages}", "src": "1\n", **(files or {})}
    return make(tmp_path / "r", Shape("missing", held), tmp_path)


@pytest.mark.parametrize(
    ("stage", "files", "reason"),
    [
        ("deps: [src, gone]", {}, "dep gone: missing, and no stage makes it"),
        ("deps: [src, data/gone]", {"data/x": "1\n"}, "dep data/gone: missing, and no stage makes it"),
        ("deps: [src], params: [k]", {}, "dep params.yaml: missing, and no stage makes it"),
        ("deps: [src], params: [k]", {"params.yaml": "l: 1\n"}, "param params.yaml: k: missing"),
        ("deps: [src], params: [{p.json: [a.b]}]", {"p.json": '{"a": 1}'}, "param p.json: a.b: missing"),
        ("deps: [src], params: [{o.yaml: [k]}]", {"o.yaml": "k: [1\n"}, "dep o.yaml: cannot be read: "),
        ("deps: [src, link]", {}, "dep link: a link to what is gone"),
        ("deps: [src, folder]", {"folder/x": "1\n"}, "dep folder: a link to what is gone"),
    ],
)
@pytest.mark.parametrize("known", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_is_missing_is_said(
    tmp_path: Path, stage: str, files: dict[str, str | None], reason: str, known: bool
) -> None:
    after = "  after: {cmd: cp o p, deps: [o], outs: [p]}\n  last: {cmd: cp p q, deps: [p], outs: [q]}\n"
    root = repository(tmp_path, f"  one: {{cmd: cp src o, {stage}, outs: [o]}}\n{after}", files)
    if known:  # recorded once, as it was without that dep
        whole = (root / "dvc.yaml").read_text()
        (root / "dvc.yaml").write_text(whole.replace(stage, "deps: [src]"))
        assert run_pipeline(RunOptions(repo=root)).well
        (root / "dvc.yaml").write_text(whole)
    for name in ("link", "folder/link"):
        if (root / name).parent.exists():
            (root / name).symlink_to("nowhere")
    found = planned(root)
    assert [one.action for one in found.values()] == [Action.CANNOT_RUN] * 3
    assert found["one"].reasons[0].startswith(reason)
    assert found["after"].reasons == ("one cannot run",)
    assert found["last"].reasons == ("after cannot run",)
    assert not serial_repro(root)
    outcomes = run_pipeline(RunOptions(repo=root)).outcomes()
    assert outcomes == {"one": Outcome.FAILED, "after": Outcome.BLOCKED, "last": Outcome.BLOCKED}


@pytest.mark.slow
def test_below_an_out_its_maker_decides(tmp_path: Path) -> None:
    root = repository(tmp_path, f"{MAKE}  use: {{cmd: cp src o, deps: [d/y], outs: [o]}}\n")
    assert planned(root)["use"].action is Action.RUN
    run_pipeline(RunOptions(repo=root))
    found = planned(root)
    assert found["make"].action is Action.SKIP
    assert (found["use"].action, found["use"].reasons) == (
        Action.CANNOT_RUN,
        ("dep d/y: missing, and make does not make it",),
    )


@pytest.mark.slow
def test_of_what_a_stage_makes_that_is_not_asked_for_it_is_named(tmp_path: Path) -> None:
    root = repository(tmp_path, f"{MAKE}  use: {{cmd: cp d/x o, deps: [d], outs: [o]}}\n")
    found = planned(root, targets=("use",), single_item=True)
    assert found["use"].action is Action.CANNOT_RUN
    assert found["use"].reasons == ("dep d: missing, run the stage that makes it first: make",)
    assert planned(root)["use"].action is Action.RUN


@pytest.mark.slow
def test_a_forced_stage_is_started_as_by_dvc(tmp_path: Path) -> None:
    root = repository(tmp_path, "  one: {cmd: cp src o; touch gone, deps: [src, gone], outs: [o]}\n")
    assert planned(root)["one"].action is Action.CANNOT_RUN
    assert planned(root, force=True)["one"].action is Action.RUN
    assert run_pipeline(RunOptions(repo=root, force=True)).well


def test_the_exit_code_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = "  one: {cmd: cp src o, deps: [src, gone], outs: [o]}\n"
    two = one + "  two: {cmd: cp src p, deps: [src], outs: [p]}\n"
    root = repository(tmp_path, two)
    words = ["--repo", str(root)]
    assert run_command(["plan", *words]) == Exit.FAILED
    said = capsys.readouterr().out
    assert "cannot-run" in said
    assert "dep gone: missing, and no stage makes it" in " ".join(said.split())
    assert "1 stage to run, 1 cannot run" in said
    assert run_command(["plan", "--json", *words]) == Exit.FAILED
    shown = json.loads(capsys.readouterr().out)["stages"]
    assert {one["name"]: one["action"] for one in shown} == {"one": "cannot-run", "two": "run"}
    assert run_command(["run", "--dry", *words]) == Exit.FAILED
    (root / "gone").touch()
    assert run_command(["plan", *words]) == Exit.WORK_TO_DO


@pytest.mark.parametrize("cached", [True, False])
def test_data_that_is_gone_and_outs_of_frozen_stages_cannot_be_recorded(tmp_path: Path, cached: bool) -> None:
    root = repository(
        tmp_path,
        "  lookup: {cmd: cp src l, deps: [src], outs: [l], frozen: true}\n"
        "  uses: {cmd: cat l d > u, deps: [l, d], outs: [u]}\n"
        "  apart: {cmd: cp src a, deps: [src], outs: [a]}\n",
        {"d": "2\n"},
    )
    git(root, "rm", "-q", "--cached", "d")
    with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
        repo.add("d")
    (root / "d").unlink()
    if not cached:
        shutil.rmtree(root / ".dvc/cache")
    found = planned(root)
    ways = "it is in DVC's cache: dvc checkout d.dvc" if cached else "put it there again"
    assert {name: stage.action for name, stage in found.items()} == {
        "lookup": Action.CANNOT_RUN,
        "d.dvc": Action.CANNOT_RUN,
        "uses": Action.CANNOT_RUN,
        "apart": Action.RUN,
    }
    assert found["d.dvc"].reasons[0].startswith(f"d: no such file; {ways}")
    assert "lookup, which makes it, is frozen" in found["lookup"].reasons[0]
    assert set(found["uses"].reasons) == {"lookup cannot run", "d.dvc cannot run"}
    report = run_pipeline(RunOptions(repo=root, keep_going=True))
    assert {name: outcome for name, outcome in report.outcomes().items() if outcome is not Outcome.RAN} == {
        "lookup": Outcome.FAILED,
        "d.dvc": Outcome.FAILED,
        "uses": Outcome.BLOCKED,
    }
