"""Prefect's database as its first start leaves it, kept for the next project.

Prefect makes its tables by all its migrations since the first, which takes longer than the rest of a start.
The file ends with the hash of everything before it (SQLite ignores that). A damaged file is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from darkroom.base.files import half_written

_SEAL_BYTES = hashlib.sha256().digest_size


def kept_at() -> Path:
    """The file in which the user's blank database of the installed version of Prefect is kept."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return caches / "darkroom" / f"prefect-{version('prefect')}.db"


def take(database: Path) -> bool:
    """Put a copy at `database`, if nothing is there yet. False: something is, or no whole one is kept."""
    content = None if database.exists() else _kept()
    if content is None:
        return False
    with contextlib.suppress(OSError), _beside(database) as partial:
        partial.write_bytes(content)
        partial.replace(database)
        return True
    return False


def is_damaged() -> bool:
    """Whether something is kept that is not what was kept once."""
    return os.path.lexists(kept_at()) and _kept() is None


def _kept() -> bytes | None:
    """What is kept, without its seal; None: nothing that is whole."""
    with contextlib.suppress(OSError):
        if kept_at().is_file():
            sealed = kept_at().read_bytes()
            content, seal = sealed[:-_SEAL_BYTES], sealed[-_SEAL_BYTES:]
            return content if hashlib.sha256(content).digest() == seal else None
    return None


def keep(database: Path) -> None:
    """Keep a copy of `database`, which has just been made; if that fails, the next start is slow, too."""
    target = kept_at()
    with contextlib.suppress(OSError, sqlite3.Error):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _beside(target) as partial:
            _copy(database, partial)
            seal = hashlib.sha256(partial.read_bytes()).digest()
            with partial.open("ab") as file:
                file.write(seal)
            partial.replace(target)


def _copy(database: Path, to: Path) -> None:
    """What has been committed, also where another connection writes."""
    with (
        contextlib.closing(sqlite3.connect(database)) as made,
        contextlib.closing(sqlite3.connect(to)) as copy,
    ):
        made.backup(copy)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    partial = half_written(path)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
