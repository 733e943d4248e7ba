"""The folder that a run and its hosts share: each attempt has a folder there, named by its token.

A file system does every step completely or not at all, also over a network: a claim is a new folder, a record
is a file that is linked into its place. The clocks of two hosts are never compared.

    attempts/TOKEN/order.json   what is to be executed; written first
    pools/POOL/TOKEN            the attempt is offered to the workers of the pool
    attempts/TOKEN/claim/       a host has taken it, and no other host can
    attempts/TOKEN/beat         a number that rises while the host lives
    attempts/TOKEN/log          what the stage prints
    attempts/TOKEN/checkpoints.json  from which another host continues, if this one is lost
    attempts/TOKEN/stop         the host is to end the stage politely; `stop-now`: at once
    attempts/TOKEN/revoked      the run has given the attempt up, and ignores whatever comes
    attempts/TOKEN/record.json  how the attempt ended
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from darkroom.base.files import write_text
from darkroom.exchange.orders import Order, Record
from darkroom.repository.blobs import Blob

TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the board shows of an attempt."""

    host: str | None
    """The host that has claimed the attempt; None: no host has."""
    beat: str
    record: Record | None


class Board:
    """The attempts in `folder`. All methods raise OSError where it cannot be reached: that is no news."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._attempts = folder / "attempts"

    def write(self, order: Order) -> None:
        """Write down an attempt; nobody is told of it yet."""
        place = self._attempts / order.token
        place.mkdir(parents=True, exist_ok=True)
        write_text(place / "order.json", order.to_json(), synced=True)

    def offer(self, pool: str, token: str) -> None:
        """Tell the workers of a pool of an attempt; once more does no harm."""
        place = self.folder / "pools" / pool
        place.mkdir(parents=True, exist_ok=True)
        (place / token).touch()

    def withdraw(self, pool: str, token: str) -> None:
        """Offer it no more."""
        (self.folder / "pools" / pool / token).unlink(missing_ok=True)

    def offered(self, pool: str) -> list[str]:
        """The attempts offered to a pool, the oldest first."""
        place = self.folder / "pools" / pool
        place.mkdir(parents=True, exist_ok=True)
        found: list[tuple[float, str]] = []
        for path in place.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if TOKEN.fullmatch(path.name):
                    found.append((path.stat().st_mtime, path.name))
        return [token for _, token in sorted(found)]

    def order(self, token: str) -> Order | None:
        """What is asked for; None: nothing any more.

        Raises:
            ValueError: Another version of darkroom wrote it.

        """
        try:
            return Order.from_json((self._attempts / token / "order.json").read_text())
        except FileNotFoundError:
            return None

    def claim(self, token: str, host: str) -> bool:
        """Take an attempt. False: another has it, or it is revoked."""
        place = self._attempts / token
        if not self.is_current(token):
            return False
        try:
            (place / "claim").mkdir()
        except (FileExistsError, FileNotFoundError):
            return False
        with contextlib.suppress(FileNotFoundError):
            write_text(place / "claim" / "host", host)
        return self.is_current(token)

    def is_current(self, token: str) -> bool:
        """Whether the run still waits for the attempt."""
        place = self._attempts / token
        return (place / "order.json").exists() and not (place / "revoked").exists()

    def beat(self, token: str, number: int) -> None:
        """Show that the host lives."""
        with contextlib.suppress(FileNotFoundError):
            write_text(self._attempts / token / "beat", str(number))

    def log(self, token: str) -> Path:
        """The file of what the stage prints."""
        return self._attempts / token / "log"

    def keep_checkpoints(self, token: str, blobs: Mapping[str, Blob]) -> None:
        """Write down the stage's last checkpoints, which are stored: by path."""
        with contextlib.suppress(FileNotFoundError):
            text = json.dumps({path: dataclasses.asdict(blob) for path, blob in blobs.items()})
            write_text(self._attempts / token / "checkpoints.json", text)

    def checkpoints(self, token: str) -> dict[str, Blob]:
        """The stage's last checkpoints, by path."""
        text = _read(self._attempts / token / "checkpoints.json")
        return {path: Blob(**blob) for path, blob in json.loads(text or "{}").items()}

    def hand_in(self, record: Record) -> bool:
        """Write how an attempt ended. False: it is revoked, or has ended before."""
        place = self._attempts / record.token
        if not self.is_current(record.token):
            return False
        draft = place / f".record.{secrets.token_hex(4)}"
        try:
            write_text(draft, record.to_json(), synced=True)
            os.link(draft, place / "record.json")
        except (FileNotFoundError, FileExistsError):
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def look(self, token: str) -> Seen:
        """What is known of an attempt."""
        place = self._attempts / token
        if not place.is_dir():
            raise FileNotFoundError(f"{place} is not there")
        # The record is read last: what is seen before it is no newer than it.
        host = _read(place / "claim" / "host") if (place / "claim").is_dir() else None
        beat, text = _read(place / "beat"), _read(place / "record.json")
        return Seen(host, beat, _record(text, token) if text else None)

    def ask_to_stop(self, token: str, *, now: bool = False) -> None:
        """Have the host end the stage, politely or at once."""
        with contextlib.suppress(FileNotFoundError):
            (self._attempts / token / ("stop-now" if now else "stop")).touch()

    def asked_to_stop(self, token: str) -> tuple[bool, bool]:
        """Whether the stage is to be ended, and whether at once."""
        place = self._attempts / token
        return (place / "stop").exists(), (place / "stop-now").exists()

    def revoke(self, token: str) -> None:
        """Give an attempt up: from now on its record is none."""
        with contextlib.suppress(FileNotFoundError):
            (self._attempts / token / "revoked").touch()

    def remove(self, token: str) -> None:
        """Forget an attempt that is done with."""
        shutil.rmtree(self._attempts / token, ignore_errors=True)

    def under_way(self) -> Iterator[tuple[Order, Seen]]:
        """The attempts that some run waits for."""
        for place in sorted(self._attempts.glob("*")):
            with contextlib.suppress(OSError, ValueError):
                order = self.order(place.name) if self.is_current(place.name) else None
                if order is not None:
                    yield order, self.look(place.name)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _record(text: str, token: str) -> Record | None:
    """The record, if it is this attempt's own."""
    try:
        record = Record.from_json(text)
    except ValueError:
        return None
    return record if record.token == token else None
