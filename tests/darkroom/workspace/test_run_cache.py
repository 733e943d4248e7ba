"""A result is restored for the very parameters that it was made with, those too that DVC's key drops."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.repo import Repo

from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Outcome
from tests.darkroom.repositories import make, put, serial_repro
from tests.darkroom.shapes import Shape

DVC_YAML = """\
stages:
  s:
    cmd: grep -v other params.yaml > out.txt; echo s >> ../executed
    deps: [in.txt]
    params: [net, other]
    outs: [out.txt]
  after:
    cmd: cat out.txt > after.txt; echo after >> ../executed
    deps: [out.txt]
    outs: [after.txt]
"""


def params(value: object, other: int = 0) -> dict[str, str | None]:
    return {"params.yaml": f"net:\n  layers:\n  - size: {value}\nother: {other}\n"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shape = Shape("sized", {"dvc.yaml": DVC_YAML, "in.txt": "1\n", **params(1)})
    return make(tmp_path / "r", shape, tmp_path)


def executed(root: Path) -> list[str]:
    return (root.parent / "executed").read_text().split()


def run(root: Path) -> tuple[str, Outcome]:
    """What was planned for the stage and what became of it; its out is right in any case."""
    (planned, *_) = make_plan(RunOptions(repo=root)).stages
    report = run_pipeline(RunOptions(repo=root))
    assert report.well
    for out in ("out.txt", "after.txt"):
        assert (root / out).read_text() == (root / "params.yaml").read_text().rpartition("other")[0]
    return planned.action.value, report.stages["s"].outcome


@pytest.mark.slow
def test_each_size_has_a_result_of_its_own(root: Path) -> None:
    assert run(root) == ("run", Outcome.RAN)
    for size in (2, "'2'", 2.0, 3):
        put(root, params(size), root)
        assert run(root) == ("run", Outcome.RAN)
    for size in (1, 2, "'2'", 2.0):
        put(root, params(size), root)
        assert run(root) == ("restore", Outcome.RESTORED)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 8.375779756625729e-07])  # DVC writes the last digit of that as an 8
def test_what_dvc_repro_has_made_is_restored_for_its_own_size_alone(root: Path, size: object) -> None:
    put(root, params(size), root)
    assert serial_repro(root)
    put(root, params(2), root)
    assert run(root) == ("run", Outcome.RAN)
    put(root, params(size), root)
    assert run(root) == ("restore", Outcome.RESTORED)


def test_a_later_dvc_repro_is_not_misled_by_a_run(root: Path) -> None:
    assert run(root) == ("run", Outcome.RAN)
    put(root, params(2), root)
    assert serial_repro(root)
    assert (root / "out.txt").read_text() == "net:\n  layers:\n  - size: 2\n"


def test_dvc_itself_takes_the_result_of_another_size(root: Path) -> None:
    """If this fails DVC has been mended: RunCache and its paragraph in docs/decisions.md can go."""
    assert serial_repro(root)
    put(root, params(2), root)
    assert serial_repro(root)
    assert (root / "out.txt").read_text() == "net:\n  layers:\n  - size: 1\n"


@pytest.mark.slow
def test_the_remotes_run_cache_brings_the_results_of_every_size(root: Path, tmp_path: Path) -> None:
    with Repo(str(root)) as repo, repo.config.edit("repo") as config:
        config["remote"]["kept"] = {"url": str(tmp_path / "remote")}
        config["core"]["remote"] = "kept"
    for size in (1, 2):
        put(root, params(size), root)
        run(root)
    with Repo(str(root)) as repo:
        repo.cloud.push({item for stage in repo.index.stages for item in stage.get_used_objs().popitem()[1]})
        repo.stage_cache.push(None)
    put(root, {".dvc/cache": None, "out.txt": None, "after.txt": None, "dvc.lock": None}, root)
    plan = make_plan(RunOptions(repo=root, pull=True))
    assert [stage.action.value for stage in plan.stages] == ["restore", "restore"]
    assert set(run_pipeline(RunOptions(repo=root, pull=True)).outcomes().values()) == {Outcome.RESTORED}
    assert "size: 2" in (root / "out.txt").read_text()


def test_other_stages_lie_where_dvc_looks(root: Path) -> None:
    run(root)
    put(root, {"dvc.lock": None, "after.txt": None}, root)
    assert serial_repro(root)
    assert executed(root) == ["s", "after", "s"]


def test_an_entry_that_a_kill_kept_from_being_written_is_none(root: Path) -> None:
    assert run(root) == ("run", Outcome.RAN)
    (root / "dvc.lock").unlink()
    for entry in (root / ".dvc/cache/runs").glob("??/*/*"):
        entry.rename(entry.with_name(".fYBvFTF7sB5HlX6rWxb4VQ.tmp"))
    assert run(root) == ("run", Outcome.RAN)
    assert executed(root) == ["s", "after"] * 2
