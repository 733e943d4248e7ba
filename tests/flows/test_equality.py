"""Two copies of a repository, one by serial `dvc repro`, one in parallel: every byte is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.run import RunOptions, run_pipeline
from tests.flows.repositories import contents, make, put, serial_repro
from tests.flows.shapes import SHAPES, Shape


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
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
        assert contents(parallel) == contents(serial), f"step {number}"
