"""Puts a stage's outs into DVC's cache. Outs that cannot be put there are noted, and kept later."""

from __future__ import annotations

import copy
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from darkroom.base.errors import StageRecordError, explain_os_error
from darkroom.ledger.unkept import Facts, Unkept
from darkroom.repository.errors import error_line
from darkroom.repository.opening import remove_half_written
from darkroom.workspace.recording import Recording
from darkroom.workspace.stage_errors import full_disks_in_words


class Committing:
    """DVC's `save` and `commit` of the stages of one run."""

    def __init__(self, repo: Any, recording: Recording, unkept: Unkept, *, commit: bool) -> None:
        self._repo, self._recording, self._unkept, self._commit = repo, recording, unkept, commit
        self._saved: list[str] = []

    def require_cache(self) -> None:
        """Look whether results can be kept, before a stage works for hours for them.

        Raises:
            StageRecordError: DVC's cache cannot be written to.

        """
        if not self._commit:
            return
        self._unkept.reserve()
        cache = Path(self._repo.cache.local.path)
        there = next(path for path in (cache, *cache.parents) if path.exists())
        if not os.access(there, os.W_OK):
            raise StageRecordError(
                f"DVC's cache {cache} cannot be written; mount it writable, or `dvc cache dir`"
            )

    def lie_there(self, name: str, stage: Any) -> bool:
        """Whether the outs lie there as an earlier run made them, which could not put them into the cache."""
        noted = self._unkept.find(name)
        if noted is None or not all(out.exists for out in stage.outs):
            return False
        return _facts(stage, anew=True) == noted

    def forget(self, name: str) -> None:
        """Note that the outs that lie there are about to be made anew."""
        self._unkept.forget([name])

    def save(self, name: str, stage: Any) -> None:
        """Hash the stage's outs, and put them into the cache unless the run leaves that out.

        Raises:
            StageRecordError: They cannot be put into the cache; that they lie there is noted, if that can be.

        """
        noted = False
        try:
            self._recording.announce(name)
            stage.save(run_cache=False)
            if self._commit:
                noted = self._unkept.note(name, _facts(stage))
                self._to_cache(stage)
        except Exception as error:
            if not noted and not _is_of_full_disk(error, self._repo):
                raise
            remove_half_written(self._repo)  # what DVC had half copied: its bytes are needed
            noted = noted or self._noted_anew(name, stage)
            then = (
                "the next run keeps them"
                if noted
                else "nor could that be noted: the next run makes them anew"
            )
            raise StageRecordError(
                f"its outs are not in DVC's cache yet: {self._in_words(error)}; {then}"
            ) from error
        self._saved.append(name)
        self._recording.add(name)

    def recorded(self) -> None:
        """Drop the notes on saved outs: their stages are in dvc.lock now, or wait for their turn."""
        self._unkept.forget(self._saved)
        self._saved.clear()

    def close(self) -> None:
        """Free the disk space that was held for notes."""
        self._unkept.close()

    def _to_cache(self, stage: Any) -> None:
        if all(out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot)):
            self._repo.stage_cache.save(stage)
        stage.commit()

    def _noted_anew(self, name: str, stage: Any) -> bool:
        """Note the outs as they are now, if the disk was full before DVC had hashed them."""
        try:
            return self._commit and self._unkept.note(name, _facts(stage, anew=True))
        except Exception:  # DVC notes hashes on that disk, too
            return False

    def _in_words(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return explain_os_error(error, self._repo.cache.local.path)
        return f"{error_line(error)}{full_disks_in_words(self._repo)}"


def _is_of_full_disk(error: Exception, repo: Any) -> bool:
    numbers = (errno.ENOSPC, errno.EDQUOT)
    return bool(full_disks_in_words(repo)) or (isinstance(error, OSError) and error.errno in numbers)


def _facts(stage: Any, *, anew: bool = False) -> Facts:
    """The stage's command, and its deps and outs with their hashes: as saved, or as they are now."""

    def hashes(items: Iterable[Any]) -> dict[str, Any]:
        return {item.def_path: (item.get_hash() if anew else item.hash_info).to_dict() for item in items}

    deps = [copy.copy(dep) for dep in stage.deps]
    for dep in deps if anew else []:
        dep.save()
    return {"cmd": stage.cmd, "deps": [dep.hash_info.to_dict() for dep in deps], "outs": hashes(stage.outs)}
