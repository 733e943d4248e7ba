"""The board that a run and its hosts share: each attempt has a folder there, named by its token.

The storage does each step whole or not at all: a claim and a record are files that can be created once.
Nobody's clock is compared with another's.

    attempts/TOKEN/order.json   what is to be executed; written first
    pools/POOL/TOKEN            it is offered to the workers of the pool
    attempts/TOKEN/refused.HOST why this host can never execute it
    attempts/TOKEN/claim        a host has it, and no other one will
    attempts/TOKEN/beat         counts on while the host lives
    attempts/TOKEN/log.N        what the stage prints, in pieces; only the last one grows
    attempts/TOKEN/checkpoints.json  what another host goes on from, if this one is lost
    attempts/TOKEN/stop         it is to end, politely; `stop-now`: at once
    attempts/TOKEN/revoked      the run has given it up: whatever comes is not looked at
    attempts/TOKEN/record.json  how it ended
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

from pydantic import TypeAdapter

from darkroom.exchange.orders import Order, Record, run_of
from darkroom.exchange.storages import Storage
from darkroom.repository.blobs import Blob

TOKEN = re.compile(r"[0-9a-f]{32}")

PIECE_BYTES = 64 * 1024
"""The bytes of a stage's output in one file of the board."""

REFUSED = "refused."

_CHECKPOINTS = TypeAdapter(dict[str, Blob])
_DICE = random.Random()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the board shows of an attempt."""

    host: str | None
    """The host that has claimed the attempt; None: no host has."""
    beat: str
    record: Record | None
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Why hosts can never execute it, by their names; only of one that nobody has claimed."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the run still wants of an attempt."""

    stop: bool
    stop_now: bool
    current: bool
    """Whether the run waits for it at all."""


class Board:
    """The attempts in a storage. All methods raise OSError where it cannot be reached: that is no news."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def write(self, order: Order) -> None:
        """Write down an attempt; nobody is told of it yet."""
        self.storage.write(_key(order.token, "order.json"), order.to_json().encode(), new=True)

    def offer(self, pool: str, token: str) -> None:
        """Tell the workers of a pool of an attempt; once more does no harm."""
        self.storage.write(f"pools/{pool}/{token}", b"", new=True)

    def withdraw(self, pool: str, token: str) -> None:
        """Offer it no more."""
        self.storage.remove(f"pools/{pool}/{token}")

    def offered(self, pool: str, dice: random.Random = _DICE) -> list[str]:
        """The attempts offered to a pool: of each run the most urgent first, of several runs in turns.

        Which run comes first is left to chance, so that a run with much to do does not keep others waiting.
        """
        runs: dict[str, list[str]] = defaultdict(list)
        for token in sorted(filter(TOKEN.fullmatch, self.storage.listed(f"pools/{pool}"))):
            runs[run_of(token)].append(token)
        turns = list(runs.values())
        dice.shuffle(turns)
        return [token for turn in zip_longest(*turns) for token in turn if token is not None]

    def order(self, token: str) -> Order | None:
        """What is asked for; None: nothing any more.

        Raises:
            ValueError: It is no order, or another version of darkroom wrote it.

        """
        text = self.storage.read(_key(token, "order.json"))
        if text is None:
            return None
        if (order := Order.from_json(text.decode())).token != token:
            raise ValueError("no order: it is one of another attempt")
        return order

    def claim(self, token: str, host: str) -> bool:
        """Take an attempt. False: another has it, or it is revoked."""
        if not self.is_current(token):
            return False
        claim = json.dumps({"host": host, "claim": secrets.token_hex(8)})
        return self.storage.create(_key(token, "claim"), claim.encode()) and self.is_current(token)

    def is_current(self, token: str) -> bool:
        """Whether the run still waits for the attempt."""
        return self.wishes(token).current

    def wishes(self, token: str) -> Wishes:
        """What the run still wants of the attempt."""
        names = self.storage.listed(_key(token))
        return Wishes("stop" in names, "stop-now" in names, "order.json" in names and "revoked" not in names)

    def refuse(self, token: str, host: str, why: str) -> None:
        """Say why a host can never execute the attempt."""
        self.storage.write(_key(token, f"{REFUSED}{host}"), why.encode())

    def beat(self, token: str, number: int) -> None:
        """Show that the host lives."""
        self.storage.write(_key(token, "beat"), str(number).encode())

    def write_output(self, token: str, piece: int, content: bytes) -> None:
        """Write a piece of what the stage prints, or what there is of it so far."""
        self.storage.write(_key(token, f"log.{piece}"), content)

    def output(self, token: str, piece: int) -> bytes:
        """A piece of what the stage prints, as far as it goes."""
        return self.storage.read(_key(token, f"log.{piece}")) or b""

    def keep_checkpoints(self, token: str, blobs: Mapping[str, Blob]) -> None:
        """Write down the stage's last checkpoints, which are stored: by path."""
        text = json.dumps({path: dataclasses.asdict(blob) for path, blob in blobs.items()})
        self.storage.write(_key(token, "checkpoints.json"), text.encode())

    def checkpoints(self, token: str) -> dict[str, Blob]:
        """The stage's last checkpoints, by path.

        Raises:
            ValueError: What is written there is something else.

        """
        return _CHECKPOINTS.validate_json(self.storage.read(_key(token, "checkpoints.json")) or b"{}")

    def hand_in(self, record: Record) -> bool:
        """Write how an attempt ended; again does no harm. False: it is revoked, or has ended otherwise."""
        if not self.is_current(record.token):
            return False
        return self.storage.create(_key(record.token, "record.json"), record.to_json().encode())

    def look(self, token: str) -> Seen:
        """What is known of an attempt."""
        names = self.storage.listed(_key(token))
        if "order.json" not in names:
            raise FileNotFoundError(f"{self.storage.address}/{_key(token)} is not there")
        # What is listed was written before: a record comes after the claim and the beats of its host.
        claim = self._read(token, "claim") if "claim" in names else ""
        beat = self._read(token, "beat") if "beat" in names else ""
        text = self._read(token, "record.json") if "record.json" in names else ""
        refusals = {} if claim else self._refusals(token, names)
        return Seen(_host(claim), beat, _record(text, token) if text else None, refusals)

    def _refusals(self, token: str, names: Iterable[str]) -> dict[str, str]:
        refused = sorted(name for name in names if name.startswith(REFUSED))
        return {name.removeprefix(REFUSED): self._read(token, name) for name in refused}

    def _read(self, token: str, name: str) -> str:
        return (self.storage.read(_key(token, name)) or b"").decode(errors="replace")

    def ask_to_stop(self, token: str, *, now: bool = False) -> None:
        """Ask the host to end the stage, politely or at once."""
        self.storage.write(_key(token, "stop-now" if now else "stop"), b"")

    def revoke(self, token: str) -> None:
        """Give an attempt up: from now on its record is none."""
        self.storage.write(_key(token, "revoked"), b"")

    def remove(self, token: str) -> None:
        """Forget an attempt that is done with."""
        self.storage.remove(_key(token))

    def under_way(self, tokens: Iterable[str] | None = None) -> Iterator[tuple[Order, Seen]]:
        """Find those of the attempts that a run waits for; all of the board's if none are named."""
        for token in sorted(self.storage.listed("attempts") if tokens is None else tokens):
            with contextlib.suppress(OSError, ValueError):
                order = self.order(token) if self.is_current(token) else None
                if order is not None:
                    yield order, self.look(token)


def _key(token: str, name: str = "") -> str:
    return f"attempts/{token}/{name}".rstrip("/")


def _host(claim: str) -> str | None:
    """Who has claimed it; of a claim that cannot be read this is known no more."""
    if not claim:
        return None
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(claim)["host"])
    return "(unknown)"


def _record(text: str, token: str) -> Record | None:
    """The record, if it is this attempt's own."""
    try:
        record = Record.from_json(text)
    except ValueError:
        return None
    return record if record.token == token else None
