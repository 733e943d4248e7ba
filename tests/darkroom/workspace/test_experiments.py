"""Runs kept as DVC experiments, read back by DVC itself."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo

from darkroom.base.errors import UsageError
from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions
from tests.darkroom.repositories import contents, git, make, put
from tests.darkroom.shapes import Shape

PIPELINE = """\
stages:
  told:
    cmd: echo $DVC_EXP_NAME $DVC_EXP_BASELINE_REV > told.txt
    outs: [told.txt]
  score:
    cmd: 'cat rate.txt > score.json; test -z "$FAIL"'
    deps: [rate.txt]
    metrics:
    - score.json:
        cache: false
  other:
    cmd: cat other.txt > copy.txt
    deps: [other.txt]
    outs: [copy.txt]
"""
SHAPE = Shape("experiment", {"dvc.yaml": PIPELINE, "rate.txt": '{"rate": 1}\n', "other.txt": "1\n"})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make(tmp_path / "r", SHAPE, tmp_path)
    name_author(root)
    return root


def name_author(root: Path) -> None:
    git(root, "config", "user.name", "t")
    git(root, "config", "user.email", "t@example.org")


def experiments(root: Path) -> dict[str, str]:
    """Name and commit of each experiment on HEAD, as `dvc exp list` says them."""
    with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
        return {name: str(commit) for names in repo.experiments.ls().values() for name, commit in names}


def shown(root: Path) -> dict[str | None, object]:
    """Name and metrics of each experiment that `dvc exp show` lists."""
    with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
        states = repo.experiments.show()
        return {one.name: one.revs[0].data.metrics for state in states for one in state.experiments or ()}


@pytest.mark.slow
def test_a_run_is_listed_with_its_metrics_and_leaves_the_workspace_alone(root: Path, tmp_path: Path) -> None:
    twin = Path(shutil.copytree(root.parent, tmp_path / "twin", symlinks=True), root.name)
    for folder in (root, twin):
        put(folder, {"rate.txt": '{"rate": 2}\n', "new.txt": "untracked\n"}, tmp_path)
        git(folder, "add", "new.txt")
    assert run_pipeline(RunOptions(repo=root, experiment="first")).well
    assert run_pipeline(RunOptions(repo=twin)).well
    assert list(experiments(root)) == ["first"]
    assert "'rate': 2" in str(shown(root)["first"])
    head = git(root, "rev-parse", "HEAD").strip()
    assert (root / "told.txt").read_text() == f"first {head}\n"
    kept = git(root, "ls-tree", "-r", "--name-only", experiments(root)["first"]).split()
    assert {"dvc.lock", ".gitignore", "score.json", "new.txt"} <= set(kept)
    assert not {"told.txt", "copy.txt"} & set(kept)
    assert git(root, "symbolic-ref", "HEAD") == git(twin, "symbolic-ref", "HEAD")
    assert git(root, "status", "--porcelain") == git(twin, "status", "--porcelain")


def test_what_is_up_to_date_can_be_kept_and_applied_again(root: Path, tmp_path: Path) -> None:
    run_pipeline(RunOptions(repo=root))
    git(root, "add", "-A")
    git(root, "commit", "-m", "done")
    put(root, {"rate.txt": '{"rate": 3}\n'}, tmp_path)
    run_pipeline(RunOptions(repo=root))
    assert run_pipeline(RunOptions(repo=root, experiment="third")).well
    git(root, "reset", "--hard")
    with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
        repo.experiments.apply("third")
    assert (root / "score.json").read_text() == '{"rate": 3}\n'
    assert not make_plan(RunOptions(repo=root)).work


def test_stages_that_were_not_asked_for_are_kept_as_they_were(root: Path, tmp_path: Path) -> None:
    run_pipeline(RunOptions(repo=root))
    put(root, {"rate.txt": '{"rate": 2}\n', "other.txt": "2\n"}, tmp_path)
    assert run_pipeline(RunOptions(repo=root, targets=("score",), experiment="part")).well
    assert [stage.name for stage in make_plan(RunOptions(repo=root)).work] == ["other"]


@pytest.mark.slow
def test_an_existing_name_needs_force(root: Path) -> None:
    run_pipeline(RunOptions(repo=root, experiment="twice"))
    first = experiments(root)["twice"]
    with pytest.raises(
        UsageError, match=r"twice exists already on this commit.*dvc exp remove twice.*--force"
    ):
        make_plan(RunOptions(repo=root, experiment="twice"))
    git(root, "config", "user.name", "another")
    assert run_pipeline(RunOptions(repo=root, experiment="twice", force=True)).well
    assert experiments(root).keys() == {"twice"}
    assert experiments(root)["twice"] != first


def test_a_failed_run_is_no_experiment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "1")
    assert not run_pipeline(RunOptions(repo=root, experiment="failed", keep_going=True)).well
    assert experiments(root) == {}


@pytest.mark.slow
def test_a_dvc_root_below_git(tmp_path: Path) -> None:
    shape = Shape("below", SHAPE.files, root="deep/er")
    root = make(tmp_path / "r", shape, tmp_path)
    name_author(root)
    assert run_pipeline(RunOptions(repo=root, experiment="deep")).well
    assert "'rate': 1" in str(shown(root)["deep"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a b", "a/b", "..", "", "x.lock", "a~1"])
def test_a_bad_name_is_refused_before_anything_runs(root: Path, name: str) -> None:
    before = contents(root)
    with pytest.raises(UsageError, match=r"^--experiment: .+"):
        run_pipeline(RunOptions(repo=root, experiment=name))
    assert contents(root) == before


def test_without_git_a_commit_or_an_author_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    bare, empty = tmp_path / "bare", tmp_path / "empty"
    bare.mkdir()
    Repo.init(str(bare), no_scm=True).close()
    empty.mkdir()
    git(empty, "init")
    Repo.init(str(empty)).close()
    for folder, said in (
        (bare, "has none; run `git init`"),
        (empty, "needs a commit to start from; run `git commit`"),
    ):
        (folder / "dvc.yaml").write_text(PIPELINE)
        with pytest.raises(UsageError, match=said):
            run_pipeline(RunOptions(repo=folder, experiment="x"))
        assert not (folder / "told.txt").exists()
    with pytest.raises(UsageError, match="leave out --no-commit"):
        run_pipeline(RunOptions(repo=root, experiment="x", no_commit=True))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git(root, "config", "user.useConfigOnly", "true")
    git(root, "config", "--unset", "user.email")
    with pytest.raises(UsageError, match="who commits"):
        run_pipeline(RunOptions(repo=root, experiment="x"))
    assert not (root / "told.txt").exists()
