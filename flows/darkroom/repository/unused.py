"""What of DVC's cache nothing refers to: counted by its objects, not by what DVC prints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from darkroom.repository.errors import mended
from darkroom.repository.opening import opened

KEPT = {"all_branches": True, "all_tags": True, "all_experiments": True}
"""What is kept beside what the workspace refers to: the released models are behind tags."""


def unused(root: Path, others: Sequence[Path]) -> list[Path]:
    """The files of the cache that neither the repository nor the `others`, which share it, refer to.

    Raises:
        RepoError: One of the repositories cannot be opened or locked, or DVC cannot tell what it uses.

    """
    with contextlib.ExitStack() as stack:
        repos = [stack.enter_context(opened(folder)) for folder in (*others, root)]
        with mended("dvc gc: "):
            for repo in repos:
                stack.enter_context(repo.lock)
            used = {(one.name, one.value) for repo in repos for one in _used(repo)}
            return [path for key, path in _objects(repos[-1]) if key not in used]


def remove_unused(root: Path, others: Sequence[Path]) -> None:
    """Remove from the cache what `unused` finds.

    Raises:
        RepoError: DVC cannot remove all of it.

    """
    with opened(root) as repo, mended("dvc gc: "):
        repo.gc(workspace=True, force=True, repos=[str(folder) for folder in others], **KEPT)


def _used(repo: Any) -> Iterator[Any]:
    for hashes in repo.used_objs(**KEPT).values():
        yield from hashes


def _objects(repo: Any) -> Iterator[tuple[tuple[str, str], Path]]:
    """Each object of the caches on this host: the name of the hash and its value; its file."""
    databases = {odb.path: odb for _, odb in repo.cache.by_scheme() if odb and odb.fs.protocol == "local"}
    for odb in databases.values():
        for oid in odb.all():
            yield (odb.hash_name, oid), Path(odb.oid_to_path(oid))
