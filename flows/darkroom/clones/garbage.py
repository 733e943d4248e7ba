"""What `darkroom gc` may remove: logs, checkpoints, clones, copies and results that nothing refers to."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import DarkroomError
from darkroom.base.files import STATE_FOLDER, models_folder
from darkroom.base.git import git
from darkroom.base.locks import LockFile
from darkroom.clones.clone import LOCK_SUFFIX, clones_folder, remove_site_cache
from darkroom.processes import stage_lock
from darkroom.repository.unused import remove_unused, shared_cache, unused

DAY_SECONDS = 86_400
_CHECKPOINT = re.compile(r"--checkpoint[ =]([^\s'\"]+)")
_PICTURES = re.compile(r"--cache[ =]([^\s'\"]+)")
_PIXELS = re.compile(r"[0-9a-f]{16}-\d+\.rows")
_OF_PICTURES = re.compile(rf"{_PIXELS.pattern}|index\.sqlite(-journal)?")


class GarbageError(DarkroomError):
    """What is not used cannot be removed."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """What would be removed, by its kind, and why the cache is left alone, if it is."""

    logs: tuple[Path, ...]
    checkpoints: tuple[Path, ...]
    clones: tuple[Path, ...]
    pictures: tuple[Path, ...]
    models: tuple[Path, ...]
    features: tuple[Path, ...]
    """Features of training pictures, which `darkroom classify --nearest` keeps."""
    cache: tuple[Path, ...]
    busy: str | None
    kept_clones: tuple[Path, ...]
    since: datetime.date | None
    """Results of commits of this day and later are kept; None: only those that branches and tags point to."""

    def kinds(self) -> dict[str, tuple[Path, ...]]:
        """What there is some of."""
        kinds = {
            "logs": self.logs,
            "checkpoints": self.checkpoints,
            "clones of scheduled runs and trials": self.clones,
            "decoded pictures": self.pictures,
            "copies of models of earlier commits": self.models,
            "features of training pictures": self.features,
            "results in the cache": self.cache,
        }
        return {kind: paths for kind, paths in kinds.items() if paths}


@contextlib.contextmanager
def found_garbage(root: Path, days: float) -> Iterator[Garbage]:
    """Find what was last used more than `days` ago, and cached results that no ref or newer commit needs.

    Until the block ends no run can start in the clones.

    Raises:
        RepoError: DVC cannot say which parts of the cache are in use.

    """
    state, before = root / STATE_FOLDER, time.time() - days * DAY_SECONDS
    with contextlib.ExitStack() as stack:
        locks = clones_folder(root).glob(f"*{LOCK_SUFFIX}")
        held = {path: stack.enter_context(LockFile(path)).lock(0, 1) for path in locks}
        working = next(
            (f"a run works in {path.with_suffix('')}" for path, ours in held.items() if not ours), None
        )
        free = {path.with_suffix(""): path for path, ours in held.items() if ours}
        clones = tuple(clone for clone, lock in free.items() if clone.exists() and _touched(lock) < before)
        kept = tuple(repo for clone in free if clone not in clones for repo in _repositories(clone))
        busy = working or stage_lock.busy_stage(state / "locks") or _unrecorded(state)
        if not busy and (shared := shared_cache(root)):
            busy = f"it lies outside the project, in {shared}: other projects may need what is in it"
        since = datetime.datetime.fromtimestamp(before).date() if days > 0 else None
        logs = (*state.glob("logs/*"), *state.glob("services/*.log.1"))
        yield Garbage(
            logs=tuple(path for path in logs if _touched(path) < before),
            checkpoints=tuple(
                path for path in _named_by_option(root, _CHECKPOINT) if _touched(path) < before
            ),
            clones=clones,
            pictures=tuple(path for path in _decoded_pictures(root) if _touched(path) < before),
            models=tuple(path for path in _models_of_no_ref(root) if _touched(path) < before),
            features=tuple(path for path in _features(state) if _touched(path) < before),
            cache=() if busy else tuple(unused(root, kept, since)),
            busy=busy,
            kept_clones=kept,
            since=since,
        )


def remove_garbage(root: Path, garbage: Garbage) -> None:
    """Remove what was found.

    Raises:
        GarbageError: DVC did not remove all unused parts of the cache.
        RepoError: DVC cannot read the repository.

    """
    for clone in garbage.clones:
        for repository in _repositories(clone):
            remove_site_cache(repository)
        clone.with_name(f"{clone.name}{LOCK_SUFFIX}").unlink(missing_ok=True)  # it is ours
    for path in (
        *garbage.logs,
        *garbage.checkpoints,
        *garbage.clones,
        *garbage.pictures,
        *garbage.models,
        *garbage.features,
    ):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if garbage.cache:
        remove_unused(root, garbage.kept_clones, garbage.since)
    if left := [path for path in garbage.cache if path.exists()]:
        raise GarbageError(
            f"{left[0]}: DVC has left this and {len(left) - 1} more of the cache; `dvc gc` says why"
        )


def total_bytes(paths: Iterable[Path]) -> int:
    """The bytes of all these files and of what is in these folders."""
    return sum(one.lstat().st_size for path in paths for one in (path, *path.rglob("*")) if not one.is_dir())


def _unrecorded(state: Path) -> str | None:
    """What DVC cannot know of the cache yet."""
    if (state / "ahead.jsonl").exists():
        return "results wait for their turn in dvc.lock; end the run with `darkroom run` first"
    return None


def _touched(path: Path) -> float:
    """The time when something was last written directly in the folder."""
    held = path.iterdir() if path.is_dir() else iter(())
    return max(one.lstat().st_mtime for one in (path, *held))


def _repositories(clone: Path) -> Iterator[Path]:
    return (found.parent for found in clone.glob("**/.dvc") if found.is_dir())


def _named_by_option(root: Path, option: re.Pattern[str]) -> Iterator[Path]:
    """What stages are told to keep by an option of their commands, where it is there and in the project.

    A stage removes its own checkpoint when it is done, and keeps decoded pictures for the next time.
    """
    pipeline = root / "dvc.yaml"
    text = pipeline.read_text(encoding="utf-8", errors="replace") if pipeline.exists() else ""
    for name in option.findall(text):
        path = Path(os.path.normpath(root / name))
        if path.is_relative_to(root) and path.exists():
            yield path


def _models_of_no_ref(root: Path) -> Iterator[Path]:
    """Copies of models of commits to which no branch or tag points; released versions have tags."""
    printed = git(root, "for-each-ref", "--format=%(objectname) %(*objectname)", fails="")
    kept = set(printed.split())
    yield from (path for path in models_folder(root).glob("*/") if path.name not in kept)


def _decoded_pictures(root: Path) -> Iterator[Path]:
    """Folders of pictures in one form each; a file of pixels counts as touched when it is used.

    Other programs have options of that name: what holds anything else is none of these folders.
    """
    for cache in _named_by_option(root, _PICTURES):
        for folder in cache.glob("*/"):
            names = [path.name for path in folder.iterdir()]
            if any(map(_PIXELS.fullmatch, names)) and all(map(_OF_PICTURES.fullmatch, names)):
                yield folder


def _features(state: Path) -> Iterator[Path]:
    """Features of training pictures, which count as touched when they are used, and half-written ones."""
    return (path for path in state.glob("features/*") if path.suffix in (".npy", ".partial"))
