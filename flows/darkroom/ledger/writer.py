"""What a run adds to dvc.lock and .dvc files, always complete and in the order of a serial run.

A serial run appends a new stage to dvc.lock when its turn comes. Here stages end in any order. A stage that
ends before its turn is noted in `.darkroom/ahead.jsonl`, and appended when a run has reached it. So at every
moment dvc.lock holds what a serial run would have written so far, whichever run writes next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom.base.files import STATE_FOLDER, write_text
from darkroom.ledger.ahead import Ahead, Item
from darkroom.ledger.lock_text import HEAD, Entry, LockText, Yaml


@dataclass(frozen=True, slots=True)
class LockRecord:
    """What DVC's serializer made of a stage."""

    stage: str
    file: Path
    """dvc.lock or a .dvc file."""
    key: str | None
    """The stage's key in dvc.lock; None: `content` is the whole file."""
    content: Mapping[str, Any]


class LockWriter:
    """One run's additions. `scratch` is for unfinished files. Written under DVC's repository lock alone."""

    def __init__(self, root: Path, scratch: Path, yaml: Yaml) -> None:
        self._root, self._scratch, self._yaml = root, scratch, yaml
        self._ahead = Ahead(root / STATE_FOLDER / "ahead.jsonl")
        self._names: Sequence[str] = ()
        self._places: dict[str, int] = {}
        self._passed: set[int] = set()
        self._turn = 0
        self._pending: list[LockRecord] = []
        self._locks: dict[Path, tuple[LockText, str]] = {}

    def begin(self, names: Sequence[str]) -> None:
        """Know the stages in their serial order."""
        self._names = names
        self._places = {name: place for place, name in enumerate(names)}

    def passed(self, name: str) -> None:
        """A serial run would be past this stage."""
        self._passed.add(self._places[name])
        while self._turn in self._passed:
            self._passed.remove(self._turn)
            self._turn += 1

    def is_passed(self, name: str) -> bool:
        """Whether a serial run would be past this stage."""
        return self._places[name] < self._turn or self._places[name] in self._passed

    def refresh(self) -> bool:
        """Take over what other runs have noted ahead. False: nothing new."""
        return self._ahead.refresh()

    def ahead(self, file: Path) -> dict[str, Any]:
        """The entries, by key, that wait for their turn to stand in this dvc.lock."""
        waiting = (item for _, item in self._ahead if self._root / item.file == file)
        return {item.key: self._yaml.read(HEAD + item.block)["stages"][item.key] for item in waiting}

    def add(self, record: LockRecord) -> None:
        """A stage whose results are safe; it is recorded at the next write."""
        self._pending.append(record)

    def write(self) -> list[Path]:
        """Bring every file up to date, each in one step, notes before dvc.lock; those that changed."""
        self._ahead.refresh()
        texts = {
            record.file: self._yaml.dump(record.content) for record in self._pending if record.key is None
        }
        locks = self._due(self._next_turn())
        self._ahead.flush()
        texts |= {path: self._lock(path).update(entries) for path, entries in locks.items()}
        changed = [path for path, text in texts.items() if not _holds(path, text)]
        for path in changed:
            write_text(path, texts[path], self._scratch, synced=True)
        self._locks |= {path: (self._locks[path][0], texts[path]) for path in locks}
        self._pending.clear()
        for stage, item in list(self._ahead):
            if item.key in locks.get(self._root / item.file, {}):
                self._ahead.drop(stage)
        self._ahead.flush()
        return changed

    def _next_turn(self) -> int:
        """The place of the first stage that a serial run would not be past once this is written."""
        done = self._passed | {self._places[record.stage] for record in self._pending}
        turn = self._turn
        while turn in done:
            turn += 1
        return turn

    def _due(self, turn: int) -> dict[Path, dict[str, Entry]]:
        """The entries for each dvc.lock, those before `turn` in the serial order; others are noted ahead."""
        due: dict[tuple[int, Path, str], Entry] = {}
        for stage, item in self._ahead:
            if self._places.get(stage, turn) < turn:
                due[self._places[stage], self._root / item.file, item.key] = item.block
        for record in self._pending:
            place = self._places[record.stage]
            if record.key is None:
                continue
            if place < turn or record.key in self._lock(record.file):
                due[place, record.file, record.key] = record.content
            else:
                file = record.file.relative_to(self._root)
                block = self._lock(record.file).block(record.key, record.content)
                self._ahead.put(record.stage, Item(str(file), record.key, block))
        entries: dict[Path, dict[str, Entry]] = {}
        for place, path, key in sorted(due):
            entries.setdefault(path, {})[key] = due[place, path, key]
        return entries

    def _lock(self, path: Path) -> LockText:
        """The file as it is now. It is read again if another process has written it."""
        on_disk = _read(path)
        lock, written = self._locks.get(path, (None, None))
        if lock is None or written != on_disk:
            lock = LockText(on_disk, self._yaml)
            self._locks[path] = (lock, on_disk)
        return lock


def _holds(path: Path, text: str) -> bool:
    """Whether the file is that to the byte, line ends too, which reading it as text makes alike."""
    return path.exists() and path.read_bytes() == text.encode()


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
