"""How long stages took: a line of JSON each, appended under a lock, so that runs can share the file."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from darkroom.base.files import write_bytes

RECENT = 5
"""How many of a stage's last runs count."""

STAGES = 20_000
"""How many stages are known, those that ran last: names may hold a date, and be others each day."""

LITTLE_BYTES = 1 << 16
"""A file of this size is not worth shortening."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """The time in which a stage's command ran."""

    run: str
    stage: str
    began: float
    """The start in seconds since the epoch."""
    seconds: float


class History:
    """The durations of past runs in `.darkroom/history.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "history.jsonl"

    def add(self, run: str, stage: str, seconds: float) -> None:
        """Note that the stage's command took `seconds` and ended well.

        Raises:
            OSError: The file cannot be written.

        """
        entry = {"run": run, "stage": stage, "seconds": round(seconds, 3), "ended": round(time.time(), 3)}
        line = json.dumps(entry, ensure_ascii=False)
        with self._locked() as file:
            size = file.seek(0, os.SEEK_END)
            torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            file.write((b"\n" if torn else b"") + f"{line}\n".encode())

    def seconds(self) -> dict[str, float]:
        """The median of each stage's last runs."""
        if not self._path.exists():
            return {}
        recent = _recent(self._path.read_bytes())
        return {stage: statistics.median(next(zip(*runs, strict=True))) for stage, runs in recent.items()}

    def last_run(self) -> list[StageTime]:
        """The times of the last run's commands that ended well, in the order in which they began."""
        if not self._path.exists():
            return []
        found: list[StageTime] = []
        for line in self._path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # torn, or of an older version
                entry = json.loads(line)
                seconds, ended = float(entry["seconds"]), float(entry["ended"])
                this = StageTime(str(entry["run"]), str(entry["stage"]), ended - seconds, seconds)
                if found and found[0].run != this.run:
                    found.clear()
                found.append(this)
        return sorted(found, key=lambda one: one.began)

    def shorten(self) -> None:
        """Remove what counts no more, where that is most of the file: it is read for each plan.

        Raises:
            OSError: The file cannot be written.

        """
        if not self._path.exists() or self._path.stat().st_size <= LITTLE_BYTES:
            return
        with self._locked():
            held = self._path.read_bytes()
            recent = list(_recent(held).values())[-STAGES:]
            kept = b"".join(line + b"\n" for runs in recent for _, line in runs)
            if len(kept) <= len(held) / 2:
                write_bytes(self._path, kept)

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        """The file, in which nobody else writes meanwhile: what another is about to end would look torn."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with self._path.open("ab+", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if _is_still(self._path, file):  # another run may have shortened it just now
                    yield file
                    return


def _is_still(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _recent(held: bytes) -> Mapping[str, Iterable[tuple[float, bytes]]]:
    """The seconds and lines of each stage that count, the stages in the order in which they ran last."""
    recent: dict[str, deque[tuple[float, bytes]]] = {}
    for line in held.splitlines():
        try:
            entry = json.loads(line)
            stage, seconds = str(entry["stage"]), float(entry["seconds"])
        except (ValueError, KeyError, TypeError):
            continue  # torn by a kill or a full disk: it is an estimate's source, not a result
        runs = recent.pop(stage, deque(maxlen=RECENT))
        runs.append((seconds, line))
        recent[stage] = runs
    return recent
