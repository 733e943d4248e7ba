"""Releases as git tags by GTO's convention: `gto show` lists them, `dvc artifacts get` gets their files.

A version tag, `pictures@v0.2.0`, marks a commit that has dvc.lock. A stage tag, `pictures#prod#3`, says which
version is in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gto.api
from gto.exceptions import GTOException

from darkroom.base.errors import DarkroomError
from darkroom.base.git import git, no_hook
from darkroom.clones.clone import AUTHOR

FIRST = "v0.1.0"


class ReleaseError(DarkroomError):
    """A release that cannot be made or taken back."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version and its commit."""

    version: str
    commit: str


def released_version(repo: Path, name: str, stage: str) -> Release | None:
    """The version that was assigned to the stage last; None: none was.

    So do `dvc artifacts get --stage` and `gto show` take it; `gto.api` has the highest that ever was.
    """
    commit = next(iter(_commits(repo, f"{name}#{stage}#*").values()), None)
    version = next((version for version, made in known_versions(repo, name).items() if made == commit), None)
    return Release(version, commit) if version and commit else None


def make_release(repo: Path, name: str, stage: str, commit: str, message: str) -> tuple[Release, list[str]]:
    """Make the next version of a commit, if it has none, and assign it to the stage; and the tags of both.

    Raises:
        ReleaseError: GTO refuses the version or its assignment.

    """
    known = known_versions(repo, name)
    version = next((version for version, made in known.items() if made == commit), None)
    author, email = AUTHOR["GIT_AUTHOR_NAME"], AUTHOR["GIT_AUTHOR_EMAIL"]
    try:
        with no_hook():
            if version is None:
                made = gto.api.register(
                    str(repo),
                    name,
                    commit,
                    version=None if known else FIRST,
                    bump_minor=bool(known),
                    message=message,
                    author=author,
                    author_email=email,
                )
                version = made.version
            assigned = gto.api.assign(
                str(repo),
                name,
                stage,
                version=version,
                message=message,
                force=True,
                author=author,
                author_email=email,
            )
    except GTOException as error:
        raise ReleaseError(f"{name}: {error}") from error
    return Release(version, commit), [f"{name}@{version}", assigned.tag]


def roll_back(repo: Path, name: str, stage: str) -> Release:
    """Assign the last version below the released one that was ever assigned.

    Raises:
        ReleaseError: No earlier version was ever assigned to the stage.

    """
    current = released_version(repo, name, stage)
    used = set(_commits(repo, f"{name}#{stage}#*").values())
    versions = known_versions(repo, name)
    below = list(versions)[list(versions).index(current.version) + 1 :] if current else []
    before = next((version for version in below if versions[version] in used), None)
    if before is None:
        raise ReleaseError(f"{name}: no earlier version was in {stage}; `gto history {name}` lists what was")
    return make_release(repo, name, stage, versions[before], f"Roll {name} back")[0]


def known_versions(repo: Path, name: str) -> dict[str, str]:
    """The versions of a release with their commits, the highest version first."""
    return {tag.partition("@")[2]: commit for tag, commit in _commits(repo, f"{name}@v*").items()}


def _commits(repo: Path, pattern: str) -> Mapping[str, str]:
    """The tags that fit the pattern with their commits, the highest version first."""
    form = "--format=%(refname:strip=2) %(*objectname)"
    listed = git(repo, "for-each-ref", "--sort=-version:refname", form, f"refs/tags/{pattern}")
    return dict(line.split(" ", 1) for line in listed.splitlines())
