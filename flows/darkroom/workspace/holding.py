"""Keeps other runs, and DVC itself, away from the paths of a stage while its command runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.dependency import RepoDependency
from dvc.dependency.db import AbstractDependency
from dvc.lock import make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK

from darkroom.processes import stage_lock
from darkroom.processes.stage_lock import Say, StageLock
from darkroom.repository.rwlock import PathsInUse
from darkroom.schedule.scheduler import Busy


class Holding:
    """The stages of `repo` that this process holds, each by a lock of its own and by DVC's rwlock."""

    def __init__(self, repo: Any, locks: Path, say: Say) -> None:
        self._repo, self._folder, self._say = repo, locks, say
        self._in_use = PathsInUse(Path(repo.tmp_dir, RWLOCK_FILE), self._rwlock_lock)
        self._locks: dict[str, StageLock] = {}

    def __contains__(self, name: object) -> bool:
        """Whether the stage is held."""
        return name in self._locks

    def close(self) -> None:
        """Let go of the stages that were given up."""
        with contextlib.suppress(OSError):
            self._in_use.give_all()
        for name in list(self._locks):
            self._locks.pop(name).release()

    def end_left_overs(self) -> None:
        """Kill what dead runs have left of their stages."""
        stage_lock.end_left_overs(self._folder, self._say)

    def heal(self) -> bool:
        """Take out of DVC's rwlock what dead processes have left in it. False: there was nothing.

        Their stages' left-overs are ended with it: one may hold a GPU that a stage of this run waits for.
        """
        healed = self._in_use.heal()
        if healed:
            self.end_left_overs()
        return healed

    def flush(self) -> None:
        """Take out of DVC's rwlock the paths of stages that were let go."""
        with contextlib.suppress(OSError):  # on a full disk it is taken out the next time
            self._in_use.flush()

    def hold(self, name: str, stage: Any) -> StageLock:
        """Keep other processes from the stage's paths.

        Raises:
            Busy: Another process runs the stage, or uses one of its paths.

        """
        lock = stage_lock.lock_stage(self._folder, name, Path(self._repo.root_dir), self._say)
        if isinstance(lock, str):
            raise Busy(lock)
        try:
            self._in_use.take(_paths(stage.deps), _paths(stage.outs))
        except BaseException:
            lock.release()
            raise
        self._locks[name] = lock
        return lock

    def let_go(self, name: str, stage: Any) -> None:
        """Free the stage's paths."""
        self._in_use.give(_paths(stage.deps), _paths(stage.outs))
        self._locks.pop(name).release()

    def _rwlock_lock(self) -> contextlib.AbstractContextManager[object]:
        hardlink = self._repo.config["core"].get("hardlink_lock", False)
        folder = self._repo.tmp_dir
        path = f"{folder}/{RWLOCK_LOCK}"
        return make_lock(path, tmp_dir=folder, hardlink_lock=hardlink, wait=True)  # type: ignore[no-any-return]


def _paths(items: Iterable[Any]) -> list[str]:
    return [item.fs_path for item in items if not isinstance(item, (RepoDependency, AbstractDependency))]
