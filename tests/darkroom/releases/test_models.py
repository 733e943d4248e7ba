"""A model of a release, brought out of git and DVC's cache."""

import json
import os
import shutil
from pathlib import Path

import pytest

from darkroom.base.errors import RepoError, UsageError
from darkroom.base.files import STATE_FOLDER
from darkroom.cli.main import Exit, run_command
from darkroom.cli.vision import with_model
from darkroom.releases.models import fetch_model
from darkroom.releases.releases import make_release
from tests.darkroom.repositories import git, make, serial_repro
from tests.darkroom.shapes import Shape

DVC_YAML = """
stages:
  train: {cmd: cp params.yaml net.bin, params: [lr], outs: [net.bin]}
artifacts:
  classifier: {path: net.bin, type: model}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose first results are released, and whose model is another one now."""
    root = make(
        tmp_path / "project", Shape("models", {"dvc.yaml": DVC_YAML, "params.yaml": "lr: 1\n"}), tmp_path
    )
    assert serial_repro(root)
    git(root, "add", "-A")
    git(root, "commit", "-m", "first")
    make_release(root, "classifier", "prod", git(root, "rev-parse", "HEAD").strip(), "first")
    (root / "params.yaml").write_text("lr: 2\n")
    assert serial_repro(root)
    monkeypatch.chdir(root)
    return root


def test_the_files_of_a_release_are_brought_and_kept(root: Path) -> None:
    found = fetch_model(root, "classifier", "v0.1.0")
    assert (found.model.read_text(), found.params.read_text()) == ("lr: 1\n", "lr: 1\n")
    assert (root / "net.bin").read_text() == "lr: 2\n"
    shutil.rmtree(root / ".dvc/cache")
    assert fetch_model(root, "classifier", "v0.1.0") == found
    assert git(root, "status", "--porcelain", "--", STATE_FOLDER) == ""


def test_the_words_of_a_command_name_the_files_in_place_of_the_release(root: Path) -> None:
    found = fetch_model(root, "classifier", "v0.1.0")
    files = ["--model", str(found.model), "--params", str(found.params)]
    assert with_model("classifier", ["a.jpg", "--release", "v0.1.0", "--batch", "2"]) == [
        *files,
        "a.jpg",
        "--batch",
        "2",
    ]
    assert with_model("classifier", ["--release=v0.1.0", "a.jpg"]) == [*files, "a.jpg"]
    with pytest.raises(UsageError, match="name a version"):
        with_model("classifier", ["a.jpg", "--release"])


def test_without_a_word_of_the_model_the_released_one_is_meant_and_said(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = fetch_model(root, "classifier", "v0.1.0")
    files = ["--model", str(found.model), "--params", str(found.params)]
    assert with_model("classifier", ["a.jpg"]) == [*files, "a.jpg"]
    assert capsys.readouterr() == ("", "darkroom: the model is that of release v0.1.0\n")
    assert with_model("classifier", ["--", "--model"]) == [*files, "--", "--model"]
    trained = train_here(root)
    capsys.readouterr()
    assert with_model("classifier", ["a.jpg"]) == [*files, "a.jpg"]
    assert capsys.readouterr().err.endswith(f"release v0.1.0; the workspace's own: --model {trained}\n")


@pytest.mark.parametrize("word", ["--model=x", "--params=x", "--help", "-h"])
def test_beside_a_model_none_is_looked_for(root: Path, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_model("classifier", ["a.jpg", word]) == ["a.jpg", word]
    assert capsys.readouterr() == ("", "")


def test_the_newest_trained_model_is_meant_where_none_is_released(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = git(root, "tag", "--list").split()
    git(root, "branch", "darkroom/retrain")
    git(root, "tag", "--delete", *release)
    words = with_model("classifier", ["a.jpg"])  # the workspace has none: that of the nightly run
    assert Path(words[1]).read_text() == "lr: 1\n"
    assert "the last results on the branch darkroom/retrain" in capsys.readouterr().err
    trained = train_here(root)
    assert with_model("classifier", ["a.jpg"]) == ["a.jpg"]
    assert capsys.readouterr().err.startswith(f"darkroom: the model is {trained}, of 20")


def test_a_released_model_that_is_nowhere_leaves_the_trained_one(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(root / ".dvc/cache")
    with pytest.raises(RepoError, match=r"classifier v0\.1\.0: net\.bin"):
        with_model("classifier", ["a.jpg"])
    train_here(root)
    assert with_model("classifier", ["a.jpg"]) == ["a.jpg"]
    assert "warning: the released model cannot be had: classifier v0.1.0" in capsys.readouterr().err


def test_pictures_and_a_model_without_a_repository_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert with_model("detector", ["a.jpg"]) == ["a.jpg"]


def train_here(root: Path) -> Path:
    """A model at the place that the pictures' commands know, as the workspace's own."""
    trained = Path("data/models/classifier.safetensors")
    (root / trained).parent.mkdir(parents=True)
    (root / trained).write_text("trained here")
    return trained


def test_what_is_not_there_is_named_with_what_is(root: Path) -> None:
    with pytest.raises(UsageError, match=r"no release classifier v9.*there are: v0\.1\.0"):
        fetch_model(root, "classifier", "v9")
    with pytest.raises(UsageError, match=r"no artifact detector; it names: classifier"):
        fetch_model(root, "detector", "v0.1.0")
    shutil.rmtree(root / ".dvc/cache")
    with pytest.raises(RepoError, match=r"classifier v0\.1\.0: net\.bin"):
        fetch_model(root, "classifier", "v0.1.0")


def test_a_rollback_is_told_to_programs_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "params.yaml").write_text("gate: {release: classifier, metrics: {'m.json:a': {}}}\nlr: 2\n")
    git(root, "commit", "-am", "second")
    make_release(root, "classifier", "prod", git(root, "rev-parse", "HEAD").strip(), "second")
    assert run_command(["rollback", "--json"]) == Exit.WELL
    told = json.loads(capsys.readouterr().out)
    assert (told["release"], told["version"]) == ("classifier", "v0.1.0")


def test_garbage_is_told_to_programs_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = root / STATE_FOLDER / "logs/old/train.log"
    log.parent.mkdir(parents=True)
    log.write_text("a line")
    for path in (log, log.parent):
        os.utime(path, (0, 0))
    for words, removed in (((), False), (("--yes",), True)):
        assert run_command(["gc", "--json", *words]) == Exit.WELL
        told = json.loads(capsys.readouterr().out)
        assert told["removed"] is removed
        assert {one["paths"] for one in told["found"] if "log" in one["kind"]} == {1}
    assert not log.exists()
