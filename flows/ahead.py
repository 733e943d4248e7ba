"""What was recorded before its turn, remembered until its turn has come.

A run that fails or is killed half-way has recorded stages that a serial run would not have reached. When the
run is taken up again, what comes before them in the serial order has to be put before them in dvc.lock and in
.gitignore, although they stand there already.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from flows.files import sync_all, write_text

Item = tuple[str, str]
"""A file, from the repository's root, and what stands in it: a stage's key, a line."""


class Ahead:
    """The items of each stage whose turn has not come. On disk a journal, so that each costs the same.

    A line of it is JSON: `[stage, file, item]` stands there; `[stage]`, its turn has come. Each starts with a
    line end: one that a full disk or a kill has torn spoils no other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._items: dict[str, dict[Item, None]] = {}
        self._unwritten: list[str] = []
        self._begun = self._unsynced = False
        for line in _lines(path):
            with contextlib.suppress(ValueError, TypeError):
                self._apply(*json.loads(line))

    def __iter__(self) -> Iterator[tuple[str, Item]]:
        """Each item with its stage."""
        return ((stage, item) for stage, items in self._items.items() for item in items)

    def put(self, stage: str, items: Iterable[Item]) -> None:
        """The items will stand in their files before the stage's turn. Nothing is written before `flush`."""
        for file, item in items:
            if (file, item) not in self._items.get(stage, {}):
                self._note(stage, file, item)

    def passed(self, stage: str) -> None:
        """The stage's turn has come."""
        if stage in self._items:
            self._note(stage)

    def flush(self) -> None:
        """Bring the journal up to date; the first time it is written anew. Raises OSError that names it."""
        if not self._items:
            self._path.unlink(missing_ok=True)
        elif self._unwritten and not self._begun:
            write_text(self._path, "".join(_line(stage, *item) for stage, item in self))
            self._begun = True
        elif self._unwritten:
            self._append("".join(self._unwritten))
        self._unsynced |= bool(self._unwritten)
        self._unwritten.clear()

    def sync(self) -> None:
        """Have a power cut leave what was flushed. Raises OSError."""
        if self._unsynced:
            sync_all([self._path, self._path.parent])
            self._unsynced = False

    def _append(self, text: str) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def _note(self, stage: str, *item: str) -> None:
        self._apply(stage, *item)
        self._unwritten.append(_line(stage, *item))

    def _apply(self, stage: str, *item: str) -> None:
        if item:
            file, key = item
            self._items.setdefault(stage, {})[file, key] = None
        else:
            self._items.pop(stage, None)


def _line(*change: str) -> str:
    return f"\n{json.dumps(change, ensure_ascii=False)}"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:  # most often: none was left
        return []
