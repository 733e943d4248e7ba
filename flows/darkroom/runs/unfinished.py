"""Runs that did not end well: one file each, so that a later run removes their half-written files.

DVC's rwlock shows a dead run, too, but only if the run had entered paths there, and a power cut can lose the
entries. Also, a run may end by itself after a disk error, and leave half-written files.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from darkroom.base.files import sync_path
from darkroom.processes.process_group import find_process


class Unfinished:
    """The file of this run and those of others, in `folder`; their names end in the runs' pids."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder, self._mine = folder, folder / run
        self._dead: list[Path] = []

    def left(self) -> bool:
        """Whether a run that is gone did not end well."""
        with contextlib.suppress(OSError):
            self._dead = [path for path in self._folder.iterdir() if not _at_work(path)]
        return bool(self._dead)

    def swept(self) -> None:
        """Forget the dead runs: what they have left is removed."""
        with contextlib.suppress(OSError):
            for path in self._dead:
                path.unlink(missing_ok=True)
        self._dead.clear()

    def begin(self) -> None:
        """Note that this run is about to write; a power cut leaves the note. On a full disk there is none."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            self._mine.touch()
            sync_path(self._folder)
            sync_path(self._folder.parent)

    def end(self) -> None:
        """Note that this run has left nothing half-written."""
        with contextlib.suppress(OSError):
            self._mine.unlink(missing_ok=True)


def _at_work(path: Path) -> bool:
    pid = path.name.rpartition("-")[2]
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    found = find_process(int(pid))
    return found is not None and not found.zombie
