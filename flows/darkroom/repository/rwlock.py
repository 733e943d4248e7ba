"""DVC's rwlock: the paths that running stages use, with read locks on deps and write locks on outs.

The file is JSON, `{"write": {path: {"pid": .., "cmd": ..}}, "read": {path: [{"pid": .., "cmd": ..}]}}`, and
has a lock file of its own. DVC writes it in place, so a kill may leave it half written, and DVC trusts any
pid that exists. Here it is replaced in one step. Stale entries are removed: those of processes that are gone,
and those whose pid now belongs to another process.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePath
from typing import Any

import psutil

from darkroom.base.files import write_text
from darkroom.processes.process_group import find_process
from darkroom.schedule.scheduler import Busy

_CLOCK_SECONDS = 2.0
"""How far the start of a process and a file's time may be apart by the clocks' coarseness."""

Use = tuple[str, str, dict[str, Any]]
"""One use of a path: `read` or `write`, the path, and who uses it."""


class PathsInUse:
    """The file at `path`, edited under `lock` (DVC's), and what this process has in it.

    All its entries bear this process's name, as those of DVC's own calls from here do, so they never block
    each other; a path stays in the file until the last stage that uses it is done.
    """

    def __init__(self, path: Path, lock: Callable[[], AbstractContextManager[object]]) -> None:
        self._path, self._lock = path, lock
        self._readers: Counter[str] = Counter()
        self._writers: Counter[str] = Counter()
        self._given = False
        self._me = {"pid": os.getpid(), "cmd": " ".join(sys.argv)}

    def take(self, read: Iterable[str], write: Iterable[str]) -> None:
        """Enter the paths into the file.

        Raises:
            Busy: Another process uses one of the paths.

        """
        read, write = list(read), list(write)
        with self._lock():
            self.look(read, write)
            self._readers.update(read)
            self._writers.update(write)
            self._replace()

    def look(self, read: Sequence[str], write: Sequence[str]) -> None:
        """Look whether the paths are free, and change nothing.

        Raises:
            Busy: Another process uses one of the paths.

        """
        for mode, path, who in self._others():
            for mine in (*read, *write) if mode == "write" else write:
                if _overlap(mine, path):
                    raise Busy(f"{path} is in use by pid {who['pid']} ({who['cmd']})")

    def give(self, read: Iterable[str], write: Iterable[str]) -> None:
        """Take the paths out, those that no other stage uses: in the file with the next write of it."""
        self._readers.subtract(read)
        self._writers.subtract(write)
        self._given = True

    def flush(self) -> None:
        """Remove from the file the paths that were given back."""
        if self._given:
            with self._lock():
                self._replace()

    def give_all(self) -> None:
        """Take every path of this process out of the file."""
        if +self._readers or +self._writers or self._given:
            self._readers.clear()
            self._writers.clear()
            with self._lock():
                self._replace()

    def heal(self) -> bool:
        """Take out what is stale, replace a file that cannot be read. True: somebody died and left it so."""
        if not self._wrong():
            return False
        with self._lock():
            self._replace()
        return True

    def _wrong(self) -> bool:
        held = self._read()
        if isinstance(held, dict):  # DVC leaves empty tables behind where nobody uses a path
            held = {mode: paths for mode, paths in held.items() if paths}
        return bool(self._wanted() != held)

    def _wanted(self) -> dict[str, Any]:
        return _table([*self._others(), *self._own()])

    def _replace(self) -> None:
        if self._wrong():
            write_text(self._path, json.dumps(self._wanted()))
        self._given = False

    def _own(self) -> Iterator[Use]:
        yield from (("read", path, self._me) for path in +self._readers)
        yield from (("write", path, self._me) for path in +self._writers)

    def _others(self) -> list[Use]:
        """The entries of other processes that live."""
        with contextlib.suppress(FileNotFoundError):
            written = self._path.stat().st_mtime
            uses = list(_uses(self._read()))
            pids = {who["pid"] for *_, who in uses} - {self._me["pid"]}
            living = {pid for pid in pids if _lives_since(pid, written)}
            return [use for use in uses if use[2]["pid"] in living]
        return []

    def _read(self) -> Any:
        """The table in the file; None where a kill has torn it."""
        try:
            return json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            return None


def _uses(held: Any) -> Iterator[Use]:
    """The entries; none of a file that is no such table."""
    with contextlib.suppress(AttributeError, TypeError, KeyError):
        for path, who in held.get("write", {}).items():
            yield "write", path, {"pid": int(who["pid"]), "cmd": str(who["cmd"])}
        for path, readers in held.get("read", {}).items():
            for who in readers:
                yield "read", path, {"pid": int(who["pid"]), "cmd": str(who["cmd"])}


def _table(uses: Iterable[Use]) -> dict[str, Any]:
    """The table as DVC writes it."""
    held: dict[str, Any] = {}
    for mode, path, who in uses:
        if mode == "write":
            held.setdefault(mode, {})[path] = who
        else:
            held.setdefault(mode, {}).setdefault(path, []).append(who)
    return held


def _overlap(one: str, other: str) -> bool:
    """Whether the paths are equal, or one lies in the other."""
    a, b = PurePath(one), PurePath(other)
    return a == b or a in b.parents or b in a.parents


def _lives_since(pid: int, written: float) -> bool:
    """Whether the process that was called `pid` when the file was written still lives.

    A process that was started after that has only got the number.
    """
    found = find_process(pid)
    if found is None or found.zombie:
        return False
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).create_time() <= written + _CLOCK_SECONDS
    return False
