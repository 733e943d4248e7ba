"""Delivers the letters of a project's outboxes, each once and in order, to any destination.

With each letter the position up to which the outbox is delivered is noted (`Recipient.delivered_bytes`). If a
deliverer is killed, the next one continues after this position. It also reports the end of killed runs,
which they could not report themselves.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

from darkroom.reporting.letters import (
    Became,
    Began,
    Closed,
    Drew,
    Letter,
    Opened,
    Published,
    RunState,
    Said,
)
from darkroom.reporting.outbox import (
    Posted,
    first_letter,
    is_held,
    read_letters,
    remove_outbox,
    stop_file,
    waiting_outboxes,
)
from darkroom.show.progress import StageProgress
from darkroom.tracking.run_rows import RunRow

KILLED = "its process was killed"
MOMENT = 1e-6
"""Seconds: what Prefect tells apart."""

PROGRESS = "How far the stage is"
PROGRESS_SECONDS = 5.0
"""The seconds after which it is told again how far a stage is."""

FAILURES = 5
"""The number of failures after which an outbox is set aside."""

CANCEL_SECONDS = 2.0
"""Between two looks whether somebody has cancelled a run on the pages."""


@dataclass(slots=True)
class Course:
    """How far a stage is, by its own lines."""

    began: Began
    progress: StageProgress
    news: bool = False
    due: float = 0.0


@dataclass(slots=True)
class Account:
    """What is known of an outbox by the letters read so far."""

    path: Path
    opened: Opened
    delivered: int
    """How many of its bytes were delivered when it was first seen here."""
    read: int = 0
    last: float = 0.0
    """The time of the last thing that it tells of, in seconds since 1970."""
    seen: float = 0.0
    """The time when its run was last seen to live, in seconds since 1970."""
    closed: bool = False
    begun: dict[str, Began] = field(default_factory=dict)
    unfinished: dict[str, None] = field(default_factory=dict)
    courses: dict[str, Course] = field(default_factory=dict)
    rows: dict[str, RunRow] = field(default_factory=dict)

    def take(self, letter: Letter) -> list[Letter]:
        """Note a letter; what there is to tell: the letter itself, and before it how far its stage is."""
        self.last = max(self.last, letter.at)
        before: list[Letter] = []
        match letter:
            case Began():
                self.begun[letter.run] = letter
                self.rows[letter.run] = RunRow(letter.at)
                self.rows[letter.run].enter(letter.state, letter.at, began_id(letter.run))
                if not letter.state.ends:
                    self.unfinished[letter.run] = None
                if letter.progress:
                    self.courses[letter.run] = Course(letter, StageProgress(lambda: self.last))
            case Said() | Drew() if course := self.courses.get(letter.run):
                course.news |= course.progress.take(letter.text)
            case Became():
                self.rows[letter.run].enter(letter.state, letter.at, letter.id)
                if letter.state.ends:
                    self.unfinished.pop(letter.run, None)
                if letter.state.ends and (course := self.courses.get(letter.run)) and course.news:
                    before = [self._page(course)]
            case Closed():
                self.closed = True
        return before if isinstance(letter, Opened | Drew | Closed) else [*before, letter]

    def pages(self) -> list[Letter]:
        """How far the stages are of which that is due to be told."""
        now = time.monotonic()
        due = [course for course in self.courses.values() if course.news and now >= course.due]
        for course in due:
            course.due = now + PROGRESS_SECONDS
        return [self._page(course) for course in due]

    def _page(self, course: Course) -> Published:
        course.news = False
        run = course.began.run
        return Published(
            at=self.last,
            run=run,
            key=course.began.progress,
            kind="markdown",
            data=course.progress.page(datetime.datetime.fromtimestamp(self.last).astimezone()),
            description=PROGRESS,
            id=str(uuid5(NAMESPACE_URL, f"{run} progress")),
        )

    def last_words(self) -> list[Letter]:
        """What a run that was killed could not tell."""
        killed, after = RunState(type="CRASHED", message=KILLED), max(self.last, self.seen) + MOMENT
        return [
            Became(at=after, run=run, state=killed, id=str(uuid5(NAMESPACE_URL, f"{run} killed")))
            for run in reversed(self.unfinished)
        ]


class AwayError(Exception):
    """The recipient is away or has no room: the same again may do later."""


def began_id(run: str) -> str:
    """The identifier of the state that a flow run begins in."""
    return str(uuid5(NAMESPACE_URL, f"{run} began"))


class Recipient(Protocol):
    """What letters are delivered to."""

    async def delivered_bytes(self, outbox: str) -> int:
        """Count the bytes of the outbox of that name that are delivered."""

    async def tell(self, account: Account, letters: Iterable[Letter], end: int) -> None:
        """Tell the letters of an outbox, which is told up to the byte `end` then; all or nothing of a letter.

        Raises:
            AwayError: The recipient is away or has no room.

        """

    async def cancelled(self, runs: Iterable[str]) -> set[str]:
        """Find those of the flow runs that somebody has cancelled."""

    async def forget(self, outbox: str) -> None:
        """Remove the note of how far an outbox is delivered: the outbox is gone."""


class Postman:
    """Delivers the outboxes of the project at `root` whose letters go to `to`, as `Opened` has it."""

    def __init__(self, root: Path, to: str, recipient: Recipient) -> None:
        self._root, self._to, self._recipient = root, to, recipient
        self._accounts: dict[Path, Account] = {}
        self._failures: Counter[Path] = Counter()
        self._looked = 0.0

    async def round(self) -> bool:
        """Deliver what there is; whether there was something, or a run goes on.

        Raises:
            AwayError: The recipient is away or has no room.

        """
        paths = waiting_outboxes(self._root)
        self._accounts = {path: account for path, account in self._accounts.items() if path in paths}
        busy = False
        for path in paths:
            try:
                busy |= await self._deliver(path)
            except FileNotFoundError:  # somebody else has
                self._accounts.pop(path, None)
        if self._accounts and time.monotonic() - self._looked >= CANCEL_SECONDS:
            self._looked = time.monotonic()
            await self._pass_cancels_on()
        return busy

    async def _deliver(self, path: Path) -> bool:
        held = is_held(path)  # before it is read: what is not held any more has its last letter
        account = self._accounts.get(path) or await self._account(path, held)
        if account is None:
            return False
        if held:
            account.seen = time.time()
        busy = held
        while posted := read_letters(path, account.read):
            busy = True
            await self._tell(account, posted)
        if pages := account.pages():
            await self._recipient.tell(account, pages, account.read)
        if not account.closed and held:
            return busy
        if not account.closed and account.delivered <= account.read:
            words = [each for letter in account.last_words() for each in account.take(letter)]
            await self._recipient.tell(account, words, account.read + 1)
        remove_outbox(path)
        await self._recipient.forget(path.name)
        return True

    async def _account(self, path: Path, held: bool) -> Account | None:
        opened = first_letter(path)
        if opened is None and not held and not read_letters(path, 0):
            remove_outbox(path)  # a power cut came before its first letter
        if opened is None or opened.to != self._to:
            return None
        delivered = await self._recipient.delivered_bytes(path.name)
        self._accounts[path] = Account(path, opened, delivered)
        return self._accounts[path]

    async def _tell(self, account: Account, posted: list[Posted]) -> None:
        letters: list[Letter] = []
        for each in posted:
            if each.letter is None:
                print(f"{account.path}: a letter before byte {each.end} cannot be read", file=sys.stderr)
                continue
            if (
                isinstance(each.letter, Became | Said | Drew | Published)
                and each.letter.run not in account.begun
            ):
                print(f"{account.path}: nothing is known of the run {each.letter.run}", file=sys.stderr)
                continue
            found = account.take(each.letter)
            if each.end > account.delivered:
                letters += found
        account.read = posted[-1].end
        if account.read > account.delivered:
            try:
                await self._recipient.tell(account, letters, account.read)
            except BaseException as error:  # it is read again, from the start
                self._accounts.pop(account.path)
                if isinstance(error, Exception) and not isinstance(error, AwayError):
                    self._count_failure(account.path, error)
                raise

    def _count_failure(self, path: Path, error: Exception) -> None:
        """Set an outbox aside that fails again and again: those after it are to be delivered."""
        self._failures[path] += 1
        if self._failures[path] >= FAILURES:
            path.rename(path.with_suffix(".refused"))
            print(f"{path}: is set aside as .refused: {error}", file=sys.stderr, flush=True)

    async def _pass_cancels_on(self) -> None:
        first = {
            next(iter(account.begun)): path
            for path, account in self._accounts.items()
            if account.begun and not account.closed
        }
        for run in await self._recipient.cancelled(first) if first else ():
            stop_file(first[run]).touch()
