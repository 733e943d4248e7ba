"""Pictures decoded before: rows of pixels in files, and an index of them by the hash of the picture's file.

A folder for each form that pictures are brought to. The index is an SQLite database, since several runs may
read and write it at once. A cache decides no result: an entry tells exactly what decoding would, one that is
broken is as none, and what cannot be noted is decoded again. Imports little: worker processes load it.
"""

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import PIL
import simplejpeg  # type: ignore[import-untyped]

from stages.intake.decoding import Crop, Form
from stages.intake.pixel_rows import Place, read_row

LAYOUT = 4  # of folder and entries; raised with it, and where decoding changes
INDEX = "index.sqlite"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is kept of one picture."""

    width: int
    """Of the upright original, as `height`."""
    height: int
    oddities: tuple[str, ...]
    what: str
    """In words, for those who look for the file."""
    place: Place | None
    """Where its pixels stand; None: they are refused."""
    digest: tuple[int, int] = (0, 0)
    """Of the pixels as packed: equal pictures have equal ones."""
    look: tuple[int, int] = (0, 0)
    """Difference hash of 128 bits: pictures that look alike differ in few."""


def folder_for(cache: Path, form: Form) -> Path:
    """Where pictures of this form stand, decoded by these versions of the libraries."""
    told = asdict(form) | {"refused": sorted(form.refused), "kept": sorted(form.kept), "layout": LAYOUT}
    told |= {"cv2": cv2.__version__, "pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__}
    return cache / hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def key_of(content: bytes, crop: Crop | None) -> bytes:
    """One for each file and part of it."""
    digest = hashlib.sha256(content)
    digest.update(repr(crop).encode())
    return digest.digest()


def digest_of(pixels: "memoryview | bytes") -> tuple[int, int]:
    """128 bits of SHA-256, for which processors have instructions."""
    digest = hashlib.sha256(pixels).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:16])


class Known:
    """What a folder's index tells."""

    def __init__(self, folder: Path, row_bytes: int) -> None:
        self._folder, self._row_bytes = folder, row_bytes
        self._index: sqlite3.Connection | None = None
        with contextlib.suppress(sqlite3.Error):
            self._index = sqlite3.connect(f"{(folder / INDEX).absolute().as_uri()}?mode=ro", uri=True)

    def find(self, key: bytes) -> Facts | None:
        """What is known of this picture, if its pixels stand where they should."""
        if self._index is None:
            return None
        try:
            found = self._index.execute("SELECT facts, seal FROM pictures WHERE key = ?", (key,)).fetchone()
            return found and self._checked(key, *found)
        except (sqlite3.Error, OSError):
            return None

    def _checked(self, key: bytes, told: str, seal: bytes) -> Facts | None:
        if _seal(key, told) != seal:
            return None
        facts = _facts(told)
        if facts.place and digest_of(read_row(self._folder, facts.place, self._row_bytes)) != facts.digest:
            return None
        return facts

    def close(self) -> None:
        """Close the index."""
        if self._index is not None:
            self._index.close()


def note(folder: Path, pictures: Sequence[tuple[bytes, Facts]]) -> None:
    """Enter pictures into the folder's index by their keys."""
    rows = [(key, told, _seal(key, told)) for key, facts in pictures for told in [json.dumps(asdict(facts))]]
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


def _seal(key: bytes, told: str) -> bytes:
    return hashlib.sha256(key + told.encode()).digest()[:16]


def _facts(told: str) -> Facts:
    facts = json.loads(told)
    facts |= {name: tuple(facts[name]) for name in ("oddities", "digest", "look")}
    facts["place"] = facts["place"] and tuple(facts["place"])
    return Facts(**facts)
