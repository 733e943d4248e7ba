"""Git called for one repository: from a hook in a worktree, with hostile parameters, for odd clones."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

import pytest

from darkroom.base.errors import UsageError
from darkroom.base.git import (
    OF_A_REPOSITORY,
    environment_without_repository,
    require_address,
    require_revision,
)
from darkroom.base.git import git as call
from darkroom.clones.checkout import CloneError, resolve_address
from darkroom.clones.clone import Clone, commit_results, held_clone
from tests.darkroom.repositories import contents, git, make
from tests.darkroom.shapes import Shape

IN_A_HOOK = """\
from pathlib import Path
from darkroom.clones.clone import commit_results, held_clone
with held_clone(Path.cwd(), "c", source="", revision="") as clone:
    (clone.folder / "made").write_text("1")
    print(commit_results(clone, "results", "made").new)
"""
LOCAL = ("-c", "protocol.file.allow=always")


def test_all_variables_that_git_calls_local_are_cleared() -> None:
    """But for what git has dropped: an older one may know more."""
    listed = git(Path(), "rev-parse", "--local-env-vars").split()
    assert set(listed) <= OF_A_REPOSITORY
    assert environment_without_repository({**dict.fromkeys(OF_A_REPOSITORY, "x"), "PATH": "p"}) == {
        "PATH": "p"
    }


@pytest.mark.parametrize(
    "address",
    ["-x", "--upload-pack=touch x", "ext::sh -c id", "fd::7", "a\nb", "hg::x", "foo://x", "EXT::sh", "\0"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"^source: ") as error:
        require_address("source", address)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/srv/a.git",
        "../a",
        "file:///a",
        "https://h/a.git",
        "git@h:a.git",
        "ssh://h/a",
        "[::1]:a",
        "h:a::b",
    ],
)
def test_addresses_are_taken(address: str) -> None:
    require_address("source", address)


@pytest.mark.parametrize(
    "revision",
    ["-x", "--all", "a:b", "+a", "^a", "a..b", "a b", "a\nb", "a~1", "a*", "a@{1}", "@", "a.lock", "/a"],
)
def test_what_is_no_revision_is_refused(revision: str) -> None:
    with pytest.raises(UsageError, match=r"^revision: "):
        require_revision("revision", revision)


def test_revisions_are_taken() -> None:
    for revision in ("", "HEAD", "main", "feature/a-b_c", "v1.0", "refs/heads/x", "f" * 40, "größe"):
        require_revision("revision", revision)


@pytest.mark.parametrize(
    ("address", "base", "expected"),
    [
        ("../b.git", "https://h/x/a.git", "https://h/x/b.git"),
        ("../../y/b", "https://h/x/a.git/", "https://h/y/b"),
        ("./b", "/srv/a", "/srv/a/b"),
        ("../b", "git@h:a", "git@h:b"),
        ("../b", "git@h:x/a", "git@h:x/b"),
        ("/srv/b", "https://h/a", "/srv/b"),
    ],
)
def test_relative_addresses_of_submodules(address: str, base: str, expected: str) -> None:
    assert resolve_address(address, base) == expected


def newest(root: Path, source: str = "", revision: str = "") -> Clone:
    with held_clone(root, "c", source=source, revision=revision) as clone:
        return clone


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "project", Shape("git", {"a.txt": "1\n"}), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["pre-commit", "post-checkout"])
def test_from_a_hook_in_a_worktree_the_users_index_and_files_stay(
    root: Path, tmp_path: Path, hook: str
) -> None:
    tree = tmp_path / "tree"
    git(root, "worktree", "add", "-q", "-b", "other", str(tree))
    told, path = tmp_path / "told", root / ".git" / "hooks" / hook
    (tmp_path / "hook.py").write_text(IN_A_HOOK)
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{sys.executable} {tmp_path / 'hook.py'} > {told} 2>&1\n")
    path.chmod(0o755)
    (tree / "staged.txt").write_text("staged\n")
    git(tree, "add", "staged.txt")
    (tree / "a.txt").write_text("changed\n")
    before = git(tree, "ls-files", "--stage")
    if hook == "pre-commit":
        git(tree, "commit", "-qm", "two")
        assert git(tree, "show", "HEAD:staged.txt") == "staged\n"
    else:
        git(tree, "checkout", "-q", "-b", "third")
    assert told.read_text() == "True\n"
    assert git(tree, "ls-files", "--stage") == before
    assert (tree / "a.txt").read_text() == "changed\n"
    assert git(root, "show", "results:made") == "1"


@pytest.mark.slow
def test_a_clone_that_git_cannot_read_is_made_anew_and_the_workspace_stays(root: Path) -> None:
    clone = newest(root)
    (clone.folder / ".git" / "HEAD").write_text("")  # as a power cut leaves it
    (root / "a.txt").write_text("not committed\n")
    (root / "new.txt").write_text("not committed\n")
    before = contents(root)
    assert (newest(root).folder / "a.txt").read_text() == "1\n"
    assert contents(root) == before


@pytest.mark.slow
def test_shallow_partial_and_borrowing_clones(root: Path, tmp_path: Path) -> None:
    (root / "a.txt").write_text("2\n")
    git(root, "commit", "-qam", "two")
    git(root, "config", "uploadpack.allowFilter", "true")
    url = f"file://{root}"
    ways = {
        "shallow": ["--depth=1", url],
        "partial": ["--filter=blob:none", url],
        "borrows": ["-s", str(root)],
    }
    for name, words in ways.items():
        git(tmp_path, "clone", "-q", *words, name)
        here = tmp_path / name
        if name == "partial":
            root.rename(tmp_path / "gone")  # what it lacks cannot be had now
        clone = newest(here)
        (clone.folder / "made").write_text(name)
        made = commit_results(clone, "results", "made")
        assert git(here, "show", f"{made.commit}:made") == name
        assert (newest(here).folder / "a.txt").read_text() == "2\n"
        if name == "partial":
            (tmp_path / "gone").rename(root)


def commit(folder: Path, text: str) -> str:
    (folder / "code.txt").write_text(text)
    git(folder, "add", "-A")
    git(folder, *LOCAL, "commit", "-qm", text)
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.mark.slow
def test_submodules_in_submodules_at_commits_of_the_workspace_alone(root: Path, tmp_path: Path) -> None:
    for name in ("inner", "lib"):
        git(tmp_path, "init", "-q", name)
        commit(tmp_path / name, name)
    git(tmp_path / "lib", *LOCAL, "submodule", "add", "-q", "../inner", "inner")
    commit(tmp_path / "lib", "with inner")
    git(root, "remote", "add", "origin", str(tmp_path / "project-elsewhere"))
    git(root, *LOCAL, "submodule", "add", "-q", "../lib", "lib")
    git(root, "commit", "-qam", "with lib")
    # Neither the submodule's own submodule nor, in a clone of the project, the submodule is initialised.
    assert (newest(root).folder / "lib/inner/code.txt").read_text() == "inner"
    local = commit(root / "lib", "of the workspace alone")
    git(root, "commit", "-qam", "newer lib")
    clone = newest(root)
    assert (clone.folder / "lib/code.txt").read_text() == "of the workspace alone"
    (clone.folder / "made").write_text("1")
    made = commit_results(clone, "results", "made")
    assert git(root, "rev-parse", f"{made.commit}:lib").strip() == local
    # A submodule that is gone leaves nothing that could be committed.
    git(root, "rm", "-qf", "lib")
    git(root, "commit", "-qm", "without lib")
    assert not (newest(root).folder / "lib").exists()


@pytest.mark.slow
def test_a_submodule_that_cannot_be_had_is_named_and_may_be_left_out(root: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "lib")
    commit(tmp_path / "lib", "lib")
    git(root, *LOCAL, "submodule", "add", "-q", str(tmp_path / "lib"), "lib")
    git(root, "commit", "-qam", "with lib")
    shutil.rmtree(root / "lib")
    shutil.rmtree(tmp_path / "lib")
    with pytest.raises(CloneError, match=r"^submodule lib: .*submodule\.lib\.update none") as error:
        newest(root)
    assert "\n" not in str(error.value)
    git(root, "config", "submodule.lib.update", "none")
    assert not (newest(root).folder / "lib/code.txt").exists()


@pytest.mark.slow
def test_nothing_is_executed_by_parameters(root: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for source, revision in (
        (f"ext::touch {mark}", ""),
        ("", f"--upload-pack=touch {mark}"),
        (f"--upload-pack=touch {mark}", "x"),
    ):
        with pytest.raises(UsageError):
            newest(root, source, revision)
    clone = newest(root)
    for branch in ("--force", "a:refs/heads/main", "a\nb"):
        with pytest.raises(UsageError, match="branch: "):
            commit_results(clone, branch, "made")
    with contextlib.suppress(Exception):
        call(clone.folder, "fetch", "--", f"ext::touch {mark}", "HEAD")
    assert not mark.exists()
