"""What in DVC's cache nothing refers to, found by DVC's objects and not by its printed output."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from darkroom.repository.errors import mended
from darkroom.repository.opening import opened

KEPT = {"all_branches": True, "all_tags": True, "all_experiments": True}
"""What is kept beside what the workspace refers to: the released models are behind tags."""


def shared_cache(root: Path) -> Path | None:
    """The repository's cache, if it lies outside of it: other repositories may need what is in it.

    Raises:
        RepoError: The repository cannot be opened.

    """
    with opened(root) as repo:
        cache = Path(repo.cache.local_cache_dir).resolve()
        return None if cache.is_relative_to(Path(repo.root_dir).resolve()) else cache


def unused(root: Path, others: Sequence[Path], since: datetime.date | None) -> list[Path]:
    """The files of the cache that neither the repository nor the `others`, which share it, refer to.

    What a commit of `since` or later refers to is in use; None: only what branches and tags point to.

    Raises:
        RepoError: One of the repositories cannot be opened or locked, or DVC cannot tell what it uses.

    """
    with contextlib.ExitStack() as stack:
        repos = [stack.enter_context(opened(folder)) for folder in (*others, root)]
        with mended("dvc gc: "):
            for repo in repos:
                stack.enter_context(repo.lock)
            used = {(one.name, one.value) for repo in repos for one in _used(repo, since)}
            return [path for key, path in _objects(repos[-1]) if key not in used]


def remove_unused(root: Path, others: Sequence[Path], since: datetime.date | None) -> None:
    """Remove from the cache what `unused` finds.

    Raises:
        RepoError: DVC cannot remove all of it.

    """
    with opened(root) as repo, mended("dvc gc: "):
        folders = [str(folder) for folder in others]
        repo.gc(workspace=True, force=True, repos=folders, **_kept(since))


def _kept(since: datetime.date | None) -> dict[str, Any]:
    return KEPT | ({"commit_date": since.isoformat()} if since else {})


def _used(repo: Any, since: datetime.date | None) -> Iterator[Any]:
    for hashes in repo.used_objs(**_kept(since)).values():
        yield from hashes


def _objects(repo: Any) -> Iterator[tuple[tuple[str, str], Path]]:
    """Each object of the caches on this host: the name of the hash and its value; its file."""
    databases = {odb.path: odb for _, odb in repo.cache.by_scheme() if odb and odb.fs.protocol == "local"}
    for odb in databases.values():
        for oid in odb.all():
            yield (odb.hash_name, oid), Path(odb.oid_to_path(oid))
