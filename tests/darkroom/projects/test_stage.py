"""`darkroom add stage`: code, an entry in dvc.yaml, and a test, that work as they are."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from darkroom.base.errors import UsageError
from darkroom.projects import stage
from darkroom.projects.stage import add_stage
from tests.places import ROOT

PIPELINE = "# mine\nstages:\n  one: # the first\n    cmd: echo 1\n"


@pytest.mark.slow
def test_in_any_repository_it_is_a_script_that_runs(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    made = [str(path.relative_to(tmp_path)) for path in add_stage(tmp_path, "count-cells")]
    assert made == ["stages/count-cells/run.py", "tests/test_count_cells.py", "dvc.yaml"]
    text = (tmp_path / "dvc.yaml").read_text()
    assert text.startswith(PIPELINE)
    stage = yaml.safe_load(text)["stages"]["count-cells"]
    assert all((tmp_path / path).exists() for path in stage["deps"])
    command = stage["cmd"].replace("python", sys.executable, 1)
    subprocess.run(command, cwd=tmp_path, shell=True, check=True)
    assert (tmp_path / stage["outs"][0]).read_text() == "made by count-cells\n"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], cwd=tmp_path, check=True
    )


def test_beside_the_vision_half_it_is_a_package_of_the_same_form(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    shutil.copy(ROOT / "stages/__init__.py", tmp_path / "stages")
    shutil.copytree(ROOT / "stages/core", tmp_path / "stages/core")
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    add_stage(tmp_path, "count-cells")
    stage = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"]["count-cells"]
    subprocess.run(stage["cmd"].replace("python", sys.executable, 1), cwd=tmp_path, shell=True, check=True)
    assert (tmp_path / stage["outs"][0]).read_text() == "made by count-cells\n"
    assert (tmp_path / "tests/stages/count_cells/test_stage.py").is_file()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one", "has a stage 'one' already"),
        ("Two", "make a stage's name"),
        ("a/b", "make a stage's name"),
        ("taken", "exists already"),
    ],
)
def test_what_is_there_stays(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_taken.py").write_text("mine")
    with pytest.raises(UsageError, match=said):
        add_stage(tmp_path, name)
    assert (tmp_path / "dvc.yaml").read_text() == PIPELINE
    assert not (tmp_path / "stages").exists()


def test_a_stage_that_cannot_be_added_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stages/core").mkdir(parents=True)
    (tmp_path / "stages/core/cli.py").touch()
    (tmp_path / "tests/stages").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    write = stage.write_text

    def full(path: Path, text: str) -> None:
        if path.name == "dvc.yaml":
            raise OSError(28, "No space left on device")
        write(path, text)

    monkeypatch.setattr(stage, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        stage.add_stage(tmp_path, "count-cells")
    assert sorted(tmp_path.rglob("*")) == before
