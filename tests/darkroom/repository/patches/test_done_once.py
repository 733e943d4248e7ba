"""DVC's pieces that are replaced by quicker ones do what they did."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.dependency import Dependency
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc_data.hashfile.build import build

from benchmarks.darkroom.pipelines import write_dvc_chain, write_dvc_dense
from darkroom.base.errors import RepoError
from darkroom.repository.opening import opened
from darkroom.repository.patches import file_hashes
from darkroom.repository.patches.replacing import patched_dvc
from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape

READERS = """\
stages:
  make:
    cmd: cp {outside}/far.txt made.txt; mkdir d; touch d/x
    deps: ["{outside}/far.txt", in.txt]
    outs: [made.txt, d]
  read:
    cmd: cat made.txt > read.txt
    deps: [made.txt, in.txt, d/x, ./sub/../in.txt, "{outside}/far.txt"]
    params: [a.b]
    outs: [read.txt: {cache: false}]
  inside:
    wdir: sub
    cmd: cat ../made.txt ../in.txt > own.txt
    deps: [../made.txt, ../in.txt, "{outside}/far.txt"]
    outs: [own.txt, ../beside.txt]
"""
FILES = {
    "dvc.yaml": READERS,
    "in.txt": "1\n",
    "sub/keep": "",
    "params.yaml": "a: {b: 1}\n",
    "{outside}/far.txt": "far\n",
}


def tell(item: Output) -> dict[str, object]:
    """Everything that an out or a dep holds, and what it is called."""
    kept = {key: repr(value) for key, value in vars(item).items() if key not in ("fs", "repo", "stage")}
    return {
        **kept,
        "fs": type(item.fs),
        "its": item.fs is item.repo.fs,
        "stage": repr(item.stage),
        "str": str(item),
    }


def told(root: Path, here: Path) -> list[dict[str, object]]:
    with contextlib.chdir(here), contextlib.closing(Repo(str(root))) as repo:
        return [tell(item) for stage in repo.index.stages for item in (*stage.deps, *stage.outs)]


def test_deps_and_outs_are_the_same_wherever_one_stands(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("readers", FILES), tmp_path)
    for here in (root, root / "sub", tmp_path):
        expected = told(root, here)
        with patched_dvc():
            assert told(root, here) == expected


def test_a_dep_that_two_stages_share_is_not_one_object(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("readers", FILES), tmp_path)
    with opened(root) as repo:
        deps = [
            dep for stage in repo.index.stages for dep in stage.deps if dep.fs_path == str(root / "in.txt")
        ]
        assert len(deps) > 2
        for name in ("annot", "meta", "hash_info"):
            assert len({id(getattr(dep, name)) for dep in deps}) == len(deps)
        assert [dep.stage.name for dep in deps] == ["make", "read", "read", "inside"]


def test_a_file_is_hashed_anew_once_it_is_another(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("readers", FILES), tmp_path)
    file = root / "in.txt"
    with opened(root) as repo:
        dep = next(dep for stage in repo.index.stages for dep in stage.deps if dep.fs_path == str(file))

        def saved() -> tuple[str, int, bool]:
            dep.save()
            assert dep.get_hash() == dep.hash_info
            return dep.hash_info.value, dep.meta.size, dep.meta.isexec

        first = saved()
        assert saved() == first
        file.write_text("22\n")
        second = saved()
        assert second != first
        file.chmod(0o755)
        assert saved() == (*second[:2], True)
        was = file.stat()
        (root / "other").write_text("33\n")
        os.utime(root / "other", ns=(was.st_atime_ns, was.st_mtime_ns))
        (root / "other").chmod(0o755)
        (root / "other").replace(file)  # another file of the same size and time
        assert saved()[0] != second[0]
        file.unlink()
        assert dep.status() == {"in.txt": "deleted"}
        file.mkdir()
        assert type(dep) is Dependency
        dep.save()
        assert dep.hash_info.isdir


def test_what_is_read_by_many_is_made_and_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More readers of the same files are more edges, and an edge costs neither."""
    found: Counter[str] = Counter()

    def counted(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **kwargs: object) -> object:
            found[name] += 1
            return call(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(Output, "__init__", counted("made", Output.__init__))
    monkeypatch.setattr(file_hashes, "build", counted("hashed", build))
    taken = {}
    for readers in (1, 2, 4):
        found.clear()
        write_dvc_dense(tmp_path / str(readers), makers=8, readers=readers)
        assert run_pipeline(RunOptions(repo=tmp_path / str(readers))).well
        taken[readers] = dict(found)
    for name in ("made", "hashed"):
        more = [taken[2][name] - taken[1][name], taken[4][name] - taken[2][name]]
        assert more[1] == 2 * more[0]
        assert more[0] < 8, f"{name}: as often as there are edges"


def test_a_chain_is_planned_in_steps_that_grow_as_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0
    hash_of = PipelineStage.__hash__

    def counted(stage: PipelineStage) -> int:
        nonlocal looked
        looked += 1
        return int(hash_of(stage))

    monkeypatch.setattr(PipelineStage, "__hash__", counted)
    taken = []
    for length in (25, 50, 100):
        write_dvc_chain(tmp_path / str(length), length)
        looked = 0
        assert len(make_plan(RunOptions(repo=tmp_path / str(length))).stages) == length
        taken.append(looked)
    assert taken[2] - taken[1] < 2.2 * (taken[1] - taken[0])


def test_a_cycle_is_found(tmp_path: Path) -> None:
    cycle = (
        "stages:\n  a: {cmd: x, deps: [b.txt], outs: [a.txt]}\n  b: {cmd: x, deps: [a.txt], outs: [b.txt]}\n"
    )
    root = make(tmp_path / "r", Shape("cycle", {"dvc.yaml": cycle}), tmp_path)
    with pytest.raises(RepoError, match=r"both a dependency and an output in stages: (a, b|b, a)"):
        make_plan(RunOptions(repo=root))


def test_what_git_tracks_is_read_anew_once_it_is_another(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("readers", FILES), tmp_path)

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)

    with opened(root) as repo:
        tracked = repo.scm.is_tracked
        assert [tracked(str(root / name)) for name in ("in.txt", "sub", "sub/keep", "su", "none")] == (
            [True, True, True, False, False]
        )
        (root / "none").write_text("")
        git("add", "none")
        assert tracked(str(root / "none"))
        git("rm", "--cached", "none")
        assert not tracked(str(root / "none"))
        (root / ".git/index").unlink()
        assert not tracked(str(root / "in.txt"))
