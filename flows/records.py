"""dvc.lock, .dvc and .gitignore files: what a run adds to them, always whole, in a serial run's order.

A serial run appends a new stage to dvc.lock when its turn comes, and its lines to .gitignore likewise.
Here stages end in any order, so each write puts what this run added into the order of turns, after what was
there before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.ahead import Ahead
from flows.files import STATE_FOLDER, write_text
from flows.ignore_lines import IgnoreLines
from flows.lock_text import LockText


@dataclass(frozen=True, slots=True)
class Entry:
    """What DVC's serializer made of a stage."""

    stage: str
    file: Path
    """dvc.lock or a .dvc file."""
    key: str | None
    """The stage's key in dvc.lock; None: `content` is the whole file."""
    content: Mapping[str, Any]


class Records:
    """One run's additions. `dump` and `load` are DVC's; `scratch` is for unfinished files."""

    def __init__(
        self, root: Path, scratch: Path, dump: Callable[[Any], str], load: Callable[[str], Any]
    ) -> None:
        self._root, self._scratch, self._dump, self._load = root, scratch, dump, load
        self._ahead = Ahead(root / STATE_FOLDER / "ahead.jsonl")
        self._names: Sequence[str] = ()
        self._places: dict[str, int] = {}
        self._passed: set[int] = set()
        self._turn = 0
        self._pending: list[Entry] = []
        self._new: dict[Path, dict[str, int]] = {}
        self._locks: dict[Path, tuple[LockText, str]] = {}
        self._ignores = IgnoreLines()

    def begin(self, names: Sequence[str]) -> None:
        """Know the stages in their serial order, and what the last run recorded before its turn."""
        self._names = names
        self._places = {name: place for place, name in enumerate(names)}
        places: dict[Path, dict[str, int]] = {}
        for stage, (file, item) in self._ahead:
            if stage in self._places:
                places.setdefault(self._root / file, {})[item] = self._places[stage]
        for path, items in places.items():
            if path.name == ".gitignore":
                self._ignores.take_over(path, items)
            else:
                self._new[path] = items

    def passed(self, name: str) -> None:
        """A serial run would be past this stage."""
        self._passed.add(self._places[name])
        while self._turn in self._passed:
            self._passed.remove(self._turn)
            self._ahead.passed(self._names[self._turn])
            self._turn += 1

    def announce(self, name: str, lines: Iterable[tuple[Path, str]]) -> None:
        """Lines that DVC is about to append to .gitignore files; a kill right after it finds them noted."""
        for file, line in lines:
            self._ignores.note(file, [line], self._places[name])
            self._note_ahead(name, file, line)
        self._ahead.flush()

    def add(self, entry: Entry) -> None:
        """A stage whose results are safe; it is recorded at the next write."""
        self._pending.append(entry)

    def write(self) -> list[Path]:
        """Bring every file up to date, each in one step; those that changed."""
        self._ignores.mend()
        locks: dict[Path, dict[str, Entry]] = {}
        texts: dict[Path, str] = {}
        for entry in self._pending:
            if entry.key is None:
                texts[entry.file] = self._dump(entry.content)
            else:
                locks.setdefault(entry.file, {})[entry.key] = entry
        texts |= {path: self._lock_text(path, entries) for path, entries in locks.items()}
        self._ahead.flush()
        self._ahead.sync()
        changed = [path for path, text in texts.items() if not _holds(path, text)]
        for path in changed:
            write_text(path, texts[path], self._scratch, synced=True)
        self._pending.clear()
        return changed

    def _lock_text(self, path: Path, entries: Mapping[str, Entry]) -> str:
        on_disk = _read(path)
        lock, written = self._locks.get(path, (None, None))
        if lock is None or written != on_disk:  # the first time, or someone else wrote it
            lock = LockText(on_disk or "", self._dump, self._load)
        new = self._new.setdefault(path, {})
        for key, entry in entries.items():
            if key not in lock:
                new[key] = self._places[entry.stage]
                self._note_ahead(entry.stage, path, key)
        order = [key for key in lock.names if key not in new] + sorted(new, key=new.__getitem__)
        text = lock.update({key: entry.content for key, entry in entries.items()}, order)
        self._locks[path] = (lock, text)
        return text

    def _note_ahead(self, stage: str, file: Path, item: str) -> None:
        if self._places[stage] >= self._turn:
            self._ahead.put(stage, [(str(file.relative_to(self._root)), item)])


def _holds(path: Path, text: str) -> bool:
    """Whether the file is that to the byte, line ends too, which reading it as text makes alike."""
    return path.exists() and path.read_bytes() == text.encode()


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
