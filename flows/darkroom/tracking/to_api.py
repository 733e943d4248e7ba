"""Delivers letters to a Prefect server elsewhere, through its API, which accepts no times for states.

If a state is reported late, its message says when it happened. The API has no transactions either. So after
each answer a file beside the outbox notes the position up to which it is delivered. After a kill the server
is asked which letters after this position it already has, before the others are sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, FlowRunCreate, TaskRunCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRunResult, StateType
from prefect.client.schemas.objects import State as PrefectState
from prefect.states import to_state_create

from darkroom.reporting.letters import Became, Began, Letter, Published, RunState, Said
from darkroom.reporting.outbox import is_held, outbox_folder, position_file, waiting_outboxes
from darkroom.tracking.artifacts import artifacts_of, created_id
from darkroom.tracking.delivery_queue import (
    BATCH_BYTES,
    REQUEST_SECONDS,
    LogLine,
    Message,
    Sender,
    ServerObject,
    has_line,
    without_retries,
)
from darkroom.tracking.postman import Account, AwayError, Postman

LATE_SECONDS = 2.0
ROUND_SECONDS = 0.25


class GivenUpError(AwayError):
    """The server was silent for too long: what it was not told waits for another process."""


def deliver_elsewhere(root: Path, url: str, seconds: float, *, alone: float | None = None) -> bool:
    """Deliver the letters that go to the API at `url`, which Prefect is set to, until there are none.

    False: the server was silent for `seconds`, or for `alone` where no run is left that may wait for it.
    """
    given_up = threading.Event()
    with (
        without_retries(),
        get_client(sync_client=True, httpx_settings={"timeout": REQUEST_SECONDS}) as client,
    ):
        recipient = ToApi(root, client, given_up)
        silence = seconds if alone is None else alone
        watch = threading.Thread(
            target=_give_up, args=(root, recipient.sender, given_up, seconds, silence), daemon=True
        )
        watch.start()
        try:
            asyncio.run(_deliver(Postman(root, url, recipient)))
        except GivenUpError:
            print(f"{url}: {recipient.sender.problem}", file=sys.stderr, flush=True)
            return False
        finally:
            given_up.set()
            watch.join()
    return True


async def _deliver(postman: Postman) -> None:
    while await postman.round():
        await asyncio.sleep(ROUND_SECONDS)


def _give_up(root: Path, sender: Sender, given_up: threading.Event, seconds: float, alone: float) -> None:
    while not given_up.wait(ROUND_SECONDS):
        silent = time.monotonic() - sender.waiting_since if sender.waiting_since else 0.0
        if silent > seconds or (silent > alone and not _is_a_run_left(root)):
            given_up.set()


def _is_a_run_left(root: Path) -> bool:
    for path in waiting_outboxes(root):
        with contextlib.suppress(FileNotFoundError):  # all of it is delivered
            if is_held(path):
                return True
    return False


class ToApi:
    """Tells letters to the server that `client` is for."""

    def __init__(self, root: Path, client: SyncPrefectClient, given_up: threading.Event) -> None:
        self._folder, self._client = outbox_folder(root), client
        self.sender = Sender(given_up)
        self._flows: dict[str, UUID] = {}
        self._runs: dict[str, ServerObject] = {}
        self._doubtful: set[str] = set()
        """The outboxes of which more may have arrived than is noted."""

    async def delivered_bytes(self, outbox: str) -> int:
        """Count the bytes of the outbox of that name that are known to be delivered; it may be more."""
        self._doubtful.add(outbox)
        try:
            return int(position_file(self._folder / outbox).read_text())
        except (OSError, ValueError):
            return 0

    async def tell(self, account: Account, letters: Iterable[Letter], end: int) -> None:
        """Tell the letters of an outbox, which is told up to the byte `end` then.

        Raises:
            GivenUpError: The server was silent for too long.

        """
        for part in _parts(letters, together=account.path.name not in self._doubtful):
            request = self._request(account, part)
            if request is None or self._has_arrived(account, part[0], request):
                continue
            if not self.sender.see_through(self._client, request):
                raise GivenUpError
        for what in self.sender.refused:
            print(f"{account.path.name}: refused: {what}: {self.sender.problem}", file=sys.stderr, flush=True)
        self.sender.refused.clear()
        position_file(account.path).write_text(str(end))

    async def cancelled(self, runs: Iterable[str]) -> set[str]:
        """Find those of the flow runs that somebody has cancelled."""
        given = {str(self._runs[run].given): run for run in runs if run in self._runs}
        found: set[str] = set()

        def look(client: SyncPrefectClient) -> None:
            ids = [UUID(each) for each in given]
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=ids))
            for run in client.read_flow_runs(flow_run_filter=wanted):
                if run.state_type in (StateType.CANCELLING, StateType.CANCELLED):
                    found.add(given[str(run.id)])

        if given:
            self.sender.see_through(self._client, Message("a look at the runs' states", look))
        self.sender.refused.clear()
        return found

    async def forget(self, outbox: str) -> None:
        """Nothing is kept: the note lies beside the outbox, and goes with it."""

    def _has_arrived(self, account: Account, letter: Letter, request: Message) -> bool:
        """Whether a killed deliverer sent the letter and could not note that; asked up to the first new one.

        Letters that begin or publish something may be sent again, since the server finds them by their keys.
        """
        name = account.path.name
        if name not in self._doubtful or not isinstance(letter, Became | Said):
            return False
        found: list[bool] = []
        asked = Message(f"whether {request.what} has arrived", lambda to: found.append(request.arrived(to)))
        if not self.sender.see_through(self._client, asked):
            raise GivenUpError
        if not any(found):
            self._doubtful.discard(name)
        return any(found)

    def _request(self, account: Account, letters: Sequence[Letter]) -> Message | None:
        match letters[0]:
            case Began() as began:
                return Message(f"the start of {began.name}", lambda _: self._create(account, began.run))
            case Became() as became:
                return self._becomes(account, became)
            case Said():
                return self._lines(account, [each for each in letters if isinstance(each, Said)])
            case Published() as published:
                return self._artifact(account, published)
        return None

    def _run(self, account: Account, run: str) -> ServerObject:
        """The flow run on the server; it is created where it is not, or found by its key where it is."""
        return self._runs.get(run) or self._create(account, run)

    def _create(self, account: Account, run: str) -> ServerObject:
        began = account.begun[run]
        if began.flow not in self._flows:
            self._flows[began.flow] = self._client.create_flow_from_name(began.flow)
        task: dict[str, Any] = {}
        if began.parent:
            made = TaskRunCreate(
                id=uuid5(NAMESPACE_URL, f"{run} task"),
                name=began.name,
                flow_run_id=self._run(account, began.parent).id,
                task_key="stage",
                dynamic_key=str(began.number),
                task_inputs={
                    "needs": [FlowRunResult(id=self._run(account, need).id) for need in began.needs]
                },
            )
            task = {"parent_task_run_id": created_id(self._client, "/task_runs/", made)}
        create = FlowRunCreate(
            flow_id=self._flows[began.flow],
            name=began.name,
            parameters=dict(began.parameters),
            idempotency_key=began.run,
            tags=[began.project],
            state=to_state_create(_state(began.state, began.at)),
            **task,
        )
        self._runs[run] = ServerObject(created_id(self._client, "/flow_runs/", create))
        return self._runs[run]

    def _becomes(self, account: Account, became: Became) -> Message:
        state = _state(became.state, became.at)
        state.state_details.transition_id = UUID(became.id)

        def tell(to: SyncPrefectClient) -> None:
            body = {"state": to_state_create(state).model_dump(mode="json"), "force": True}
            run = self._run(account, became.run)
            to.request("POST", "/flow_runs/{id}/set_state", path_params={"id": run.id}, json=body)

        def arrived(to: SyncPrefectClient) -> bool:
            known = to.read_flow_run_states(self._run(account, became.run).id)
            return any(str(each.state_details.transition_id) == became.id for each in known)

        return Message(f"that {account.begun[became.run].name} is {became.state.type.lower()}", tell, arrived)

    def _lines(self, account: Account, said: Sequence[Said]) -> Message:
        def first() -> LogLine:
            return LogLine(self._run(account, said[0].run), _moment(said[0].at), said[0].text, said[0].level)

        def tell(to: SyncPrefectClient) -> None:
            lines = [
                LogLine(self._run(account, each.run), _moment(each.at), each.text, each.level)
                for each in said
            ]
            to.create_logs([line.to_json() for line in lines])

        return Message("lines of the logs", tell, lambda to: has_line(to, first()))

    def _artifact(self, account: Account, published: Published) -> Message:
        def known(to: SyncPrefectClient) -> Any:
            return next(iter(artifacts_of(to, self._run(account, published.run), published.key)), None)

        def tell(to: SyncPrefectClient) -> None:
            if (one := known(to)) is not None:
                path, body = {"id": one.id}, {"data": published.data}
                to.request("PATCH", "/artifacts/{id}", path_params=path, json=body)
                return
            artifact = ArtifactCreate(
                key=published.key,
                type=published.kind,
                data=published.data,
                description=published.description,
                flow_run_id=self._run(account, published.run).id,
            )
            # The client's own way also opens a websocket for an event.
            created_id(to, "/artifacts/", artifact)

        def arrived(to: SyncPrefectClient) -> bool:
            return (one := known(to)) is not None and one.data == published.data

        return Message(f"the artifact {published.key}", tell, arrived)


def _parts(letters: Iterable[Letter], *, together: bool) -> Iterator[list[Letter]]:
    """One letter each, but with `together` lines that follow each other, as much as one request takes."""
    lines: list[Letter] = []
    size = 0
    for letter in letters:
        if together and isinstance(letter, Said) and size < BATCH_BYTES:
            lines.append(letter)
            size += len(letter.text)
            continue
        if lines:
            yield lines
        lines, size = [], 0
        if together and isinstance(letter, Said):
            lines, size = [letter], len(letter.text)
        else:
            yield [letter]
    if lines:
        yield lines


def _moment(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, datetime.UTC)


def _state(state: RunState, at: float) -> PrefectState[Any]:
    return PrefectState.model_validate(
        {
            "type": state.type,
            "name": state.name or None,
            "message": said_late(state.message, at) or None,
            "state_details": {"scheduled_time": _moment(state.due)} if state.due is not None else {},
        }
    )


def said_late(message: str, at: float) -> str:
    """`message`, and when it happened if that is a while ago: Prefect itself shows when it was told."""
    if time.time() - at < LATE_SECONDS:
        return message
    first, *rest = message.split("\n")
    when = f"(at {datetime.datetime.fromtimestamp(at):%H:%M:%S}; Prefect was told later)"
    return "\n".join((f"{first} {when}".strip(), *rest))
