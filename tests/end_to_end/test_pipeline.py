"""The whole pipeline on little data: by `darkroom run`, by `dvc repro`, and by both."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STAGES = ["preprocess", "train-classifier", "train-detector", "train-gan", "evaluate", "fuse"]


@pytest.fixture(scope="module")
def done(small_project: Path) -> Path:
    """The small project after one `darkroom run`, its results committed to git."""
    run(small_project, "darkroom", "run")
    run(small_project, "git", "add", "-A")
    run(small_project, "git", "-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "-qm", "Results")
    return small_project


def test_leaves_nothing_to_do_for_dvc(done: Path) -> None:
    assert "Data and pipelines are up to date" in run(done, "dvc", "repro").stdout
    assert "Data and pipelines are up to date" in run(done, "dvc", "status").stdout
    assert run(done, "git", "status", "--porcelain").stdout == ""


def test_a_second_run_runs_nothing(done: Path) -> None:
    lock = (done / "dvc.lock").read_bytes()
    planned = json.loads(run(done, "darkroom", "plan", "--json").stdout)["stages"]
    assert {stage["name"] for stage in planned} >= set(STAGES)
    assert {stage["action"] for stage in planned} == {"skip"}
    assert f"nothing to run: {len(STAGES)} stages up to date" in run(done, "darkroom", "run").stdout
    assert (done / "dvc.lock").read_bytes() == lock


def test_serial_repro_elsewhere_gives_the_same_lock(done: Path, clone: Callable[[str], Path]) -> None:
    other = clone("serial")
    lock = (other / "dvc.lock").read_bytes()
    run(other, "dvc", "repro", "--force")
    assert (other / "dvc.lock").read_bytes() == lock
    assert run(other, "git", "status", "--porcelain").stdout == ""
    plan = json.loads(run(other, "darkroom", "plan", "--json").stdout)
    assert {stage["action"] for stage in plan["stages"]} == {"skip"}


def test_dvc_reads_metrics_and_plots(done: Path, tmp_path: Path) -> None:
    metrics = json.loads(run(done, "dvc", "metrics", "show", "--json").stdout)
    files = next(iter(metrics.values()))["data"]
    assert {Path(name).stem for name in files} >= set(STAGES)
    assert "file://" in run(done, "dvc", "plots", "show", "--out", str(tmp_path / "plots")).stdout


def test_a_wrong_key_is_named_and_leaves_the_rest(done: Path, clone: Callable[[str], Path]) -> None:
    other = clone("typo")
    params = (other / "params.yaml").read_text()
    head, _, tail = params.partition("train-gan:")
    (other / "params.yaml").write_text(f"{head}train-gan:{tail.replace('  epochs:', '  epocks:', 1)}")
    lock = (other / "dvc.lock").read_bytes()
    failed = run(other, "darkroom", "run", "train-gan", check=False)
    assert failed.returncode == 2
    assert failed.stderr.splitlines() == [
        "error: params.yaml: train-gan.epocks: unknown key; did you mean 'epochs'?",
    ]
    assert (other / "dvc.lock").read_bytes() == lock


def test_a_flipped_bit_in_the_raw_data_is_named(done: Path, clone: Callable[[str], Path]) -> None:
    other = clone("flipped")
    path = other / "data/raw/fashion-mnist/train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    refused = run(other, "darkroom", "fetch", check=False)
    assert refused.returncode == 2
    lines = (refused.stdout + refused.stderr).strip().splitlines()
    assert [line for line in lines if "train-images-idx3-ubyte" in line and line.startswith("error: ")]
    assert path.read_bytes() == content
