"""Which inputs have their rows: an index of the prediction files, so that a look need not read them all.

Only the files decide. The index is an SQLite database that notes which files it covers, and their state. A
file that is new or has changed is read again, and the entries of a file that is gone are dropped. If the
index is missing, broken or not writable, all files are read.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from stages.score.inbox import Version

INDEX = ".seen.sqlite"

Seen = tuple[Version, str]
"""An input as its row has it: name, size and time of change, and the hash of its content."""

_TABLES = """
CREATE TABLE IF NOT EXISTS files (number INTEGER PRIMARY KEY, state TEXT);
CREATE TABLE IF NOT EXISTS inputs (
    name TEXT, digest TEXT, file INTEGER, PRIMARY KEY (name, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (
    name TEXT, bytes INTEGER, changed INTEGER, file INTEGER, PRIMARY KEY (name, bytes, changed)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS inputs_of ON inputs (file);
CREATE INDEX IF NOT EXISTS versions_of ON versions (file);
"""


class SeenInputs:
    """The inputs that have rows in numbered files; `rows_of` reads those of one. To be closed."""

    def __init__(
        self, folder: Path, files: Iterable[Path], rows_of: Callable[[Path], Iterable[Seen]]
    ) -> None:
        self._rows_of = rows_of
        files = list(files)
        try:
            self._index = _opened(folder / INDEX)
            self._follow(files)
        except sqlite3.Error:  # broken, on a full disk, or in a folder that cannot be written
            self._index = _opened_anew(folder / INDEX)
            self._follow(files)

    def _follow(self, files: Iterable[Path]) -> None:
        """Read the files of which the index does not speak as they are."""
        states = {int(file.stem): (file, _state(file)) for file in files}
        noted = dict(self._index.execute("SELECT number, state FROM files"))
        for number in noted.keys() | states.keys():
            if number not in states:
                self._forget(number)
            elif noted.get(number) != states[number][1]:
                self._read(number, *states[number])

    def _read(self, number: int, file: Path, state: str) -> None:
        with self._index:
            self._index.execute("DELETE FROM versions WHERE file = ?", (number,))
            self._index.execute("DELETE FROM inputs WHERE file = ?", (number,))
            for version, digest in self._rows_of(file):
                self._note(version, digest, number)
            self._index.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (number, state))

    def _forget(self, number: int) -> None:
        with self._index:
            for table, column in (("versions", "file"), ("inputs", "file"), ("files", "number")):
                self._index.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))

    def _note(self, version: Version, digest: str, file: int) -> None:
        self._index.execute("INSERT OR REPLACE INTO versions VALUES (?, ?, ?, ?)", (*version, file))
        self._index.execute("INSERT OR REPLACE INTO inputs VALUES (?, ?, ?)", (version[0], digest, file))

    def knows(self, version: Version) -> bool:
        """Whether a file of this name, size and time has its row."""
        found = self._index.execute(
            "SELECT 1 FROM versions WHERE name = ? AND bytes = ? AND changed = ?", version
        )
        return found.fetchone() is not None

    def holds(self, name: str, digest: str) -> bool:
        """Whether this content has its row under this name."""
        return self._file_of(name, digest) is not None

    def touched(self, version: Version, digest: str) -> None:
        """Note that a file has its row though its time is another now: it need not be read again."""
        if (file := self._file_of(version[0], digest)) is not None:
            with contextlib.suppress(sqlite3.Error):  # it is read once more then
                self._note(version, digest, file)

    def added(self, file: Path, seen: Iterable[Seen]) -> None:
        """Note inputs that have their rows in this file from now on."""
        number = int(file.stem)
        try:
            with self._index:
                for version, digest in seen:
                    self._note(version, digest, number)
                self._index.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (number, _state(file)))
        except sqlite3.Error:  # a full disk: what is held in memory is taken from the files again
            self._index.close()
            self._index = _in_memory()
            self._follow(sorted(file.parent.glob(f"[0-9]*{file.suffix}")))

    def close(self) -> None:
        """Close the index; what was noted is kept."""
        with contextlib.suppress(sqlite3.Error):
            self._index.commit()
        self._index.close()

    def _file_of(self, name: str, digest: str) -> int | None:
        found = self._index.execute("SELECT file FROM inputs WHERE name = ? AND digest = ?", (name, digest))
        row = found.fetchone()
        return int(row[0]) if row else None


def _opened(path: Path) -> sqlite3.Connection:
    index = sqlite3.connect(path)
    try:
        index.executescript(_TABLES)
    except sqlite3.Error:
        index.close()
        raise
    return index


def _opened_anew(path: Path) -> sqlite3.Connection:
    """An empty index in the place of one that is broken; one in memory where none can be written."""
    try:
        for name in (f"{path.name}-journal", path.name):  # the journal first: it would be played back
            path.with_name(name).unlink(missing_ok=True)
        return _opened(path)
    except (sqlite3.Error, OSError):
        return _in_memory()


def _in_memory() -> sqlite3.Connection:
    return _opened(Path(":memory:"))


def _state(file: Path) -> str:
    """Differs once the file was written anew: it is replaced, never changed."""
    found = file.stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"
