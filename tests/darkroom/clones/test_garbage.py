"""What is freed, and what is kept, on a real repository with a cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from darkroom.clones import garbage
from darkroom.clones.clone import held_clone
from darkroom.processes import stage_lock
from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions
from tests.darkroom.repositories import contents, git, make
from tests.darkroom.shapes import Shape

pytestmark = pytest.mark.slow

PIPELINE = """\
stages:
  train:
    cmd: "cp in.txt model.txt # --checkpoint tmp/train.ckpt"
    deps: [in.txt]
    outs: [model.txt]
"""
LONG_AGO = 1_000_000_000


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four results: of a tag, of a branch, one of an old commit alone, and of the workspace; all long ago."""
    monkeypatch.setenv("GIT_COMMITTER_DATE", f"{LONG_AGO} +0000")
    root = make(tmp_path / "project", Shape("gc", {"dvc.yaml": PIPELINE, "in.txt": "start"}), tmp_path)
    for name in ("tagged", "branched", "forgotten", "newest"):
        (root / "in.txt").write_text(name)
        assert run_pipeline(RunOptions(repo=root)).well
        git(root, "add", "-A")
        git(root, "commit", "-qm", name)
        if name == "tagged":
            git(root, "tag", "model@v1.0.0")
        if name == "branched":
            git(root, "branch", "other")
    return root


def cached(root: Path) -> set[str]:
    """What the results in the cache hold."""
    return {path.read_text() for path in (root / ".dvc/cache/files").rglob("*") if path.is_file()}


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO))


def test_results_that_nothing_refers_to_go_and_released_ones_stay(root: Path) -> None:
    before = contents(root)
    with garbage.found_garbage(root, days=30) as found:
        (path,) = found.cache
        assert path.read_text() == "forgotten"
        assert garbage.total_bytes(found.cache) == len("forgotten")
        assert list(found.kinds()) == ["results in the cache"]
        assert contents(root) == before  # so far it was only said
        garbage.remove_garbage(root, found)
    assert cached(root) == {"tagged", "branched", "newest"}


def test_results_of_a_commit_of_these_days_stay(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_COMMITTER_DATE")
    for name in ("lately", "now"):
        (root / "in.txt").write_text(name)
        assert run_pipeline(RunOptions(repo=root)).well
        git(root, "commit", "-qam", name)
    with garbage.found_garbage(root, days=30) as found:
        assert {path.read_text() for path in found.cache} == {"forgotten", "newest"}
        garbage.remove_garbage(root, found)
    assert cached(root) == {"tagged", "branched", "lately", "now"}
    with garbage.found_garbage(root, days=0) as found:
        assert {path.read_text() for path in found.cache} == {"lately"}


def test_a_cache_that_others_may_share_is_left_alone(root: Path, tmp_path: Path) -> None:
    (root / ".dvc/cache").rename(tmp_path / "shared")
    with (root / ".dvc/config").open("a") as file:
        file.write(f"[cache]\n    dir = {tmp_path / 'shared'}\n")
    with garbage.found_garbage(root, days=0) as found:
        assert found.cache == ()
        assert found.busy == (
            f"it lies outside the project, in {tmp_path / 'shared'}: other projects may need what is in it"
        )


def test_what_is_old_goes_and_what_is_new_stays(root: Path) -> None:
    logs = sorted((root / ".darkroom/logs").iterdir())
    age(*logs[0].iterdir(), logs[0])
    checkpoint = root / "tmp/train.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.write_text("half")
    with garbage.found_garbage(root, days=30) as found:
        assert (found.logs, found.checkpoints) == ((logs[0],), ())
    age(checkpoint)
    with garbage.found_garbage(root, days=30) as found:
        assert found.checkpoints == (checkpoint,)
        garbage.remove_garbage(root, found)
    assert not checkpoint.exists()
    assert sorted((root / ".darkroom/logs").iterdir()) == logs[1:]


def test_copies_of_models_go_but_for_released_ones(root: Path) -> None:
    folder = root / ".darkroom/released"
    commits = git(root, "rev-list", "HEAD").split()
    released, branched = git(root, "rev-parse", "model@v1.0.0^{commit}", "other").split()
    for commit in commits:
        (folder / commit).mkdir(parents=True)
        (folder / commit / "model.txt").write_text("copied")
    git(root, "tag", "--annotate", "--message", "released", "model#prod#1", "HEAD")
    with garbage.found_garbage(root, days=30) as found:
        assert found.models == ()
    for commit in commits:
        age(folder / commit / "model.txt", folder / commit)
    with garbage.found_garbage(root, days=30) as found:
        assert found.kinds().get("copies of models of earlier commits") == found.models
        garbage.remove_garbage(root, found)
    assert {path.name for path in folder.iterdir()} == {released, branched, commits[0]}


def test_features_that_were_not_used_go_and_what_keeps_them_out_of_git_stays(root: Path) -> None:
    folder = root / ".darkroom/features"
    folder.mkdir()
    used, unused, half = (folder / name for name in ("used.npy", "unused.npy", ".half.77.partial"))
    for path in (used, unused, half, folder / ".gitignore"):
        path.write_text("*\n")
    age(unused, half, folder / ".gitignore")
    with garbage.found_garbage(root, days=30) as found:
        assert set(found.features) == {unused, half}
        assert set(found.kinds()["features of training pictures"]) == {unused, half}
        garbage.remove_garbage(root, found)
    assert set(folder.iterdir()) == {used, folder / ".gitignore"}


def test_clones_go_but_not_while_a_run_works_in_them(root: Path) -> None:
    with held_clone(root, "nightly", source="", revision="") as clone:
        folder = clone.folder.parent
        with garbage.found_garbage(root, days=0) as found:
            assert found.clones == found.cache == ()
            assert found.busy == f"a run works in {folder}"
    with garbage.found_garbage(root, days=30) as found:
        assert found.kept_clones == (clone.folder,)
    with garbage.found_garbage(root, days=0) as found:
        assert found.clones == (folder,)
        garbage.remove_garbage(root, found)
    assert not folder.exists()
    assert list(folder.parent.iterdir()) == []


def test_the_cache_is_left_alone_while_a_stage_runs(root: Path) -> None:
    lock = stage_lock.lock_stage(root / ".darkroom/locks", "train", root)
    assert isinstance(lock, stage_lock.StageLock)
    with garbage.found_garbage(root, days=30) as found:
        assert found.cache == ()
        assert str(found.busy).startswith("train: `darkroom run` with pid")
    lock.release()


def test_results_that_wait_for_their_turn_in_dvc_lock_are_no_garbage(tmp_path: Path) -> None:
    (tmp_path / ".darkroom").mkdir()
    (tmp_path / ".darkroom/ahead.jsonl").touch()
    with garbage.found_garbage(tmp_path, 1) as found:
        assert found.cache == ()
        assert found.busy is not None
        assert "wait for their turn" in found.busy


def test_decoded_pictures_go_when_they_are_not_used_and_nothing_else_that_is_named_a_cache(
    root: Path,
) -> None:
    pipeline = (
        (root / "dvc.yaml").read_text().replace("# --check", "# --cache cache --cache ../outside --check")
    )
    (root / "dvc.yaml").write_text(pipeline)
    names = ("0123456789abcdef-77.rows", "index.sqlite")
    folders = [root / "cache/used", root / "cache/old", root / "cache/others", root.parent / "outside/x"]
    for folder in folders:
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text("pixels")
            age(folder / name)
    (folders[0] / names[0]).touch()
    (folders[2] / "weights.bin").write_text("another program's")
    age(folders[2] / "weights.bin", *folders)
    with garbage.found_garbage(root, days=30) as found:
        assert found.pictures == (root / "cache/old",)
        garbage.remove_garbage(root, found)
    assert [folder.exists() for folder in folders] == [True, False, True, True]
