"""A clone of the project in which scheduled runs work: the user's workspace is never touched.

A clone has only commits, so nothing that the user has not committed. It shares DVC's cache with the
workspace, so results that were ever made there are taken from the cache. It commits its own results to a
branch of its own.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

from darkroom.base import interpreter
from darkroom.base.errors import RepoError, UsageError
from darkroom.base.files import STATE_FOLDER, make_state_folder, write_secret
from darkroom.base.git import environment_without_repository, git, require_address, require_revision
from darkroom.base.locks import LockFile
from darkroom.clones import checkout
from darkroom.clones.checkout import CloneError
from darkroom.repository.opening import site_cache_of

AUTHOR = {
    "GIT_AUTHOR_NAME": "darkroom",
    "GIT_AUTHOR_EMAIL": "darkroom@localhost",
    "GIT_COMMITTER_NAME": "darkroom",
    "GIT_COMMITTER_EMAIL": "darkroom@localhost",
}
LOCK_SUFFIX = ".lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Clone:
    """A clone at a commit."""

    folder: Path
    """The clone's git root."""
    root: Path
    """The DVC repository in it."""
    project: Path
    """The git root of the workspace."""
    source: str
    commit: str


def clones_folder(root: Path) -> Path:
    """The folder that holds the clones of the project at `root`."""
    return root / STATE_FOLDER / "clones"


def require_no_password(source: str) -> None:
    """Check that an address holds no password: parameters stand on Prefect's pages.

    Raises:
        UsageError: It holds one.

    """
    with contextlib.suppress(ValueError):
        if urllib.parse.urlsplit(source).password:
            raise UsageError(
                "source: the address holds a password, which everybody would see on Prefect's pages;"
                " leave it out and give it to git by a credential helper"
            )


@contextlib.contextmanager
def held_clone(root: Path, name: str, *, source: str, revision: str) -> Iterator[Clone]:
    """The project's clone `name`, at the newest commit of `revision` in `source`; ours until the block ends.

    Empty ones mean the workspace at `root`, its commits alone, and the branch that is checked out there.

    Raises:
        CloneError: Another run works in the clone, or it cannot be brought up to date.
        UsageError: `source` or `revision` is nothing that git would fetch, or `source` holds a password.

    """
    require_no_password(source)
    require_address("source", source)
    require_revision("revision", revision)
    make_state_folder(root / STATE_FOLDER)
    parent = clones_folder(root)
    parent.mkdir(exist_ok=True)
    top = Path(git(root, "rev-parse", "--show-toplevel"))
    source = str(root / source) if source and (root / source).is_dir() else source
    with LockFile(parent / f"{name}{LOCK_SUFFIX}") as lock:
        if not lock.lock(0, 1):
            raise CloneError(f"{parent / name}: another run works in it; wait until that has ended")
        os.utime(lock.descriptor)  # when it was last worked in
        folder = parent / name / top.name  # Prefect's pages call a run as its folder
        commit = checkout.bring_to_newest(folder, source or str(top), revision or "HEAD")
        inside = folder / git(root, "rev-parse", "--show-prefix")
        _share_cache(root, inside)
        yield Clone(folder=folder, root=inside, project=top, source=source or str(top), commit=commit)


def remove_clone(clone: Clone) -> None:
    """Remove a clone that is held, with all that is kept for it elsewhere, its lock too."""
    remove_site_cache(clone.root)
    parent = clone.folder.parent
    shutil.rmtree(parent)
    parent.with_name(f"{parent.name}{LOCK_SUFFIX}").unlink(missing_ok=True)


def remove_site_cache(root: Path) -> None:
    """Remove what DVC keeps of a repository outside of it: the hashes of its files."""
    with contextlib.suppress(RepoError):
        shutil.rmtree(site_cache_of(root), ignore_errors=True)


def _share_cache(root: Path, inside: Path) -> None:
    """The workspace's own DVC settings, passwords of remotes among them, and its cache."""
    settings = ConfigParser(interpolation=None)
    settings.read(root / ".dvc" / "config.local", encoding="utf-8")
    settings.read_dict({"cache": {"dir": _cache_of(root)}})
    text = io.StringIO()
    settings.write(text)
    write_secret(inside / ".dvc" / "config.local", text.getvalue())


@functools.cache
def _cache_of(root: Path) -> str:
    """Asked once: DVC takes a second to answer."""
    done = subprocess.run(
        interpreter.python_command("dvc", "cache", "dir"),
        cwd=root,
        env=environment_without_repository(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CloneError(f"{root}: dvc cache dir: {' '.join((done.stderr or done.stdout).split())}")
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Results:
    """What a run has made, as a commit."""

    commit: str
    new: bool
    """Whether the commit was made for it; else there was one already that holds the same."""


def commit_results(clone: Clone, branch: str, message: str) -> Results:
    """Commit what a run has made to `branch` of the source.

    A commit's parents are the branch's last one and the code that it was made from: the branch is the history
    of results, and nobody's work is on it.

    Raises:
        GitError: Git cannot commit, or the source does not take the branch.
        UsageError: `branch` can be no name of a branch.

    """
    require_revision("branch", branch)
    before = _last_of(clone, branch)
    git(clone.folder, "add", "--all")
    tree = git(clone.folder, "write-tree")
    for known in filter(None, (before, clone.commit)):
        if tree == git(clone.folder, "rev-parse", f"{known}^{{tree}}"):
            return Results(known, new=False)
    parents = [
        word for commit in dict.fromkeys([before or clone.commit, clone.commit]) for word in ("-p", commit)
    ]
    commit = git(clone.folder, "commit-tree", tree, *parents, "-m", message, env=AUTHOR)
    expected = f"--force-with-lease=refs/heads/{branch}:{before or ''}"  # nobody else's commits are lost
    git(clone.folder, "push", "--quiet", expected, "--", clone.source, f"{commit}:refs/heads/{branch}")
    return Results(commit, new=True)


def _last_of(clone: Clone, branch: str) -> str | None:
    """The last commit of a branch in the source, fetched; None where there is no such branch."""
    if not git(clone.folder, "ls-remote", "--", clone.source, f"refs/heads/{branch}"):
        return None
    checkout.fetch_revision(clone.folder, clone.source, f"refs/heads/{branch}")
    return git(clone.folder, "rev-parse", "FETCH_HEAD^{commit}")
