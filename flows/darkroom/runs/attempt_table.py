"""The attempts at a run's stages on other hosts: hosts.csv, a table beside the run's logs.

time      when, by the clock of the host that planned, in UTC
event     submitted; runs (a host has taken it); how the attempt ended (ok, failed, lost, ...)
sent, fetched, stored, received   bytes: from here into the storage; from the storage to the host; what the
          host made and the storage did not have yet; and from the storage to here
"""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TABLE_NAME = "hosts.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptLine:
    """A line of the table."""

    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    stage: str
    attempt: int
    event: str
    host: str = ""
    sent: int = 0
    fetched: int = 0
    stored: int = 0
    received: int = 0
    why: str = ""
    """Why the attempt did not end well; empty where it did."""

    @property
    def moved(self) -> int:
        """All bytes that went over the network for it."""
        return self.sent + self.fetched + self.stored + self.received


class AttemptTable:
    """Appends to the table of a run; threads of one process may share it."""

    _lock = threading.Lock()

    def __init__(self, folder: Path) -> None:
        self._path = folder / TABLE_NAME

    def write(self, entry: AttemptLine) -> None:
        """Add a line. Where it cannot be written the run goes on: nothing depends on it."""
        with suppress(OSError), self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = not self._path.exists()
            with self._path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if new:
                    writer.writerow(one.name for one in fields(AttemptLine))
                writer.writerow(astuple(entry))

    def entries(self) -> Iterator[AttemptLine]:
        """The lines so far.

        Raises:
            OSError: The table cannot be read; FileNotFoundError: no stage of the run was on another host.

        """
        numbers = {one.name for one in fields(AttemptLine) if one.type == "int"}
        with self._path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                read: dict[str, Any] = {
                    name: int(text) if name in numbers else text for name, text in row.items()
                }
                yield AttemptLine(**read)
