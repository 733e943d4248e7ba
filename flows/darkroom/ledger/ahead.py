"""Stages that finished before their turn, kept until their turn comes.

A serial run appends a new stage to dvc.lock when it comes to it. Here stages end in any order. A stage that
ends before its turn is entered in this journal, which all runs of a repository share. When its turn comes,
the entry moves to dvc.lock.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from darkroom.base.files import write_text


class Item(NamedTuple):
    """A new stage's entry in a dvc.lock."""

    file: str
    """The dvc.lock, from the repository's root."""
    key: str
    block: str
    """The stage's lines in dvc.lock."""


class Ahead:
    """The items by stage. On disk a journal, so that each costs the same; written under DVC's lock alone.

    A line of it is JSON: `[stage, file, key, block]` waits for its turn; `[stage]` no longer. Each starts
    with a line end: one that a full disk or a kill has torn spoils no other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._items: dict[str, Item] = {}
        self._unwritten: list[str] = []
        self._begun = False
        self._version: tuple[int, ...] | None = None
        self.refresh()

    def __iter__(self) -> Iterator[tuple[str, Item]]:
        """Give each stage with its item."""
        return iter(self._items.items())

    def refresh(self) -> bool:
        """Take over what other runs have written. False: nothing."""
        if (version := self._found()) == self._version:
            return False
        self._version = version
        self._items.clear()
        for line in _lines(self._path):
            with contextlib.suppress(ValueError, TypeError):
                self._apply(*json.loads(line))
        return True

    def put(self, stage: str, item: Item) -> None:
        """The stage has finished before its turn. Nothing is written before `flush`."""
        if self._items.get(stage) != item:
            self._note(stage, *item)

    def drop(self, stage: str) -> None:
        """The stage stands in its dvc.lock."""
        if stage in self._items:
            self._note(stage)

    def flush(self) -> None:
        """Bring the journal up to date, whatever happens to the power.

        Raises:
            OSError: The journal cannot be written; the error names it.

        """
        if not self._unwritten and (self._items or self._version is None):
            return  # as most often: on a network file system each question is a way there and back
        if not self._items:
            self._path.unlink(missing_ok=True)
        elif not self._begun:
            write_text(self._path, "".join(_line(stage, *item) for stage, item in self), synced=True)
            self._begun = True
        else:
            self._append("".join(self._unwritten))
        self._unwritten.clear()
        self._version = self._found()

    def _append(self, text: str) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def _note(self, stage: str, *item: str) -> None:
        self._apply(stage, *item)
        self._unwritten.append(_line(stage, *item))

    def _apply(self, stage: str, *item: str) -> None:
        if item:
            self._items[stage] = Item(*item)
        else:
            self._items.pop(stage, None)

    def _found(self) -> tuple[int, ...] | None:
        with contextlib.suppress(OSError):
            found = self._path.stat()
            return found.st_ino, found.st_size, found.st_mtime_ns
        return None


def _line(*change: str) -> str:
    return f"\n{json.dumps(change, ensure_ascii=False)}"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:  # most often: none was left
        return []
