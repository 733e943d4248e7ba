"""The files of a commit, both git's and DVC's, without a checkout."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.repo.brancher import switch
from dvc.scm import NoSCM

from darkroom.base.errors import RepoError
from darkroom.repository.errors import mended
from darkroom.repository.patches.replacing import patched_dvc


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's files; their paths are from the root."""

    _repo: Any

    def hashes(self, path: str) -> dict[str, str]:
        """The hashes that tell whether a path is the same in another commit.

        An out or a file has one, under ""; a folder has one for each file below it, by its path in there.

        Raises:
            RepoError: The path is not in the commit, or its content cannot be read.

        """
        fs = self._repo.dvcfs
        with mended(f"{path}: "):
            if fs.info(path).get("md5") or fs.isfile(path):
                return {"": self._hash(path)}
            return {os.path.relpath(name, path): self._hash(name) for name in fs.find(path)}

    def files(self, path: str) -> list[str]:
        """The files of an out or of a folder, sorted; a file is its own.

        Raises:
            RepoError: The path is not in the commit, or neither cache nor remote has the folder's list.

        """
        with mended(f"{path}: "):
            fs = self._repo.dvcfs
            return sorted(fs.find(path)) if fs.isdir(path) else [path] if fs.isfile(path) else []

    def read(self, path: str) -> bytes:
        """A file's content, from the DVC remote where the cache does not have it.

        Raises:
            RepoError: The file is not in the commit, or neither cache nor remote has its content.

        """
        with mended(f"{path}: "):
            content: bytes = self._repo.dvcfs.read_bytes(path)
            return content

    def read_here(self, path: str) -> bytes | None:
        """A file's content from git or from the cache; None where neither has it."""
        fs = self._repo.dvcfs
        with contextlib.suppress(RepoError), mended(f"{path}: "):
            known = fs.info(path).get("md5")
            return Path(self._repo.cache.local.oid_to_path(known)).read_bytes() if known else self.read(path)
        return None

    def _hash(self, path: str) -> str:
        fs = self._repo.dvcfs
        known: str | None = fs.info(path).get("md5")
        return known or hashlib.md5(fs.read_bytes(path), usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def opened_commit(folder: Path, revision: str) -> Iterator[Commit]:
    """The repository as it is at a revision.

    Raises:
        RepoError: There is no repository, it has no commits, or it does not know the revision.

    """
    with contextlib.ExitStack() as opened:
        with mended():
            opened.enter_context(patched_dvc())
            repo = opened.enter_context(Repo(folder))
            opened.enter_context(contextlib.chdir(repo.root_dir))
            if isinstance(repo.scm, NoSCM) or repo.scm.no_commits:
                raise RepoError(f"{folder}: it has no commits")
            opened.enter_context(switch(repo, revision))
        yield Commit(repo)
