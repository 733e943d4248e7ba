"""Putting a stage's outs into DVC's cache; those that cannot be put there are noted, and kept later."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flows.dvc.errors import told
from flows.dvc.recording import Recording
from flows.dvc.stage_errors import told_of_full_disks
from flows.errors import StageError, explain
from flows.unkept import Facts, Unkept


class Committing:
    """DVC's `save` and `commit` of the stages of one run."""

    def __init__(self, repo: Any, recording: Recording, unkept: Unkept, *, commit: bool) -> None:
        self._repo, self._recording, self._unkept, self._commit = repo, recording, unkept, commit

    def require_cache(self) -> None:
        """Raises StageError before a stage works for hours for a result that cannot be kept."""
        if not self._commit:
            return
        cache = Path(self._repo.cache.local.path)
        there = next(path for path in (cache, *cache.parents) if path.exists())
        if not os.access(there, os.W_OK):
            raise StageError(f"DVC's cache {cache} cannot be written; mount it writable, or `dvc cache dir`")

    def lie_there(self, name: str, stage: Any) -> bool:
        """Whether the outs lie there as an earlier run made them, which could not put them into the cache."""
        noted = self._unkept.find(name)
        return noted is not None and _facts(stage, anew=True) == noted

    def forget(self, name: str) -> None:
        """The outs that lie there are made anew."""
        self._unkept.forget(name)

    def save(self, name: str, stage: Any) -> None:
        """Raises StageError where the results cannot be put into the cache; they are noted to lie there."""
        uncached = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
        self._recording.announce(name)
        stage.save(run_cache=False)
        if self._commit:
            try:
                if not uncached:
                    self._repo.stage_cache.save(stage)
                stage.commit()
            except Exception as error:
                self._unkept.note(name, _facts(stage))
                said = self._told_of(error)
                raise StageError(
                    f"its outs are not in DVC's cache yet: {said}; the next run keeps them"
                ) from error
            self._unkept.forget(name)
        self._recording.add(name)

    def _told_of(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return explain(error, self._repo.cache.local.path)
        return f"{told(error)}{told_of_full_disks(self._repo)}"


def _facts(stage: Any, *, anew: bool = False) -> Facts:
    """What the stage was made of and what it made: as it was saved, or as it lies there now."""

    def hashes(items: Iterable[Any]) -> dict[str, Any]:
        return {item.def_path: (item.get_hash() if anew else item.hash_info).to_dict() for item in items}

    deps = [copy.copy(dep) for dep in stage.deps]
    for dep in deps if anew else []:
        dep.save()
    return {"cmd": stage.cmd, "deps": [dep.hash_info.to_dict() for dep in deps], "outs": hashes(stage.outs)}
