"""Stages that ask for GPUs on hosts that have them, lack them, or have too few."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml

from darkroom.cli.main import run_command
from darkroom.gpus.lease_folder import LeaseError
from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, Outcome, RunStarted
from tests.darkroom import repositories
from tests.darkroom.shapes import Shape

STAGE = """
stages:
  train:
    cmd: printenv CUDA_VISIBLE_DEVICES > seen.txt || echo unset > seen.txt
    meta: {resources: {RESOURCES}}
    deps: [in.txt]
    outs: [seen.txt]
"""


def project(tmp_path: Path, resources: str) -> Path:
    files = {"dvc.yaml": STAGE.replace("{RESOURCES}", f"{{{resources}}}"), "in.txt": "in"}
    shape = Shape("gpu", files)
    return repositories.make(tmp_path / "r", shape, tmp_path)


@pytest.fixture(autouse=True)
def _host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("DARKROOM_GPUS", "a:16GB,b:8GB")
    monkeypatch.setenv("DARKROOM_LEASES", str(tmp_path / "leases"))


@pytest.mark.parametrize(
    ("resources", "visible", "seen"),
    [
        ("gpu: 1", None, "a"),
        ("gpu: 2, gpu_memory: 8GB", None, "a,b"),
        ("gpu: 1", "1", "b"),  # only what is left visible from outside
        ("gpu: 1", "-1", "-1"),  # nothing is: on the CPU
        ("cpu: 1", None, "unset"),  # asks for none: its environment stays as it is
        ("cpu: 1", "1", "1"),
    ],
)
def test_what_a_stage_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resources: str, visible: str | None, seen: str
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    root = project(tmp_path, resources)
    assert run_pipeline(RunOptions(repo=root)).well
    assert (root / "seen.txt").read_text().strip() == seen


@pytest.mark.parametrize(
    ("resources", "gpus", "error"),
    [
        ("gpu: 3", "2x8GB", "resources.gpu: 3 GPUs asked for, there are 2 here"),
        (
            "gpu: 1, gpu_memory: 9GB",
            "2x8GB",
            "resources.gpu_memory: 9000000000 bytes asked for, there are 8000000000 here",
        ),
        (
            "gpu: 1, gpu_required: true",
            "",
            "resources.gpu_required: there is no GPU here, see `darkroom doctor`",
        ),
    ],
)
def test_what_the_host_lacks_is_said_before_anything_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    resources: str,
    gpus: str,
    error: str,
) -> None:
    root = project(tmp_path, resources)
    monkeypatch.setenv("DARKROOM_GPUS", gpus)
    for command in ("plan", "run"):
        assert run_command([command, "--repo", str(root)]) == 2
        assert capsys.readouterr().err == f"error: dvc.yaml: train.meta.{error}\n"
    assert not (root / "seen.txt").exists()


def test_without_a_gpu_what_is_up_to_date_or_in_the_cache_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(tmp_path, "gpu: 1, gpu_required: true")
    assert run_pipeline(RunOptions(repo=root)).outcomes() == {"train": Outcome.RAN}
    monkeypatch.setenv("DARKROOM_GPUS", "")
    assert run_pipeline(RunOptions(repo=root)).outcomes() == {"train": Outcome.SKIPPED}
    with contextlib.chdir(root):
        Path("seen.txt").unlink()
        Path("dvc.lock").unlink()
    assert run_pipeline(RunOptions(repo=root)).outcomes() == {"train": Outcome.RESTORED}


TWO_STAGES = """
stages:
  other:
    cmd: echo other > other.txt
    outs: [other.txt]
  train:
    cmd: cp in.txt out.txt
    meta: {resources: {gpu: 2, gpu_memory: 8GB}}
    deps: [in.txt]
    outs: [out.txt]
"""


def test_what_turns_out_too_large_for_the_host_keeps_its_outs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its dep is changed while the run goes on; the plan held it to be up to date."""
    root = repositories.make(
        tmp_path / "r", Shape("two", {"dvc.yaml": TWO_STAGES, "in.txt": "old"}), tmp_path
    )
    assert run_pipeline(RunOptions(repo=root)).well
    before = yaml.safe_load((root / "dvc.lock").read_text())["stages"]["train"]
    (root / "other.txt").unlink()
    monkeypatch.setenv("DARKROOM_GPUS", "a:16GB")

    def change(event: Event) -> None:
        if isinstance(event, RunStarted):
            (root / "in.txt").write_text("new")

    report = run_pipeline(RunOptions(repo=root), observe=change)
    assert report.outcomes() == {"other": Outcome.RAN, "train": Outcome.FAILED}
    assert report.errors == ("dvc.yaml: train.meta.resources.gpu: 2 GPUs asked for, there are 1 here",)
    assert (root / "out.txt").read_text() == "old"
    assert yaml.safe_load((root / "dvc.lock").read_text())["stages"]["train"] == before
    (root / "in.txt").write_text("new")
    monkeypatch.setenv("DARKROOM_GPUS", "a:16GB,b:8GB")
    assert run_pipeline(RunOptions(repo=root)).outcomes()["train"] is Outcome.RAN
    (root / "in.txt").write_text("old")
    monkeypatch.setenv("DARKROOM_GPUS", "a:16GB")
    assert run_pipeline(RunOptions(repo=root)).outcomes()["train"] is Outcome.RESTORED


def test_a_folder_of_leases_that_cannot_be_used_is_said_before_anything_runs(tmp_path: Path) -> None:
    root = project(tmp_path, "gpu: 1")
    (tmp_path / "leases").touch()
    with pytest.raises(LeaseError, match=f"^{tmp_path / 'leases'}: is no folder; GPU leases need a folder"):
        run_pipeline(RunOptions(repo=root))
    assert not (root / "seen.txt").exists()
