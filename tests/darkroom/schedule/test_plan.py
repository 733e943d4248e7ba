"""What a plan says, before anything runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import jsonschema
import pytest

from darkroom.cli import main as cli
from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, Outcome, StageLine
from darkroom.schedule.plan import Action, Made, State, decide
from tests.darkroom.repositories import contents, make, put
from tests.darkroom.shapes import CHAIN, FROZEN, PARAMS_MADE, SHAPES, Shape
from tests.places import ROOT

PIPELINE = """\
stages:
  prepare:
    cmd: cat in.txt > prepared.txt
    deps: [in.txt]
    outs: [prepared.txt]
  train:
    cmd: cat prepared.txt > model.txt
    deps: [prepared.txt]
    params: [train.rate, train.depth]
    outs: [model.txt]
  evaluate:
    cmd: cat model.txt > score.txt
    deps: [model.txt]
    outs: [score.txt]
  other:
    cmd: echo other > other.txt
    outs: [other.txt]
"""
PARAMS = "train:\n  rate: 0.1\n  depth: [1, 2]\n"


def said(root: Path, **options: object) -> dict[str, tuple[str, tuple[str, ...]]]:
    plan = make_plan(RunOptions(repo=root, **options))  # type: ignore[arg-type]
    return {stage.name: (stage.action.value, stage.reasons) for stage in plan.stages}


def test_actions_and_reasons_as_files_and_params_change(tmp_path: Path) -> None:
    files = {"dvc.yaml": PIPELINE, "params.yaml": PARAMS, "in.txt": "1\n"}
    root = make(tmp_path / "r", Shape("plan", files), tmp_path)
    assert said(root) == dict.fromkeys(("prepare", "train", "evaluate", "other"), ("run", ("never run",)))
    run_pipeline(RunOptions(repo=root))
    assert set(said(root).values()) == {("skip", ())}

    put(root, {"params.yaml": PARAMS.replace("0.1", "0.2")}, tmp_path)
    assert said(root) == {
        "prepare": ("skip", ()),
        "train": ("run", ("param params.yaml: train.rate: 0.1 -> 0.2",)),
        "evaluate": ("may-run", ("depends on what train will produce",)),
        "other": ("skip", ()),
    }
    run_pipeline(RunOptions(repo=root))

    put(root, {"in.txt": "2\n"}, tmp_path)
    assert said(root)["prepare"] == ("run", ("dep in.txt: modified",))
    assert said(root)["train"] == ("may-run", ("depends on what prepare will produce",))

    put(root, {"in.txt": "1\n", "params.yaml": PARAMS, "other.txt": None}, tmp_path)
    assert said(root) == {
        "prepare": ("skip", ()),
        "train": ("restore", ("param params.yaml: train.rate: 0.2 -> 0.1",)),
        "evaluate": ("skip", ()),  # the rate does not show in the model
        "other": ("run", ("out other.txt: not here yet: in the cache",)),
    }
    assert said(root, targets=("evaluate",)).keys() == {"prepare", "train", "evaluate"}
    assert said(root, force=True)["evaluate"] == ("run", ("forced",))


def test_a_chain_whose_files_are_gone_is_restored_to_a_former_state(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("chain", {"dvc.yaml": CHAIN, "in.txt": "1\n"}), tmp_path)
    run_pipeline(RunOptions(repo=root))
    put(root, {"in.txt": "22\n"}, tmp_path)
    run_pipeline(RunOptions(repo=root))
    put(root, {"in.txt": "1\n", "a.txt": None, "b.txt": None}, tmp_path)
    planned = {name: action for name, (action, _) in said(root).items()}
    assert set(planned.values()) == {"restore"}
    outcomes = run_pipeline(RunOptions(repo=root)).outcomes()
    assert outcomes == dict.fromkeys(planned, Outcome.RESTORED)


def test_a_frozen_stage_cuts_what_comes_before(tmp_path: Path) -> None:
    root = make(
        tmp_path / "r", Shape("frozen", {"dvc.yaml": FROZEN, "in.txt": "1\n", "ice.txt": "i\n"}), tmp_path
    )
    assert said(root) == {
        "up": ("run", ("never run",)),
        "ice": ("frozen", ("never run",)),
        "down": ("run", ("never run",)),
    }


def test_the_contract_and_the_times(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("chain", {"dvc.yaml": CHAIN, "in.txt": "1\n"}), tmp_path)
    first = make_plan(RunOptions(repo=root)).to_json()
    assert first["stages"][1] == {
        "name": "b",
        "action": "run",
        "reasons": ["never run"],
        "needs": ["a"],
        "seconds": None,
        "pool": None,
        "bytes_to_move": 0,
    }
    assert (first["seconds"], first["critical_path"]) == (None, ["a", "b", "c"])
    run_pipeline(RunOptions(repo=root, targets=("a",)))
    a, b, c = (rest := make_plan(RunOptions(repo=root))).stages
    assert a.seconds is not None
    assert (b.seconds, c.seconds, rest.seconds) == (None, None, 2 * a.seconds)
    run_pipeline(RunOptions(repo=root))
    again = make_plan(RunOptions(repo=root, force=True))
    assert again.seconds is not None
    assert again.seconds == sum(stage.seconds or 0 for stage in again.stages)
    assert make_plan(RunOptions(repo=root)).to_json()["seconds"] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["foreach", "kinds"])
def test_what_is_printed_is_valid_by_the_schema_in_the_docs(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = next(shape for shape in SHAPES if shape.name == name)
    root = make(tmp_path / "r", shape, tmp_path)
    words = ["plan", "--json", "--repo", str(root)]
    schema = json.loads((ROOT / "docs/plan.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for _ in range(2):
        cli.run_command(words)
        plan = json.loads(capsys.readouterr().out)
        assert plan["stages"]
        assert list(validator.iter_errors(plan)) == []
        run_pipeline(RunOptions(repo=root))
    del plan["stages"][0]["action"]
    assert [error.message for error in validator.iter_errors(plan)] == ["'action' is a required property"]


@pytest.mark.slow
def test_a_plan_is_made_while_a_run_goes_on_and_changes_nothing(tmp_path: Path) -> None:
    pipeline = CHAIN.replace("echo b", "echo waiting; while [ ! -e go ]; do sleep 0.05; done; echo b")
    root = make(tmp_path / "r", Shape("chain", {"dvc.yaml": pipeline, "in.txt": "1\n"}), tmp_path)
    waiting = threading.Event()

    def watch(event: Event) -> None:
        if isinstance(event, StageLine):
            waiting.set()

    running = threading.Thread(target=run_pipeline, args=(RunOptions(repo=root),), kwargs={"observe": watch})
    running.start()
    assert waiting.wait(120)
    before = contents(root)
    script = (
        "import sys; from pathlib import Path; from darkroom.runs.engine import *\n"
        "print([str(s.action) for s in make_plan(RunOptions(repo=Path(sys.argv[1]))).stages])"
    )
    here = ROOT
    command = [sys.executable, "-c", script, str(root)]
    planned = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    assert contents(root) == before
    (root / "go").touch()
    running.join()
    assert planned.stdout.strip() == "['skip', 'run', 'run']"


def test_by_force_data_is_committed_again_too(tmp_path: Path) -> None:
    root = make(tmp_path / "r", next(shape for shape in SHAPES if shape.name == "data"), tmp_path)
    run_pipeline(RunOptions(repo=root))
    report = run_pipeline(RunOptions(repo=root, force=True))
    assert {str(stage.action) for stage in report.plan.stages} == {"run"}
    assert set(report.outcomes().values()) == {Outcome.RAN}


def test_decisions_follow_what_upstreams_will_do() -> None:
    def nothing(name: str, hashes: object) -> None:
        return None

    states = [
        State(name="new", own=("never run",)),
        State(name="after", own=(), made=(Made("/x", "1", (), ("new",)),)),
        State(name="data", own=("out d: modified",), data=True),
        State(name="uses", own=(), made=(Made("/d", "1", ("dep d: modified",), ("data",)),)),
        State(name="same", own=(), made=(Made("/e", "1", (), ("data",)),)),
    ]
    decided = decide(states, nothing)
    assert [action for action, _ in decided.values()] == [
        Action.RUN,
        Action.MAY_RUN,
        Action.RUN,
        Action.RUN,
        Action.SKIP,
    ]


def test_a_restored_upstream_decides_by_what_it_will_restore() -> None:
    products = {"up": {"/u": "new"}, "down": {"/v": "other"}}
    asked: list[tuple[str, dict[str, str]]] = []

    def restorable(name: str, hashes: object) -> dict[str, str] | None:
        asked.append((name, dict(hashes)))  # type: ignore[call-overload]
        return products.get(name)

    states = [
        State(name="up", own=("dep in: modified",)),
        State(name="down", own=(), made=(Made("/u", "old", (), ("up",)),)),
        State(name="same", own=(), made=(Made("/u", "new", (), ("up",)),)),
        State(name="folder", own=(), made=(Made("/", "h", (), ("up",)),)),
        State(name="added", own=(), made=(Made("/u", None, (), ("up",), new=("dep u: new",)),)),
        State(name="values", own=(), made=(Made("/u", None, (), ("up",), params=True),)),
    ]
    decided = decide(states, restorable)
    assert [action for action, _ in decided.values()] == [
        Action.RESTORE,
        Action.RESTORE,
        Action.SKIP,
        Action.MAY_RUN,
        Action.RUN,
        Action.MAY_RUN,
    ]
    assert asked == [("up", {}), ("down", {"/u": "new"}), ("added", {"/u": "new"})]


def test_what_was_never_recorded_is_a_reason_whatever_the_upstream_does(tmp_path: Path) -> None:
    files = {"dvc.yaml": PARAMS_MADE, "in.txt": "x: 1\n", "other.txt": "o\n"}
    root = make(tmp_path / "r", Shape("new", files), tmp_path)
    run_pipeline(RunOptions(repo=root))
    pipeline = PARAMS_MADE.replace("[x]", "[x, y]").replace("[other.txt]", "[other.txt, in.txt]")
    put(root, {"in.txt": "x: 2\ny: 1\n", "dvc.yaml": pipeline}, tmp_path)
    assert said(root) == {
        "gen": ("run", ("dep in.txt: modified",)),
        "use": ("run", ("param gen.yaml: y: new",)),
        "whole": ("run", ("dep in.txt: new",)),
    }


def planned(*states: State, restores: tuple[str, ...] = ()) -> dict[str, tuple[Action, tuple[str, ...]]]:
    """The stages in `restores` are in the run-cache."""
    return decide(states, lambda name, _: {f"{name}.txt": "1"} if name in restores else None)


def test_what_needs_what_is_not_there_cannot_run_nor_can_what_needs_that() -> None:
    two = tuple(Made(path, None, (), ("a",)) for path in ("a.txt", "b.txt"))
    assert planned(
        State(name="a", own=("never run",), missing=("x: gone", "y: gone")),
        State(name="b", own=(), made=two),
        State(name="c", own=(), made=(Made("b", None, (), ("b", "a")),)),
        State(name="d", own=(), made=two, forced=True),
        State(name="e", own=(), missing=("z: gone",), forced=True),
    ) == {
        "a": (Action.CANNOT_RUN, ("x: gone", "y: gone")),
        "b": (Action.CANNOT_RUN, ("a cannot run",)),
        "c": (Action.CANNOT_RUN, ("b cannot run", "a cannot run")),
        "d": (Action.CANNOT_RUN, ("a cannot run",)),
        "e": (Action.RUN, ("forced",)),
    }


@pytest.mark.parametrize(
    ("makers", "restores", "expected"),
    [
        ((State(name="a", own=()),), (), (Action.CANNOT_RUN, ("z: gone", "x: gone", "y: gone"))),
        ((State(name="a", own=("never run",)),), (), (Action.CANNOT_RUN, ("z: gone",))),
        ((State(name="a", own=("never run",)),), ("a",), (Action.CANNOT_RUN, ("z: gone",))),
        (
            (State(name="a", own=("never run",), missing=("w: gone",)),),
            (),
            (Action.CANNOT_RUN, ("a cannot run", "z: gone")),
        ),
    ],
)
def test_what_a_maker_brings_may_be_gone_now(
    makers: tuple[State, ...], restores: tuple[str, ...], expected: tuple[Action, tuple[str, ...]]
) -> None:
    made = tuple(Made(path, None, (), ("a", "other"), missing=(f"{path}: gone",)) for path in ("x", "y"))
    user = State(name="user", own=(), made=made, missing=("z: gone",))
    assert planned(State(name="other", own=()), *makers, user, restores=restores)["user"] == expected
    brought = State(name="user", own=("never run",), made=made)
    action = planned(State(name="other", own=()), *makers, brought, restores=restores)["user"][0]
    assert action is (Action.RUN if expected[1] == ("z: gone",) else Action.CANNOT_RUN)


def test_what_is_frozen_or_data_is_forced_without_being_executed() -> None:
    made = (Made("a.txt", "1", ("changed",), ("a",)),)
    assert planned(
        State(name="ice", own=(), frozen=True),
        State(name="forced ice", own=(), frozen=True, forced=True),
        State(name="edited ice", own=("edited",), frozen=True, forced=True),
        State(name="a", own=(), data=True, forced=True),
        State(name="b", own=(), made=made),
        State(name="c", own=("edited",), data=True),
    ) == {
        "ice": (Action.FROZEN, ()),
        "forced ice": (Action.FROZEN, ("forced",)),
        "edited ice": (Action.FROZEN, ("edited",)),
        "a": (Action.RUN, ("forced",)),
        "b": (Action.RUN, ("changed",)),
        "c": (Action.RUN, ("edited",)),
    }


def made_by(*makers: str, path: str = "a.txt", recorded: str | None = "1", params: bool = False) -> Made:
    return Made(path, recorded, (), makers, params=params)


def test_what_is_lost_keeps_from_running_what_needs_it() -> None:
    assert planned(
        State(name="ice", own=("edited",), frozen=True, lost=("out a.txt: gone", "out b.txt: gone")),
        State(name="data", own=(), data=True, forced=True, lost=("out d: gone",)),
        State(name="user", own=(), made=(made_by("ice"), made_by("data", path="d"))),
    ) == {
        "ice": (Action.CANNOT_RUN, ("out a.txt: gone", "out b.txt: gone")),
        "data": (Action.CANNOT_RUN, ("out d: gone",)),
        "user": (Action.CANNOT_RUN, ("ice cannot run", "data cannot run")),
    }


def test_doubts_name_each_maker_that_will_run_or_be_restored_once() -> None:
    both, new = ("a", "b"), State(name="a", own=("never run",))
    other = State(name="b", own=("never run",))
    users = [
        State(name="one", own=(), made=(made_by("a", "b"), made_by("a", "b", path="c.txt"))),
        State(name="two", own=(), made=(made_by("b"), made_by("a"))),
    ]
    ran = "depends on what a, b will produce"
    assert planned(new, other, *users) == {
        **dict.fromkeys(both, (Action.RUN, ("never run",))),
        "one": (Action.MAY_RUN, (ran,)),
        "two": (Action.MAY_RUN, ("depends on what b will produce", "depends on what a will produce")),
    }
    restored = planned(new, other, *users, restores=both)
    assert restored["one"] == (Action.MAY_RUN, ("depends on what a, b will restore",))
    assert restored["two"] == (Action.MAY_RUN, ("depends on what b will restore",))
    mixed = planned(new, other, *users, restores=("b",))
    assert mixed["one"] == (Action.MAY_RUN, ("depends on what a will produce",))
    assert planned(new, State(name="b", own=()), *users, restores=("a",))["one"] == (
        Action.MAY_RUN,
        ("depends on what a will restore",),
    )


def test_what_is_restored_to_another_state_is_a_reason_that_names_its_maker() -> None:
    up = State(name="a", own=("dep in: modified",))
    assert planned(
        up,
        State(name="same", own=(), made=(made_by("a"),)),
        State(name="other", own=("never run",), made=(made_by("a", recorded="2"),)),
        State(name="values", own=(), made=(made_by("a", params=True),)),
        State(name="unknown", own=(), made=(made_by("a", recorded=None),)),
        restores=("a",),
    ) == {
        "a": (Action.RESTORE, ("dep in: modified",)),
        "same": (Action.SKIP, ()),
        "other": (Action.RUN, ("never run", "a is restored to another state")),
        "values": (Action.MAY_RUN, ("depends on what a will restore",)),
        "unknown": (Action.SKIP, ()),
    }


def test_what_repeats_is_never_restored_and_what_depends_on_a_forced_stage_may_run() -> None:
    user = State(name="user", own=(), made=(made_by("a"),))
    always = State(name="a", own=("always",), repeats=True)
    assert planned(always, user, restores=("a",)) == {
        "a": (Action.RUN, ("always",)),
        "user": (Action.MAY_RUN, ("depends on what a will produce",)),
    }
    assert planned(State(name="a", own=(), forced=True), user) == {
        "a": (Action.RUN, ("forced",)),
        "user": (Action.MAY_RUN, ("depends on what a will produce",)),
    }
    assert planned(State(name="a", own=("edited",), forced=True))["a"] == (Action.RUN, ("edited",))


def test_of_what_may_run_others_may_run_and_by_certain_reasons_they_run() -> None:
    start = State(name="a", own=("never run",))
    assert planned(
        start,
        State(name="b", own=(), made=(made_by("a"),)),
        State(name="c", own=(), made=(made_by("b", path="b.txt"),)),
        State(name="d", own=("edited",), made=(made_by("b", path="b.txt"),)),
        State(name="data", own=(), made=(made_by("a"),), data=True),
        restores=("d",),
    ) == {
        "a": (Action.RUN, ("never run",)),
        "b": (Action.MAY_RUN, ("depends on what a will produce",)),
        "c": (Action.MAY_RUN, ("depends on what b will produce",)),
        "d": (Action.RUN, ("edited",)),  # what it would be restored by is not known
        "data": (Action.SKIP, ()),
    }


def test_what_a_restored_maker_holds_nothing_of_is_not_known() -> None:
    held = planned(
        State(name="a", own=("never run",)),
        State(name="user", own=(), made=(made_by("a", path="other.txt"),)),
        restores=("a",),
    )
    assert held["user"] == (Action.MAY_RUN, ("depends on what a will restore",))
