"""Nights that make better, equal and worse models, on a real repository."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prefect import get_client

from darkroom.cli.main import run_command
from darkroom.deployments.retrain import retrain
from darkroom.releases.promotion import GateFailedError
from darkroom.releases.releases import ReleaseError, released_version, roll_back
from tests.darkroom.repositories import git, make
from tests.darkroom.shapes import Shape

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("one_server")]

FILES = {
    "params.yaml": "gate: {release: model, metrics: {'m.json:accuracy': {equal_within: 0.01}}}\n",
    "dvc.yaml": """\
stages:
  train:
    cmd: cp quality.txt model.txt && echo "{\\"accuracy\\":$(cat quality.txt)}" > m.json
    deps: [quality.txt]
    outs: [model.txt]
    metrics: [m.json: {cache: false}]
artifacts:
  model: {path: model.txt}
""",
    "quality.txt": "0.8",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "project", Shape("gate", FILES), tmp_path)


def night(root: Path, quality: float) -> str:
    """A commit with another quality, and a run of `retrain` on it."""
    (root / "quality.txt").write_text(str(quality))
    if git(root, "status", "--porcelain"):
        git(root, "commit", "-qam", "code")
    with contextlib.chdir(root):
        return str(retrain())


def use(root: Path) -> tuple[str, str]:
    """The released version, and its model's source."""
    now = released_version(root, "model", "prod")
    assert now is not None
    return now.version, git(root, "show", f"{now.commit}:quality.txt")


def got(root: Path, folder: Path) -> str:
    """The released model as another clone gets it, by DVC's own command."""
    out = folder / "got.txt"
    tool("dvc", "artifacts", "get", str(root), "model", "--stage", "prod", "-f", "-o", str(out), cwd=folder)
    return out.read_text()


def tool(name: str, *words: str, cwd: Path) -> str:
    command = [str(Path(sys.executable).parent / name), *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_promotion_refusal_and_roll_back(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "model v0.1.0 is released" in night(root, 0.8)
    assert "as good as model v0.1.0" in night(root, 0.805)
    assert "model v0.2.0 is released: m.json:accuracy better by 0.1" in night(root, 0.9)
    with pytest.raises(GateFailedError, match=r"accuracy worse by 0\.2; 0\.01 is noise; v0\.2\.0 stays"):
        night(root, 0.7)
    assert use(root) == ("v0.2.0", "0.9")
    assert "v0.2.0" in tool("gto", "show", "model", cwd=root)
    git(tmp_path, "clone", "-q", str(root), "other")
    assert got(root, tmp_path / "other") == "0.9"

    assert run_command(["rollback", "--repo", str(root)]) == 0
    assert "model v0.1.0 is released" in capsys.readouterr().out
    assert use(root) == ("v0.1.0", "0.8")
    with pytest.raises(ReleaseError, match=r"no earlier version was in prod"):
        roll_back(root, "model", "prod")
    assert got(root, tmp_path / "other") == "0.8"

    with get_client(sync_client=True) as client:
        pages = [str(one.data) for one in client.read_artifacts() if one.key == "project-gate"]
    assert len(pages) == 4
    assert any("| m.json:accuracy | 0.9 | 0.7 | worse |" in page for page in pages)


BY_PICTURES = {
    "params.yaml": """\
gate:
  release: model
  metrics:
    m.json:accuracy: {pictures: {WHAT, of: test.txt}}
""",
    "dvc.yaml": """\
stages:
  evaluate:
    cmd: sh evaluate.sh
    deps: [evaluate.sh, model.txt, test.txt]
    outs: [p.csv, draws.csv]
    metrics: [m.json: {cache: false}]
artifacts:
  model: {path: model.txt}
""",
    # Of 40 pictures the model has the first ones right; in halves of them it is off by up to .06.
    "evaluate.sh": """\
echo right > p.csv
seq 40 | awk -v right=$(cat model.txt) '{print ($1 <= right)}' >> p.csv
seq 60 | awk -v right=$(cat model.txt) 'BEGIN {print "accuracy"}
{print right / 40 + (($1 * right) % 13 - 6) / 100}' > draws.csv
awk 'NR > 1 {n += $1} END {print "{\\"accuracy\\": " n / 40 "}"}' p.csv > m.json
""",
    "model.txt": "20",
    "test.txt": "40 pictures",
}


@pytest.mark.parametrize(
    ("what", "by"),
    [
        ("results: p.csv, mean: right", "40 pict"),
        ("results: draws.csv, draws: accuracy", "60 halves of the pict"),
    ],
)
def test_a_difference_by_chance_promotes_nothing_and_a_sure_one_does(
    what: str, by: str, tmp_path: Path
) -> None:
    files = {name: text.replace("WHAT", what) for name, text in BY_PICTURES.items()}
    root = make(tmp_path / "by-pictures", Shape("gate", files), tmp_path)

    def judged(right: int) -> str:
        (root / "model.txt").write_text(str(right))
        git(root, "commit", "-qam", "another model")
        with contextlib.chdir(root):
            return str(retrain())

    with contextlib.chdir(root):
        assert "model v0.1.0 is released" in retrain()
    assert "as good as model v0.1.0" in judged(21)
    said = judged(28)
    assert "model v0.2.0 is released: m.json:accuracy better by 0.2 (95 % interval of the change 0." in said
    with pytest.raises(GateFailedError) as refused:
        judged(16)
    numbers = re.search(
        rf"worse by 0\.3 \(95 % interval of the change (.+) to (.+), {by}", str(refused.value)
    )
    assert numbers, said
    assert -0.5 < float(numbers[1]) < -0.3 < float(numbers[2]) < -0.1
    (root / "test.txt").write_text("40 others")
    assert "the test pictures are others than the released model's" in judged(32)
