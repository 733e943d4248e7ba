"""Requests to Prefect's server, sent in order from a separate thread, so that nobody who works waits.

While the server is away requests wait here, and are sent once it is back. If the answer to a request was
lost, the server is first asked whether the request has arrived. So it is not made twice.
"""

from __future__ import annotations

import contextvars
import datetime
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, LogFilterTimestamp
from prefect.context import SettingsContext, get_settings_context

from darkroom.base.escapes import escape_lines
from darkroom.base.text import format_count, format_reasons

REQUEST_SECONDS = 20.0  # a stopped server accepts connections and never answers
PROBE_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0
TRIES = 5  # of one request that fails at a server that says it is well
SAY_SECONDS = 2.0
LINES_SECONDS = 1.0  # lines go in batches: the pages ask for new ones every few seconds
BATCH_BYTES = 500_000
LINE_BYTES = 20_000  # of one line; the whole one is in the stage's log file
BUFFER_BYTES = 16_000_000  # of lines that wait
LINE_OVERHEAD = 200
_BUSY_CODES = {408, 425, 429, 503}


@dataclass(slots=True)
class ServerObject:
    """Something that the server gives an identifier when it records it."""

    given: UUID | None = None

    @property
    def id(self) -> UUID:
        """The identifier.

        Raises:
            LookupError: The server gave none.

        """
        if self.given is None:
            raise LookupError("what it belongs to is not recorded")
        return self.given


@dataclass(frozen=True, slots=True)
class Message:
    """Something to be told. `arrived` is asked before it is told a second time."""

    what: str
    send: Callable[[SyncPrefectClient], object]
    arrived: Callable[[SyncPrefectClient], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a run's log."""

    run: ServerObject
    moment: datetime.datetime
    text: str
    level: int = logging.INFO

    @property
    def size(self) -> int:
        """About how many bytes of memory the line takes."""
        return len(self.text) + LINE_OVERHEAD

    def to_json(self) -> dict[str, Any]:
        """The line as Prefect's API takes it."""
        moment = self.moment.isoformat()
        return {
            "name": "darkroom",
            "level": self.level,
            "message": self.text,
            "timestamp": moment,
            "flow_run_id": str(self.run.id),
        }


class DeliveryQueue:
    """Requests and lines for the server that Prefect's client is set to. Any thread may put them in."""

    def __init__(self) -> None:
        self._requests: deque[Message] = deque()
        self._lines: deque[LogLine] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._given_up = threading.Event()
        self._sent_lines = time.monotonic()
        self._lost_lines = 0
        self._sender = Sender(self._given_up)
        # Prefect reads settings files in the current directory, which the run is about to change.
        with without_retries():
            client = get_client(sync_client=True, httpx_settings={"timeout": REQUEST_SECONDS})
            context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._deliver, client), name="delivery", daemon=True
        )
        self._thread.start()

    def put(self, request: Message) -> None:
        """Queue a request to be sent after what waits already."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify()

    def put_line(self, run: ServerObject, text: str, level: int = logging.INFO) -> None:
        """Queue a line of a log; one for which there is no room is lost, and counted."""
        text = escape_lines(text)
        text = text if len(text) <= LINE_BYTES else f"{text[:LINE_BYTES]}… [cut]"
        line = LogLine(run, datetime.datetime.now(datetime.UTC), text, level)
        with self._changed:
            if self._waiting_bytes + line.size > BUFFER_BYTES:
                self._lost_lines += 1
                return
            self._waiting_bytes += line.size
            self._lines.append(line)

    def close(self, patience: float, at_most: float, remark: Callable[[str], None]) -> None:
        """Wait until all is sent, but not for a server that is silent for `patience` seconds.

        Waits `at_most` seconds in all. Ctrl-C ends the waiting. `remark` gets a line where it takes a while.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        began, said = time.monotonic(), False
        try:
            while self._thread.is_alive():
                self._thread.join(0.1)
                now = time.monotonic()
                if now - max(began, self._sender.answered) > patience or now - began > at_most:
                    break
                if now - began > SAY_SECONDS and not said:
                    remark("waiting for Prefect's server to record the run (Ctrl-C: do not wait)")
                    said = True
        except KeyboardInterrupt:
            self._sender.problem = self._sender.problem or "not waited for"
        self._given_up.set()

    def loss(self) -> str | None:
        """What the server was not told, and why, in a line; None where it knows all."""
        with self._changed:
            missing = [*self._sender.refused, *(request.what for request in self._requests)]
            lines = self._lost_lines + len(self._lines)
            late = bool(self._requests or self._lines)
        parts = [format_reasons(missing), format_count(lines, "line") + " of the logs" if lines else ""]
        said = " and ".join(filter(None, parts))
        why = self._sender.problem or ("no answer in time" if late else "more than there was room for")
        return f"{said} ({why})" if said else None

    def _deliver(self, client: SyncPrefectClient) -> None:
        with client:
            while not self._given_up.is_set() and (deliver := self._next()):
                deliver(client)

    def _next(self) -> Callable[[SyncPrefectClient], object] | None:
        """What to do next, waited for; None where the queue is closed and empty."""
        with self._changed:
            while True:
                now = time.monotonic()
                if batch := self._batch(now):
                    return lambda client: self._send_lines(client, batch)
                if self._requests:
                    return self._send_first
                if self._closing:
                    return None
                self._changed.wait(LINES_SECONDS / 2)

    def _batch(self, now: float) -> list[LogLine]:
        """The lines that are due, of runs that the server knows."""
        if not self._requests:
            self._drop_lines_of_nothing()
        if now - self._sent_lines < LINES_SECONDS and not self._closing and self._waiting_bytes < BATCH_BYTES:
            return []
        batch, size = [], 0
        for line in self._lines:
            if line.run.given is None or size > BATCH_BYTES:
                break
            batch.append(line)
            size += line.size
        return batch

    def _drop_lines_of_nothing(self) -> None:
        """Lines of a run that the server would not record: nothing is under way that could change it."""
        while self._lines and self._lines[0].run.given is None:
            self._forget_line()
            self._lost_lines += 1

    def _forget_line(self) -> None:
        self._waiting_bytes -= self._lines.popleft().size

    def _send_first(self, client: SyncPrefectClient) -> None:
        if self._sender.see_through(client, self._requests[0]):
            with self._changed:
                self._requests.popleft()

    def _send_lines(self, client: SyncPrefectClient, batch: list[LogLine]) -> None:
        lines = [line.to_json() for line in batch]
        what = f"{format_count(len(lines), 'line')} of the logs"
        request = Message(what, lambda to: to.create_logs(lines), lambda to: has_line(to, batch[0]))
        if self._sender.see_through(client, request):
            self._sent_lines = time.monotonic()
            with self._changed:
                for _ in batch:
                    self._forget_line()


class Sender:
    """Sends requests, each as often as it takes, until `given_up` is set."""

    def __init__(self, given_up: threading.Event) -> None:
        self._given_up = given_up
        self.answered = time.monotonic()
        """The time when the server answered last."""
        self.waiting_since = 0.0
        """Since when a request waits for the server; 0.0: none does."""
        self.refused: list[str] = []
        self.problem = ""
        """What went wrong last, in a line."""

    def see_through(self, client: SyncPrefectClient, request: Message, *, doubtful: bool = False) -> bool:
        """Send it. False: given up; what the server refuses is done with, and noted.

        `doubtful`: it may have been sent before, by one that was killed.
        """
        tries = 0
        while not self._given_up.is_set():
            try:
                if not ((tries or doubtful) and request.arrived(client)):
                    request.send(client)
            except Exception as error:  # a recorder's fault must not end the stages
                tries += 1
                self.problem = f"{type(error).__name__}: {error}".splitlines()[0]
                self.waiting_since = self.waiting_since or time.monotonic()
                if not is_busy(error) and (not is_away(error) or tries >= TRIES):
                    self.refused.append(request.what)
                    self.waiting_since = 0.0
                    return True
                self._wait_for_server(client, tries)
            else:
                self.answered = time.monotonic()
                self.waiting_since = 0.0
                return True
        return False

    def _wait_for_server(self, client: SyncPrefectClient, tries: int) -> None:
        """Return when the server says that it is well, or nobody waits any more; later after more tries."""
        pause = min(FIRST_PAUSE * 2.0 ** min(tries - 1, 10), LONGEST_PAUSE)
        while not self._given_up.wait(pause):
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                client.request("GET", "/health", timeout=PROBE_SECONDS)
            except httpx.HTTPError as error:
                self.problem = f"{type(error).__name__}: {error}"
            else:
                return


def without_retries() -> SettingsContext:
    """Prefect's settings without retries by its client, which would continue when nobody waits any more.

    `temporary_settings` takes a fifth of a second for it: it reads all settings anew.
    """
    now = get_settings_context()
    client = now.settings.client.model_copy(update={"max_retries": 0})
    settings = now.settings.model_copy(update={"client": client})
    return SettingsContext(profile=now.profile, settings=settings)


def is_away(error: Exception) -> bool:
    """Whether the same request may well be answered later."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or is_busy(error)
    return isinstance(error, httpx.TransportError)


def is_busy(error: Exception) -> bool:
    """Whether the server has too much to do, as on SQLite with many writers; its health does not show it."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _BUSY_CODES
    return isinstance(error, httpx.TimeoutException)


def has_line(client: SyncPrefectClient, line: LogLine) -> bool:
    """Whether the server has a line of this run and moment: a batch is recorded as a whole."""
    moment = LogFilterTimestamp.model_validate({"after_": line.moment, "before_": line.moment})
    of_run = LogFilterFlowRunId(any_=[line.run.id])
    return bool(client.read_logs(LogFilter(flow_run_id=of_run, timestamp=moment), limit=1))
