"""A clone of the project that scheduled runs work in: the user's workspace is never touched.

It takes commits only, so never what the user has not committed; it shares DVC's cache with the workspace, so
that what was ever made there is taken from the cache; and what it makes it commits to a branch of its own.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

from flows.errors import DarkroomError, UsageError
from flows.files import STATE_FOLDER, write_secret
from flows.lock_files import LockFile
from flows.run import make_state_folder

AUTHOR = {
    "GIT_AUTHOR_NAME": "darkroom",
    "GIT_AUTHOR_EMAIL": "darkroom@localhost",
    "GIT_COMMITTER_NAME": "darkroom",
    "GIT_COMMITTER_EMAIL": "darkroom@localhost",
}


class CloneError(DarkroomError):
    """The clone cannot be made, brought up to date, or its results not be committed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clone:
    """A clone at a commit."""

    folder: Path
    """Its git root."""
    root: Path
    """The DVC repository in it."""
    source: str
    commit: str


def require_no_password(source: str) -> None:
    """Raise UsageError where an address holds a password: parameters stand on Prefect's pages."""
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
    Raises CloneError.
    """
    require_no_password(source)
    make_state_folder(root / STATE_FOLDER)
    parent = root / STATE_FOLDER / "clones"
    parent.mkdir(exist_ok=True)
    top = Path(git(root, "rev-parse", "--show-toplevel"))
    with LockFile(parent / f"{name}.lock") as lock:
        if not lock.lock(0, 1):
            raise CloneError(f"{parent / name}: another run works in it; wait until that has ended")
        (parent / f"{name}.lock").touch()  # when it was last worked in
        folder = parent / name / top.name  # Prefect's pages call a run as its folder
        commit = _bring_to_newest(folder, source or str(top), revision or "HEAD")
        inside = folder / git(root, "rev-parse", "--show-prefix")
        _share_cache(root, inside)
        yield Clone(folder=folder, root=inside, source=source or str(top), commit=commit)


def _bring_to_newest(folder: Path, source: str, revision: str) -> str:
    """Make the clone where it is missing, and check out the newest commit; returns that."""
    if not (folder / ".git").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet")
    (folder / ".git" / "index.lock").unlink(missing_ok=True)  # of a git that was killed; nobody else is here
    git(folder, "fetch", "--quiet", "--no-tags", source, revision)
    commit = git(folder, "rev-parse", "FETCH_HEAD^{commit}")
    if commit != git(folder, "rev-parse", "--quiet", "--verify", "HEAD", fails=""):
        git(folder, "clean", "--quiet", "--force", "-d", fails="")  # what a run of another commit has left
    git(folder, "checkout", "--quiet", "--force", "--detach", commit)
    return commit


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
    return _call([sys.executable, "-P", "-m", "dvc", "cache", "dir"], root)


@dataclass(frozen=True, slots=True)
class Results:
    """What a run has made, as a commit."""

    commit: str
    new: bool
    """Whether the commit was made for it; else there was one already that holds the same."""


def commit_results(clone: Clone, branch: str, message: str) -> Results:
    """Commit what a run has made to `branch` of the source.

    A commit's parents are the branch's last one and the code that it was made from: the branch is the history
    of results, and nobody's work is on it. Raises CloneError.
    """
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
    git(clone.folder, "push", "--quiet", expected, clone.source, f"{commit}:refs/heads/{branch}")
    return Results(commit, new=True)


def _last_of(clone: Clone, branch: str) -> str | None:
    """The last commit of a branch in the source, fetched; None where there is no such branch."""
    if not git(clone.folder, "ls-remote", clone.source, f"refs/heads/{branch}"):
        return None
    git(clone.folder, "fetch", "--quiet", "--no-tags", clone.source, f"refs/heads/{branch}")
    return git(clone.folder, "rev-parse", "FETCH_HEAD^{commit}")


def git(folder: Path, *words: str, env: Mapping[str, str] | None = None, fails: str | None = None) -> str:
    """What git prints. `fails`: that instead, where it fails. Raises CloneError."""
    try:
        return _call(["git", *words], folder, {**_plain_git(), **(env or {})})
    except CloneError:
        if fails is None:
            raise
        return fails


def _plain_git() -> dict[str, str]:
    """No repository that the environment names, and no question asked of nobody."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    return {**kept, "GIT_TERMINAL_PROMPT": "0"}


def _call(command: list[str], folder: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        words = " ".join(word for word in command[:2] if not word.startswith("/"))
        raise CloneError(f"{folder}: {words}: {' '.join((done.stderr or done.stdout).split())}")
    return done.stdout.strip()
