"""Opens a DVC repository, and gives its lock and its parameters."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from dvc.lock import LockError
from dvc.repo import Repo

from darkroom.base.errors import UsageError
from darkroom.processes.process_group import find_process, open_anywhere
from darkroom.repository.errors import mended
from darkroom.repository.patches.replacing import patched_dvc

_PARTIAL = re.compile(r"\..*\.(\d+)\.partial")  # as darkroom.base.files names them
OTHERS_SECONDS = 86_400.0
"""The age from which a half-written file in a shared cache belongs to no living process, in seconds."""

_TEMPORARY = re.compile(r"\.[\w-]{22}\.tmp")  # as DVC names its own files


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Repo]:
    """DVC's repository that `folder` is in; meanwhile DVC is patched (`darkroom.repository.patches`).

    Behind links: DVC holds the paths of its stages against the current directory, which knows no links.

    Raises:
        RepoError: There is none, or DVC cannot open it.

    """
    with patched_dvc():
        with mended(f"{folder}: "):
            root = Repo.find_root(os.path.realpath(folder))
        with mended():
            repo = Repo(root)
        # DVC opens and closes this database for each out, which costs more than the rest of a small one.
        with contextlib.suppress(AttributeError):  # a repository without it
            repo.state.links.close = lambda: None
        try:
            yield repo
        finally:
            with contextlib.suppress(AttributeError):
                del repo.state.links.close
            with mended():
                repo.close()


@contextlib.contextmanager
def locked(repo: Repo, stop: threading.Event) -> Iterator[None]:
    """DVC's repository lock, waited for; nothing of DVC's state is changed without it.

    DVC's own `lock_repo` also closes the database of file hashes each time, which costs more than the
    rest of a small stage; here it stays open. What git ignores is read anew: commands may change it.

    Raises:
        KeyboardInterrupt: The run is told to stop while another process holds the lock.

    """
    _take_lock(repo, stop)
    repo._lock_depth += 1
    try:
        repo.scm._reset()
        yield
    finally:
        repo._lock_depth -= 1
        repo.lock.unlock()


def _take_lock(repo: Repo, stop: threading.Event) -> None:
    while True:
        try:
            repo.lock.lock()
            return
        except LockError:  # it has waited a few seconds
            if stop.is_set():
                raise KeyboardInterrupt from None


def remove_half_written(repo: Repo) -> None:
    """Remove what a killed process left half-written in the cache inside this repository and beside outs.

    Whoever writes there holds the repository's lock, unless it is another repository that shares the cache.
    """
    found = [*_left_in_cache(repo), *_left_beside_outs(repo)]
    in_use = open_anywhere() if found else set()
    for left in found:
        if os.path.realpath(left) not in in_use:
            left.unlink(missing_ok=True)
    for entries in Path(repo.stage_cache.cache_dir).glob("??/*"):
        with contextlib.suppress(OSError):  # not empty, as nearly all are
            entries.rmdir()


def _left_in_cache(repo: Repo) -> Iterator[Path]:
    cache, runs = Path(repo.cache.local.path), Path(repo.stage_cache.cache_dir)
    # A cache elsewhere may be another host's, too, whose open files cannot be seen from here.
    before = time.time() - (0 if cache.is_relative_to(repo.dvc_dir) else OTHERS_SECONDS)
    for folder, names in ((cache, "*.tmp"), (cache, "??/*.tmp"), (runs, "??/*/*.tmp")):
        for left in folder.glob(names):
            with contextlib.suppress(FileNotFoundError):
                if left.stat().st_mtime <= before:
                    yield left


def _left_beside_outs(repo: Repo) -> Iterator[Path]:
    """DVC tries its types of links there, and copies to such a name first."""
    for folder in {Path(out.fs_path).parent for out in repo.index.outs if out.is_in_repo}:
        yield from (path for path in folder.glob(".*.tmp") if _TEMPORARY.fullmatch(path.name))


def remove_partial_files(*folders: Path) -> None:
    """Remove the half-written files of dead processes; they have the process's number in their name."""
    for path in (path for folder in folders for path in folder.glob(".*.partial")):
        if match := _PARTIAL.fullmatch(path.name):
            writer = find_process(int(match[1]))
            if writer is None or writer.zombie or writer.pid == os.getpid():
                path.unlink(missing_ok=True)


def site_cache_of(root: Path) -> Path:
    """The folder outside of the repository where DVC keeps the hashes of the repository's files.

    Raises:
        RepoError: There is no repository, or DVC cannot open it.

    """
    with opened(root) as repo:
        return Path(repo.site_cache_dir)


def set_params(root: Path, settings: Sequence[str]) -> None:
    """Write parameters as `dvc exp run -S` does.

    Raises:
        UsageError: A setting cannot be read, or names a key or a file that is not there.

    """
    from dvc.utils.cli_parse import to_path_overrides
    from dvc.utils.hydra import apply_overrides

    with mended(kind=UsageError):
        for file, overrides in to_path_overrides(settings).items():
            apply_overrides(root / file, overrides)
