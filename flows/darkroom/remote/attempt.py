"""One attempt as the run sees it: submitted, watched, and ended by a record or by being given up."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Protocol

from darkroom.base.errors import RepoError, explain_os_error
from darkroom.base.files import name_as_file, write_text
from darkroom.exchange.board import Board, Seen
from darkroom.exchange.orders import Order, Record
from darkroom.processes.stage_process import Ending, StageResult
from darkroom.remote.watch import Watch

STOP_SECONDS = 12.0
"""The time after a request to stop after which a host that has not answered is left alone."""

GONE_LOOKS = 3
"""How often in a row the carrier must say that an attempt is gone, while no record is there."""


class Carried(Enum):
    """What a carrier knows of an attempt."""

    NO_NEWS = "no news"
    THERE = "there"  # it waits for a host, or runs
    GONE = "gone"  # nobody will execute it any more


class Carrier(Protocol):
    """Brings attempts to hosts. A method may raise OSError: then nothing is known, and it is asked again."""

    def submit(self, order: Order) -> None:
        """Have a host execute the attempt; submitting it twice makes no second one."""

    def state(self, token: str) -> Carried:
        """What is known of it."""

    def cancel(self, token: str) -> None:
        """Keep hosts from executing the attempt any more, as far as that can be had."""


class Offers:
    """The carrier of workers that look at the board themselves."""

    def __init__(self, board: Board, pool: str) -> None:
        self._board, self._pool = board, pool

    def submit(self, order: Order) -> None:
        """Offer it to the pool."""
        self._board.offer(self._pool, order.token)

    def state(self, token: str) -> Carried:  # noqa: ARG002
        """Nothing: whether a worker lives is seen by its beat."""
        return Carried.NO_NEWS

    def cancel(self, token: str) -> None:
        """Offer it no more."""
        self._board.withdraw(self._pool, token)


@dataclass(frozen=True, slots=True)
class Notes:
    """Which attempts this clone has submitted, a file a stage: a run that is started again finds them."""

    folder: Path

    def write(self, order: Order) -> None:
        """Note an attempt before it is submitted.

        Raises:
            RepoError: The note cannot be written. No answer of the storage is that, so it is no OSError.

        """
        text = json.dumps({"token": order.token, "key": order.key})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self._file(order.stage), text, synced=True)
        except OSError as error:
            raise RepoError(explain_os_error(error)) from error

    def read(self, stage: str) -> tuple[str, str] | None:
        """Token and key of the stage's last attempt; None: there is none."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            held = json.loads(self._file(stage).read_text())
            return str(held["token"]), str(held["key"])
        return None

    def tokens(self) -> set[str]:
        """The tokens of all attempts that are not done with."""
        found: set[str] = set()
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found.add(str(json.loads(path.read_text())["token"]))
        return found

    def forget(self, stage: str) -> None:
        """Note that the stage's last attempt is done with."""
        self._file(stage).unlink(missing_ok=True)

    def _file(self, stage: str) -> Path:
        return self.folder / f"{name_as_file(stage)}.json"


class RemoteAttempt:
    """An attempt of this run. `step` is called again and again until it returns how the attempt ended.

    An attempt of an earlier run that asks for the same work is taken over, so that a run which was killed and
    started again loses nothing.
    """

    def __init__(self, order: Order, board: Board, carrier: Carrier, notes: Notes, lost_after: float) -> None:
        self.order = order
        self._board, self._carrier, self._notes = board, carrier, notes
        self._watch = Watch(lost_after)
        self._noted = self._written = self._submitted = False
        self._stopped_at: float | None = None
        self._gone = 0
        self.seen: Seen | None = None
        """What the last look showed."""

    def step(self, now: float, *, stop: bool = False, stop_now: bool = False) -> Record | StageResult | None:
        """Do what is next. A record: it ended so; a result: it was given up; None: it goes on."""
        try:
            if not self._written:
                self._write()
            if stop or stop_now:
                return self._stop(now, now_at_once=stop_now)
            return self._step(now)
        except OSError:  # no answer is no news
            self._watch.looked(None, now)
            if stop or stop_now:
                return self._out_of_patience(now)
            return None

    def close(self) -> None:
        """Forget the attempt, whose record is taken over or which is given up."""
        self._notes.forget(self.order.stage)
        self._drop(self.order.token)

    def _drop(self, token: str) -> None:
        """Let nothing come of an attempt any more: who has it finds nothing to hand a record in to."""
        with contextlib.suppress(OSError):
            self._board.revoke(token)
            self._board.remove(token)
            self._carrier.cancel(token)

    def _write(self) -> None:
        """Take over an attempt at the same work, or note and write a new one.

        Raises:
            RepoError: It cannot be noted here.

        """
        if not self._noted and (left := self._notes.read(self.order.stage)):
            token, key = left
            if key == self.order.key and self._may_be_taken_over(token):
                self.order = replace(self.order, token=token)
                self._written = self._submitted = True
                return
            self._drop(token)
        self._notes.write(self.order)
        self._noted = True  # from now on the note is of this attempt itself
        self._board.write(self.order)
        self._written = True

    def _may_be_taken_over(self, token: str) -> bool:
        """Whether it was submitted, and has not ended badly."""
        if not self._board.is_current(token):
            return False
        seen = self._board.look(token)
        if seen.record is not None:
            return seen.record.result.well
        return seen.host is not None

    def _step(self, now: float) -> Record | StageResult | None:
        self.seen = seen = self._board.look(self.order.token)
        if seen.record is not None:  # it counts whatever a carrier says
            return seen.record
        if not self._submitted:
            self._carrier.submit(self.order)
            self._submitted = True
        lost = self._watch.looked(seen, now)
        carried = self._carrier.state(self.order.token)
        if carried is Carried.GONE:
            self._gone += 1
        elif carried is Carried.THERE:
            self._gone = 0
        if lost or self._gone >= GONE_LOOKS:
            self._board.revoke(self.order.token)
            with contextlib.suppress(OSError):
                self._carrier.cancel(self.order.token)
            return self._given_up(Ending.LOST, f"host {seen.host or '(unknown)'} was lost")
        return None

    def _stop(self, now: float, *, now_at_once: bool) -> Record | StageResult | None:
        if self._stopped_at is None:
            self._stopped_at = now
        self._board.ask_to_stop(self.order.token, now=now_at_once)
        self.seen = seen = self._board.look(self.order.token)
        if seen.record is not None:
            return seen.record
        if seen.host is None:
            self._board.revoke(self.order.token)
            self._carrier.cancel(self.order.token)
            if self._board.look(self.order.token).host is None:
                return self._given_up(Ending.STOPPED, "stopped before a host took it")
        return self._out_of_patience(now)

    def _out_of_patience(self, now: float) -> StageResult | None:
        if self._stopped_at is None:
            self._stopped_at = now
        if now < self._stopped_at + STOP_SECONDS:
            return None
        with contextlib.suppress(OSError):
            self._board.revoke(self.order.token)
            self._carrier.cancel(self.order.token)
        host = self.seen.host if self.seen else None
        return self._given_up(Ending.STOPPED, f"stopped; host {host or '(unknown)'} has not answered")

    def _given_up(self, ending: Ending, why: str) -> StageResult:
        return StageResult(ending=ending, error=why)
