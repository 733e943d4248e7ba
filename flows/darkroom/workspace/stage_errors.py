"""Errors of a single stage: one line that starts with the stage's name."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.lock import LockError
from dvc.stage.exceptions import MissingDataSource

from darkroom.base.errors import TRACEBACK, StageRecordError, describe_fault, explain_os_error, is_own
from darkroom.base.text import format_reasons
from darkroom.repository.errors import error_line, one_line
from darkroom.repository.graph import name_of
from darkroom.schedule.scheduler import Busy

FULL_BYTES = 1 << 16
"""A disk with less free counts as full: some is freed again by what fails on it."""


@contextlib.contextmanager
def stage_errors(repo: Any, name: str) -> Iterator[None]:
    """Turn whatever is raised into one line that starts with the stage's name; Busy stays Busy.

    Raises:
        Busy: DVC finds a lock taken, or another process uses the stage's paths.
        StageRecordError: Anything else went wrong with the stage.

    """
    try:
        yield
    except Busy:
        raise
    except LockError as error:
        raise Busy(one_line(error).partition(" If there are no processes")[0]) from error
    except FileNotFoundError as error:
        raise StageRecordError(f"{name}: {_describe_missing(repo, error)}") from error
    except MissingDataSource as error:
        stage = next(stage for stage in repo.index.stages if name_of(stage) == name)
        gone = [out.fs_path for out in stage.outs if not out.exists]
        raise StageRecordError(
            f"{name}: {format_reasons([_describe_gone(repo, path) for path in gone])}"
        ) from error
    except StageRecordError as error:
        raise StageRecordError(f"{name}: {error}") from error
    except OSError as error:
        raise StageRecordError(f"{name}: {explain_os_error(error, repo.root_dir)}") from error
    except Exception as error:  # DVC itself goes on after any error of a stage, its own bugs included
        if is_own(error) and os.environ.get(TRACEBACK):
            traceback.print_exception(error)
        said = describe_fault(error) if is_own(error) else error_line(error)
        raise StageRecordError(f"{name}: {said}{full_disks_in_words(repo)}") from error


def _describe_missing(repo: Any, error: FileNotFoundError) -> str:
    if not error.filename:
        return one_line(error)
    return _describe_gone(repo, error.filename)


def _describe_gone(repo: Any, path: str | bytes) -> str:
    """How to get a file or folder that is not there."""
    here = os.path.relpath(os.fsdecode(path))
    if Path(here).is_symlink():
        return f"{here}: a link to what is gone (in DVC's cache?); bring that back, or remove the link"
    for step in repo.index.outs_trie.prefixes(repo.fs.parts(str(Path(here).absolute()))):
        out = step.value
        if out.stage.cmd and out.stage.frozen:
            name = name_of(out.stage)
            return (
                f"{here}: no such file, and {name}, which makes it, is frozen;"
                f" `dvc checkout {here}`, or `dvc unfreeze {name}` and run it"
            )
        if out.stage.cmd:
            return f"{here}: no such file; run the stage that makes it first: {name_of(out.stage)}"
        return f"{here}: no such file; {_ways_to_get(repo, out)}"
    return f"{here}: no such file, and no stage makes it; put it there, or mend the deps in dvc.yaml"


def lost_outs(repo: Any, stage: Any) -> Iterator[str]:
    """The outs that are not there of a stage whose command is not executed, and how to get each.

    DVC refuses such a stage: a .dvc file, or one that is frozen.
    """
    if stage.frozen or (not stage.cmd and not stage.is_import):
        for out in stage.outs:
            if not out.exists:
                yield _describe_gone(repo, out.fs_path)


def _ways_to_get(repo: Any, out: Any) -> str:
    """The commands that bring back the data of a .dvc file, those first that need no remote."""
    file = name_of(out.stage)
    if out.hash_info and not out.changed_cache():
        return f"it is in DVC's cache: dvc checkout {file}"
    ways = [f"dvc pull {file}"] if repo.config["core"].get("remote") or out.remote else []
    if "sources" in (out.stage.meta or {}):
        ways.append("darkroom fetch")
    put = f"{'or ' if ways else ''}put it there again" + (
        "" if ways else f": DVC's cache has no copy of {file}'s"
    )
    return ", ".join([*ways, put])


def full_disks_in_words(repo: Any) -> str:
    """Which disks that results are written to are full, in words; empty where none is."""
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
