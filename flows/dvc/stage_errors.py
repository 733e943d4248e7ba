"""What goes wrong with one stage, as one line that starts with its name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.lock import LockError

from flows.dvc.errors import one_line
from flows.dvc.graph import name_of
from flows.errors import StageError, explain
from flows.scheduler import Busy

FULL_BYTES = 1 << 16
"""A disk with less free counts as full: some is freed again by what fails on it."""


@contextlib.contextmanager
def stage_errors(repo: Any, name: str) -> Iterator[None]:
    """All that is raised, but Busy, as a StageError; Busy where DVC finds a lock taken."""
    try:
        yield
    except Busy:
        raise
    except LockError as error:
        raise Busy(one_line(error).partition(" If there are no processes")[0]) from error
    except FileNotFoundError as error:
        raise StageError(f"{name}: {_told_of_missing(repo, error)}") from error
    except StageError as error:
        raise StageError(f"{name}: {error}") from error
    except OSError as error:
        raise StageError(f"{name}: {explain(error, repo.root_dir)}") from error
    except Exception as error:  # DVC itself goes on after any error of a stage, its own bugs included
        kind = "" if isinstance(error, DvcException) else f"{type(error).__name__}: "
        said = f"{kind}{one_line(error)}{told_of_full_disks(repo)}"
        raise StageError(f"{name}: {said}") from error


def _told_of_missing(repo: Any, error: FileNotFoundError) -> str:
    if not error.filename:
        return one_line(error)
    path = os.path.relpath(error.filename)
    if Path(path).is_symlink():
        return f"{path}: a link to what is gone (in DVC's cache?); bring that back, or remove the link"
    for step in repo.index.outs_trie.prefixes(repo.fs.parts(str(Path(path).absolute()))):
        return f"{path}: no such file; run the stage that makes it first: {name_of(step.value.stage)}"
    return f"{path}: no such file, and no stage makes it; put it there, or mend the deps in dvc.yaml"


def told_of_full_disks(repo: Any) -> str:
    """Where no space is left of what results are written to; empty where there is some."""
    places = {"the workspace": Path(repo.root_dir), "DVC's cache": Path(repo.cache.local.path)}
    return "".join(
        f"; no space is left on the disk of {what} ({path}), free some"
        for what, path in places.items()
        if _full(path)
    )


def _full(path: Path) -> bool:
    """Whether next to nothing is free there for us."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    disk = os.statvfs(there)
    return disk.f_bavail * disk.f_frsize < FULL_BYTES
