"""Git commands for the repository of a given folder, and for no other. They never ask the user anything."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from darkroom.base.errors import RepoError, UsageError
from darkroom.base.files import STATE_FOLDER

OF_A_REPOSITORY = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NAMESPACE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
"""Variables of one repository: git gives them to its hooks (`git rev-parse --local-env-vars` lists most)."""

TRANSPORTS = ("file", "git", "http", "https", "ssh")
"""How repositories may be reached; git knows others (`ext::`) that execute commands."""

_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": ":".join(TRANSPORTS)}
_SCHEMES = (*TRANSPORTS, "git+ssh", "ssh+git")
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_SCHEME = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]*)://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What `git check-ref-format` refuses, and the signs that a refspec begins with.
_NO_REVISION = re.compile(r"^[-+/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[/.]$|^@$")


class GitError(RepoError):
    """Git refuses or fails; with its own words."""


def git(
    folder: Path,
    *words: str,
    env: Mapping[str, str] | None = None,
    given: str = "",
    fails: str | None = None,
) -> str:
    """What git prints, without its last line end. `given`: its input. `fails`: that instead, where it fails.

    Raises:
        GitError: Git ended with an error and `fails` is None; the message has git's own words.

    """
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        env={**_QUIET, **environment_without_repository(os.environ), **_not_above(folder), **(env or {})},
        input=given,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
    if not done.returncode:
        return done.stdout.removesuffix("\n")
    if fails is not None:
        return fails
    name = next((word for word in words if not word.startswith("-") and "=" not in word), "")
    raise GitError(f"{folder}: git {name}: {' '.join((done.stderr or done.stdout).split())}")


_BY_DVC = (".gitignore", "dvc.lock")


def require_committed(root: Path, made: Collection[Path], stage: str) -> None:
    """Check that everything in the repository at `root` is committed, except what DVC and the stages write.

    `made` are the stages' outs; `stage` is one that is to be executed from the commit, for the message.

    Raises:
        UsageError: Something is not committed; the message names the first such file.
        GitError: There is no commit, or git cannot say what has changed.

    """
    top = Path(git(root, "rev-parse", "--show-toplevel"))
    said = git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
    for entry in said.split("\0"):
        path = top / entry[3:]
        ours = path.name in _BY_DVC or path.suffix == ".dvc" or STATE_FOLDER in path.parts
        if entry and not ours and not any(place in made for place in (path, *path.parents)):
            raise UsageError(
                f"{entry[3:]}: not committed, and {stage} is to run on another host, which has only commits;"
                " commit it, or run here without a pool"
            )


def environment_without_repository(environ: Mapping[str, str]) -> dict[str, str]:
    """One without the repository that a hook was called for."""
    return {name: value for name, value in environ.items() if name not in OF_A_REPOSITORY}


@contextlib.contextmanager
def no_hook() -> Iterator[None]:
    """Let this process's own libraries work on the repository that they are given, too."""
    before = {name: os.environ.pop(name) for name in OF_A_REPOSITORY & os.environ.keys()}
    try:
        yield
    finally:
        os.environ.update(before)


def require_address(name: str, address: str) -> None:
    """Check that git takes `address` for a repository's path or address, and for nothing else.

    Raises:
        UsageError: It is no such address, or one by a transport that is not among TRANSPORTS.

    """
    scheme = _SCHEME.match(address)
    if address.startswith("-") or _CONTROL.search(address):
        raise UsageError(
            f"{name}: {address!r} is no repository's address; give a path or an https or ssh one"
        )
    if _HELPER.match(address) or (scheme and scheme[1].lower() not in _SCHEMES):
        raise UsageError(f"{name}: {address!r}: repositories are fetched by {', '.join(TRANSPORTS)} alone")


def require_revision(name: str, revision: str) -> None:
    """Check that `revision` can be the name of a branch or tag, or a commit's hash.

    Raises:
        UsageError: Git would refuse it as a name, or take it for something else.

    """
    if _NO_REVISION.search(revision):
        raise UsageError(
            f"{name}: {revision!r} is no name of a branch or tag; `git branch --all` lists branches"
        )


def _not_above(folder: Path) -> dict[str, str]:
    """A clone lies in another repository's folder: where it is broken, git would work on that."""
    return {"GIT_CEILING_DIRECTORIES": str(folder.absolute().parent)} if (folder / ".git").exists() else {}
