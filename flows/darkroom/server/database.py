"""Checks the project's Prefect database before a server starts on it, so that no run fails because of it.

A damaged database is renamed, and a new one is started. A healthy one that cannot be used now (locked, made
by a newer Prefect, not writable) is left alone, and the run goes on without being recorded.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import importlib.util
import itertools
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from darkroom.base.errors import DarkroomError
from darkroom.server import blank_database

LOCK_SECONDS = 3.0
"""Seconds to wait for others who write in it or look after it: their turns take a fraction of one."""

CHECK_SECONDS = 2.0
"""Seconds for reading it through: a large one is looked at in part."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_MENDS = {
    sqlite3.SQLITE_READONLY: "have its permissions changed, and those of its folder",
    sqlite3.SQLITE_PERM: "have its permissions changed, and those of its folder",
    sqlite3.SQLITE_CANTOPEN: "have its permissions changed, and those of its folder",
    sqlite3.SQLITE_FULL: "free some space there",
    sqlite3.SQLITE_IOERR: "free some space there, or have the disk checked",
}
_MAGIC, _SMALLEST_PAGE = b"SQLite format 3\0", 512
_BESIDE = ("", "-wal", "-shm", "-journal")
_LOOK_SECONDS = 0.05


class DatabaseError(DarkroomError):
    """The project's Prefect database cannot be used now, or is none."""


class _DamagedError(Exception):
    """The file is no database (any more), and why."""


def prepare(database: Path) -> list[str]:
    """See to it that a server can be started on `database`; in lines, what had to be done for it.

    Where there is none, the template of the user's cache takes its place, if that is whole.

    Raises:
        DatabaseError: It is locked, of a newer Prefect or not writable, or another run looks after it.
        OSError: Its folder cannot be opened, or a damaged database cannot be renamed.

    """
    with _alone(database):
        done = []
        try:
            _require_usable(database)
        except _DamagedError as damage:
            done.append(_set_aside(database, str(damage)))
        if (
            not os.path.lexists(database)
            and not blank_database.take(database)
            and blank_database.is_damaged()
        ):
            kept = blank_database.kept_at()
            done.append(f"{kept}: is damaged, this start of Prefect takes longer and makes it anew")
        return done


@contextlib.contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Let no other process rename the database meanwhile: it might rename the new one just started."""
    descriptor = os.open(database.parent, os.O_RDONLY | os.O_DIRECTORY)
    give_up = time.monotonic() + CHECK_SECONDS + LOCK_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > give_up:
                    raise DatabaseError(
                        f"{database}: another run looks after it; is that stopped?"
                    ) from error
                time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _require_usable(database: Path) -> None:
    """Look whether a server could use the database; where there is none, one could.

    Raises:
        _DamagedError: It is no database (any more).
        DatabaseError: It is in order, but cannot be used now.

    """
    if not os.path.lexists(database):
        return
    if database.exists() and not database.is_file():
        raise _DamagedError("is no file")
    try:
        _require_header(database)
        if database.exists():
            with _opened(database, "ro") as held:  # so that what stands beside it stays, too
                _require_whole(held)
                _require_known(held, database)
        with _opened(database, "rwc") as held:
            held.execute("begin immediate")
            held.execute("pragma user_version = 0")  # only a write shows that it may be written
            held.execute("rollback")
    except sqlite3.Error as error:
        # Without a code it is about Python's side of things: a text that is none, say.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in _DAMAGED:
            raise _DamagedError(str(error)) from error
        if code in _LOCKED:
            raise DatabaseError(
                f"{database}: another process has locked it; end that (`fuser {database}` names it)"
            ) from error
        mend = _MENDS.get(code, "mend it, or move it to another place")
        raise DatabaseError(f"{database}: {error}; {mend}") from error


@contextlib.contextmanager
def _opened(database: Path, mode: str) -> Iterator[sqlite3.Connection]:
    uri = f"{database.absolute().as_uri()}?mode={mode}"
    with contextlib.closing(sqlite3.connect(uri, LOCK_SECONDS, uri=True, isolation_level=None)) as held:
        yield held


def _require_header(database: Path) -> None:
    """SQLite would take a file without a whole page for an empty one, and remove what stands beside it."""
    with contextlib.suppress(FileNotFoundError, PermissionError), database.open("rb") as file:
        start = file.read(_SMALLEST_PAGE)
        log = database.with_name(f"{database.name}-wal")
        if start[: len(_MAGIC)] != _MAGIC and (start or (log.exists() and log.stat().st_size)):
            raise _DamagedError("file is not a database")
        if 0 < len(start) < _SMALLEST_PAGE:
            raise _DamagedError("is cut off")


def _require_whole(held: sqlite3.Connection) -> None:
    give_up = time.monotonic() + CHECK_SECONDS
    held.set_progress_handler(lambda: time.monotonic() > give_up, 10_000)
    try:
        (found,) = held.execute("pragma quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        found = "ok"  # so far
    held.set_progress_handler(None, 0)
    if found != "ok":
        raise _DamagedError(" ".join(found.split()))


def _require_known(held: sqlite3.Connection, database: Path) -> None:
    """A newer Prefect has made its tables in a way that this one does not know."""
    if not held.execute("select 1 from sqlite_master where name = 'alembic_version'").fetchone():
        return
    for (revision,) in held.execute("select version_num from alembic_version"):
        if not any(_migrations().glob(f"*_{revision}_*.py")):
            raise DatabaseError(
                f"{database}: a newer Prefect has made it (its state {revision} is unknown here);"
                " upgrade Prefect, or move the file to another place"
            )


def _migrations() -> Path:
    """Prefect's folder of them, found without importing Prefect."""
    found = importlib.util.find_spec("prefect")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "server/database/_migrations/versions/sqlite"


def _set_aside(database: Path, why: str) -> str:
    """Give it another name, with what SQLite keeps beside it; in words, which."""
    moment = f"{datetime.datetime.now():%Y%m%d-%H%M%S}"
    names = (f"{database.name}.damaged-{moment}{'-' * bool(n)}{n or ''}" for n in itertools.count())
    aside = next(path for path in map(database.with_name, names) if not os.path.lexists(path))
    for ending in reversed(_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            database.with_name(database.name + ending).rename(aside.with_name(aside.name + ending))
    return (
        f"{database}: {why}; it is set aside as {aside.name}, and a new one is begun without the runs so far"
        f" (`sqlite3 {aside.name} .recover` reads what can be read)"
    )
