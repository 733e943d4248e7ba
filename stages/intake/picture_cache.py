"""Pictures decoded before: rows of pixels in files, and an index of them by the hash of the picture's file.

A folder for each form that pictures are brought to. The index is an SQLite database, since several runs may
read and write it at once. A cache decides no result: an entry tells exactly what decoding would, one that is
broken is as none, and what cannot be noted is decoded again. Imports little: worker processes load it.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import PIL
import simplejpeg  # type: ignore[import-untyped]

from stages.intake.form import Crop, Form
from stages.intake.pixel_rows import ROWS, Place, read_row

LIMIT_BYTES = 20 << 30
"""Size of a cache up to which nothing is removed from it."""

KEPT_SECONDS = 86_400.0
"""What was used so recently is kept whatever the size: a run may be about to read it."""

LAYOUT = 5  # of folder and entries; raised with it, and where decoding changes
INDEX = "index.sqlite"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the cache keeps of one picture beside its pixels."""

    width: int
    """Width of the upright original in pixels."""
    height: int
    """Height of the upright original in pixels."""
    oddities: tuple[str, ...]
    what: str
    """The picture and its oddities in words, for people who look for the file."""
    place: Place | None
    """The place of its pixels in the cache's files; None: the picture is refused."""
    digest: tuple[int, int] = (0, 0)
    """128 bits of a hash of the pixels as packed: equal pictures have equal digests."""
    look: tuple[int, int] = (0, 0)
    """Difference hash of 128 bits: pictures that look alike differ in few of them."""


def folder_for(cache: Path, form: Form) -> Path:
    """The folder of pictures of this form, decoded by the installed versions of the libraries."""
    described = asdict(form) | {"refused": sorted(form.refused), "kept": sorted(form.kept), "layout": LAYOUT}
    described |= {"cv2": cv2.__version__, "pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__}
    return cache / hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def key_of(content: bytes, crop: Crop | None) -> bytes:
    """The key of a file's content and the part that is taken of it."""
    digest = hashlib.sha256(content)
    digest.update(repr(crop).encode())
    return digest.digest()


def digest_of(pixels: "memoryview | bytes") -> tuple[int, int]:
    """128 bits of SHA-256, for which processors have instructions."""
    digest = hashlib.sha256(pixels).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:16])


class Known:
    """The pictures that a folder's index knows; to be closed."""

    def __init__(self, folder: Path, row_bytes: int) -> None:
        self._folder, self._row_bytes = folder, row_bytes
        self._used: set[str] = set()
        self._index: sqlite3.Connection | None = None
        with contextlib.suppress(sqlite3.Error):
            self._index = sqlite3.connect(f"{(folder / INDEX).absolute().as_uri()}?mode=ro", uri=True)

    def find(self, key: bytes) -> Facts | None:
        """The facts of this picture, if the index knows it and its pixels are undamaged; else None."""
        if self._index is None:
            return None
        try:
            found = self._index.execute("SELECT facts, seal FROM pictures WHERE key = ?", (key,)).fetchone()
            return found and self._checked(key, *found)
        except (sqlite3.Error, OSError):
            return None

    def _checked(self, key: bytes, entry: str, seal: bytes) -> Facts | None:
        if _seal(key, entry) != seal:
            return None
        facts = _facts(entry)
        if facts.place and digest_of(read_row(self._folder, facts.place, self._row_bytes)) != facts.digest:
            return None
        if facts.place and facts.place[0] not in self._used:
            self._used.add(facts.place[0])
            os.utime(self._folder / facts.place[0])  # what is not used for long is removed first
        return facts

    def close(self) -> None:
        """Close the index."""
        if self._index is not None:
            self._index.close()


def keep_within(cache: Path, limit: int) -> None:
    """Remove pixels that were not used for longest from a cache, until it has `limit` bytes.

    What was used less than KEPT_SECONDS ago stays.
    """
    with contextlib.suppress(OSError):  # another run removes them too
        files = [(path, path.stat()) for path in cache.glob("*/*") if path.is_file()]
        over = sum(found.st_size for _, found in files) - limit
        before = time.time() - KEPT_SECONDS
        removed = []
        for path, found in sorted(files, key=lambda file: file[1].st_mtime):
            if over > 0 and path.suffix == ROWS and found.st_mtime < before:
                path.unlink()
                removed.append(path)
                over -= found.st_size
        for folder in {path.parent for path in removed}:
            _leave_out(folder, [path.name for path in removed if path.parent == folder])


def _leave_out(folder: Path, files: Sequence[str]) -> None:
    """Take the pictures whose pixels stood in these files out of the folder's index."""
    with (
        contextlib.suppress(sqlite3.Error),  # they are found to be gone when they are looked for
        contextlib.closing(sqlite3.connect(folder / INDEX)) as index,
        index,
    ):
        marks = ", ".join("?" * len(files))
        index.execute(f"DELETE FROM pictures WHERE json_extract(facts, '$.place[0]') IN ({marks})", files)


def note(folder: Path, pictures: Sequence[tuple[bytes, Facts]]) -> None:
    """Enter pictures into the folder's index by their keys."""
    entries = [(key, json.dumps(asdict(facts))) for key, facts in pictures]
    rows = [(key, entry, _seal(key, entry)) for key, entry in entries]
    try:
        _enter(folder / INDEX, rows)
    except sqlite3.OperationalError:  # in use for long, or the disk is full
        return
    except sqlite3.DatabaseError:  # broken, as by a loss of power
        for name in (f"{INDEX}-journal", INDEX):  # the journal first: it would be played into the new one
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(sqlite3.Error):
            _enter(folder / INDEX, rows)


def _enter(index: Path, rows: Sequence[tuple[bytes, str, bytes]]) -> None:
    with contextlib.closing(sqlite3.connect(index)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")  # what a loss of power takes is decoded again
        connection.execute(
            "CREATE TABLE IF NOT EXISTS pictures (key BLOB PRIMARY KEY, facts TEXT, seal BLOB) WITHOUT ROWID"
        )
        connection.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", rows)


def _seal(key: bytes, entry: str) -> bytes:
    return hashlib.sha256(key + entry.encode()).digest()[:16]


def _facts(entry: str) -> Facts:
    facts = json.loads(entry)
    facts |= {name: tuple(facts[name]) for name in ("oddities", "digest", "look")}
    facts["place"] = facts["place"] and tuple(facts["place"])
    return Facts(**facts)
