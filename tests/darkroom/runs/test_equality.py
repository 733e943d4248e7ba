"""Two copies of a repository, one by serial `dvc repro`, one in parallel: every byte is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions, RunReport
from darkroom.schedule.events import Outcome
from darkroom.schedule.plan import Action
from tests.darkroom.repositories import contents, make, put, serial_repro
from tests.darkroom.shapes import SHAPES, Shape

EXPECTED = {
    Action.SKIP: {Outcome.SKIPPED},
    Action.FROZEN: {Outcome.FROZEN},
    Action.RESTORE: {Outcome.RESTORED},
    Action.RUN: {Outcome.RAN},
    Action.CANNOT_RUN: {Outcome.FAILED, Outcome.BLOCKED},
    Action.MAY_RUN: {Outcome.RAN, Outcome.RESTORED, Outcome.SKIPPED},
}


def assert_as_planned(report: RunReport) -> None:
    """What was planned happened; RUN may end in a restore where what an upstream would produce was open."""
    actions = {stage.name: stage.action for stage in report.plan.stages}
    for stage in report.plan.stages:
        allowed = set(EXPECTED[stage.action])
        if any(actions[other] in (Action.RUN, Action.MAY_RUN, Action.RESTORE) for other in stage.needs):
            allowed |= {Outcome.RESTORED} if stage.action is Action.RUN else set()
        if not report.well:
            sure = stage.action in (Action.SKIP, Action.RESTORE)
            allowed |= {Outcome.BLOCKED} if sure else {Outcome.BLOCKED, Outcome.FAILED}
        assert report.stages[stage.name].outcome in allowed, stage


QUICK = ("chain", "data")


@pytest.mark.parametrize(
    "shape",
    [pytest.param(s, id=s.name, marks=() if s.name in QUICK else pytest.mark.slow) for s in SHAPES],
)
def test_shape(shape: Shape, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    put(outside, shape.outside or {}, outside)
    serial, parallel = (make(tmp_path / name, shape, outside) for name in ("serial", "parallel"))
    for number, step in enumerate(({}, *shape.steps)):
        for root in (serial, parallel):
            put(root, step, outside)
        serial_repro(serial, targets=list(shape.targets), all_pipelines=shape.all_pipelines)
        options = RunOptions(repo=parallel, targets=shape.targets, all_pipelines=shape.all_pipelines, jobs=4)
        report = run_pipeline(options)
        assert report.errors == (), f"step {number}"
        assert_as_planned(report)
        assert contents(parallel) == contents(serial), f"step {number}"
