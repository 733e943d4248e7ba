"""`darkroom init` in an empty folder: a project for a user's pictures."""

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from darkroom.base.errors import UsageError
from darkroom.cli.main import run_command
from darkroom.projects import vision
from darkroom.projects.vision import MODELS, TASKS, Wish, make_project, pipeline_of, template_folder
from tests.conftest import run
from tests.places import ROOT


def write_pictures(folder: Path, each: int) -> Path:
    """So many pictures of each of two classes, bright and dark squares on grey."""
    draw = np.random.default_rng(0)
    for name, grey in (("bright", 240), ("dark", 20)):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = draw.integers(100, 150, (32, 32, 3), dtype=np.uint8)
            x, y = draw.integers(2, 14, 2)
            pixels[y : y + 16, x : x + 16] = grey
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def paths_in(value: Any) -> Iterator[str]:
    """The paths of a stage's outs, metrics or plots."""
    for one in value:
        yield from one if isinstance(one, dict) else [one]


def test_the_template_is_this_repository() -> None:
    assert template_folder() == ROOT


@pytest.mark.parametrize("task", TASKS)
def test_a_pipeline_of_some_stages_needs_nothing_of_the_others(task: str) -> None:
    wanted = ["preprocess", *TASKS[task]]
    text = (ROOT / "dvc.yaml").read_text()
    document = yaml.safe_load(pipeline_of(text, wanted))
    assert list(document["stages"]) == [name for name in yaml.safe_load(text)["stages"] if name in wanted]
    made = {
        path
        for stage in document["stages"].values()
        for kind in ("outs", "metrics", "plots")
        for path in paths_in(stage.get(kind, []))
    }
    for stage in document["stages"].values():
        assert "\n" not in stage["cmd"]
        assert not [path for path in stage["deps"] if path.startswith("data/") and path not in made]
        given = {word for word in stage["cmd"].split() if word.startswith("data/models/")}
        assert given <= made
    models = {MODELS[name] for name in wanted if name in MODELS}
    artifacts = document.get("artifacts", {})
    compared = {"reference"} if {"evaluate", "train-classifier"}.issubset(wanted) else set()
    assert set(artifacts) == models - {"generator"} | compared
    assert {artifact["path"] for artifact in artifacts.values()} <= made
    drawn = " ".join(str(one) for one in document["plots"])
    for stage, name in (("classifier", "confusion"), ("detector", "boxes"), ("gan", "generated-nearest")):
        assert (f"evaluate/{name}.png" in drawn) == {"evaluate", f"train-{stage}"}.issubset(wanted)
    if task == "all":
        assert document == yaml.safe_load(text)


@pytest.mark.parametrize("name", ["a.txt", ".git/HEAD"])
def test_a_folder_that_holds_something_is_left_alone(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    with pytest.raises(UsageError, match="neither empty nor a DVC repository"):
        make_project(folder, Wish(pictures=write_pictures(tmp_path / "pictures", 1), task="classify"), print)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [Path(name).name]


def test_pictures_that_nothing_reads_leave_no_folder(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for task, hint in (("classify", ""), ("fuse", ".*without a project: darkroom fuse FOLDER")):
        said = f"^{tmp_path / 'pictures'}: of no format that is known{hint}"
        with pytest.raises(UsageError, match=said):
            make_project(tmp_path / "new/project", Wish(pictures=tmp_path / "pictures", task=task), print)
    assert not (tmp_path / "new/project").exists()


def test_what_is_interrupted_while_it_is_moved_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(partial: Path, *words: object) -> list[str]:
        (partial / "a").mkdir()
        (partial / "b").write_text("")
        (tmp_path / "project/b").mkdir()  # somebody was faster
        return []

    monkeypatch.setattr(vision, "_fill", fill)
    with pytest.raises(OSError, match="directory"):
        make_project(
            tmp_path / "project", Wish(pictures=write_pictures(tmp_path / "p", 1), task="all"), print
        )
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["b"]


def test_without_a_terminal_it_says_what_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert run_command(["init"]) == 2
    assert capsys.readouterr().err == "error: --pictures PATH is wanted: there is no terminal to ask on\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_a_folder_of_pictures_to_a_classifier(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "pictures", 12)
    run(tmp_path, "darkroom", "init", "project", "--pictures", "pictures", "--task", "classify")
    project = tmp_path / "project"
    assert subprocess.check_output(["git", "status", "--short"], cwd=project) == b""
    assert sorted(path.name for path in pictures.iterdir()) == ["bright", "dark"]
    params = (project / "params.yaml").read_text()
    assert params.count("\n") < 45
    (project / "params.yaml").write_text(params.replace("epochs: auto", "epochs: 2"))
    assert "3 stages ran" in run(project, "darkroom", "run", "--no-record").stdout
    answer = run(project, "darkroom", "classify", "data/raw/pictures/dark/0.png", "--format", "csv").stdout
    assert "dark" in answer
    assert "up to date" in run(project, "dvc", "status").stdout
    assert "failed" not in run(project, "dvc", "plots", "show").stderr
    assert "darkroom detect" not in (project / "README.md").read_text()
    assert not (project / "data/raw/to_fuse").exists()


def test_what_never_ends_is_not_copied(tmp_path: Path) -> None:
    """A pipe, links that lead back to where they are, and one that leads nowhere."""
    pictures, target = tmp_path / "pictures", tmp_path / "target"
    (pictures / "class").mkdir(parents=True)
    (pictures / "class/a.png").write_bytes(b"picture")
    os.mkfifo(pictures / "pipe.png")
    for name, leads_to in (("x", "."), ("class/y", ".."), ("gone.png", "no.png"), ("b.png", "class/a.png")):
        (pictures / name).symlink_to(leads_to)
    assert sorted(vision.copy_pictures(pictures, target)) == ["class/y", "gone.png", "pipe.png", "x"]
    copied = {path.relative_to(target).as_posix(): path for path in target.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in copied.items()} == {
        "b.png": b"picture",
        "class/a.png": b"picture",
    }
    assert not any(path.is_symlink() for path in copied.values())
