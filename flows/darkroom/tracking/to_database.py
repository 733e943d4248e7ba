"""Delivers letters into the database of this process's own Prefect server, with the times of the events.

Prefect's API sets the time of a state to its own clock, and executes fifty statements for a stage. So the
rows are written directly, as Prefect would have written them (`run_rows`), for many letters at once. The same
transaction notes the position up to which the outbox is delivered. So after a kill the letters are both
delivered and noted, or neither.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import sqlalchemy as sa
from prefect.server import models as _models
from prefect.server.database import provide_database_interface
from prefect.server.events.clients import PrefectServerEventsClient
from prefect.server.models.events import flow_run_state_change_event
from prefect.server.schemas import actions, core, states
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from darkroom.reporting.letters import Became, Began, Letter, Published, RunState, Said
from darkroom.tracking.postman import Account, AwayError, began_id
from darkroom.tracking.run_rows import name_of

models: Any = _models  # its functions are decorated in a way that type checkers do not see through

NOTE = "darkroom-outbox-"
"""How the keys begin under which Prefect's table of configurations holds how far an outbox is told."""

_PENDING_SECONDS = 2e-6
"""How long a task is pending before its stage runs; Prefect takes no two states of one moment."""

Row = dict[str, Any]


class ToDatabase:
    """Tells letters to the server of this process; with `events`, also to the automations that it runs."""

    def __init__(self, *, events: bool = False) -> None:
        self._db = provide_database_interface()
        self._events = events

    async def delivered_bytes(self, outbox: str) -> int:
        """Count the bytes of the outbox of that name that are delivered."""
        async with self._db.session_context() as session:
            return await self._noted_bytes(session, outbox)

    async def tell(self, account: Account, letters: Iterable[Letter], end: int) -> None:
        """Tell the letters of an outbox, which is told up to the byte `end` then, by one transaction.

        Raises:
            AwayError: The database is locked, or has no room.

        """
        delivered = list(letters)
        try:
            async with self._db.session_context(begin_transaction=True) as session:
                await self._write(session, account, delivered)
                note = core.Configuration(key=f"{NOTE}{account.path.name}", value={"told": end})
                await models.configuration.write_configuration(session, configuration=note)
        except (DataError, IntegrityError, ProgrammingError):
            raise
        except (DBAPIError, OSError) as error:
            raise AwayError(str(getattr(error, "orig", error))) from error
        if self._events:
            try:
                await self._emit(delivered)
            except Exception as error:  # what is delivered stays delivered
                print(f"automations do not hear of {account.path.name}: {error}", file=sys.stderr)

    async def cancelled(self, runs: Iterable[str]) -> set[str]:
        """Find those of the flow runs that somebody has cancelled."""
        run = self._db.FlowRun
        asked = sa.select(run.id).where(
            run.id.in_([UUID(each) for each in runs]),
            run.state_type.in_([states.StateType.CANCELLING, states.StateType.CANCELLED]),
        )
        async with self._db.session_context() as session:
            return {str(found) for found in (await session.execute(asked)).scalars()}

    async def forget(self, outbox: str) -> None:
        """Remove the note of how far an outbox is delivered."""
        async with self._db.session_context(begin_transaction=True) as session:
            await models.configuration.delete_configuration(session, key=f"{NOTE}{outbox}")

    async def forget_but(self, outboxes: Iterable[str]) -> None:
        """Remove the notes of all other outboxes: a kill came between the removal of the two."""
        kept = {f"{NOTE}{name}" for name in outboxes}
        key = self._db.Configuration.key
        async with self._db.session_context(begin_transaction=True) as session:
            found = (await session.execute(sa.select(key).where(key.startswith(NOTE)))).scalars().all()
            for name in set(found) - kept:
                await models.configuration.delete_configuration(session, key=name)

    async def _noted_bytes(self, session: AsyncSession, outbox: str) -> int:
        key, value = self._db.Configuration.key, self._db.Configuration.value
        found = (await session.execute(sa.select(value).where(key == f"{NOTE}{outbox}"))).scalar()
        return int(found["told"]) if found else 0

    async def _write(self, session: AsyncSession, account: Account, letters: Sequence[Letter]) -> None:
        begun = [letter for letter in letters if isinstance(letter, Began)]
        flows = {
            name: (await models.flows.create_flow(session=session, flow=core.Flow(name=name))).id
            for name in dict.fromkeys(began.flow for began in begun)
        }
        run, task = self._db.FlowRun.__table__, self._db.TaskRun.__table__
        parents = [began for began in begun if not began.parent]
        children = [began for began in begun if began.parent]
        above = {began.run: str(flows[began.flow]) for began in parents}
        await _insert(session, run, [_run_row(began, flows[began.flow]) for began in parents])
        await _insert(session, task, [_task_row(began, above) for began in children])
        await _insert(session, run, [_run_row(began, flows[began.flow]) for began in children])
        entered = list(_entered(letters))
        tasks = {one for one in account.begun if account.begun[one].parent}
        await _insert(
            session,
            self._db.FlowRunState.__table__,
            [_run_state(each, each.run in tasks) for each in entered],
        )
        pending = [
            _task_state(
                began.run, RunState(type="PENDING"), began.at - _PENDING_SECONDS, _id_of(began.run, "pending")
            )
            for began in children
        ]
        followed = [
            _task_state(each.run, each.state, each.at, _id_of(each.id, "task"))
            for each in entered
            if each.run in tasks
        ]
        await _insert(session, self._db.TaskRunState.__table__, [*pending, *followed])
        touched = list(dict.fromkeys(each.run for each in entered))
        await _update(session, run, [_outcome(account, one) for one in touched])
        of_tasks = [_outcome(account, one, of_task=True) for one in touched if one in tasks]
        await _update(session, task, of_tasks)
        if lines := [_log(letter) for letter in letters if isinstance(letter, Said)]:
            await models.logs.create_logs(session, logs=lines)
        latest = {letter.id: letter for letter in letters if isinstance(letter, Published)}
        for published in latest.values():
            await _publish(session, published)

    async def _emit(self, letters: Sequence[Letter]) -> None:
        """What Prefect's orchestration emits of each new state; automations wait for it."""
        before: dict[str, states.State] = {}
        async with self._db.session_context() as session, PrefectServerEventsClient() as events:
            for each in _entered(letters):
                now, then = _prefect_state(each), before.get(each.run)
                flow_run = await models.flow_runs.read_flow_run(session, flow_run_id=UUID(each.run))
                event = await flow_run_state_change_event(
                    session=session,
                    occurred=now.timestamp,
                    flow_run=flow_run,
                    initial_state_id=then.id if then else None,
                    initial_state=then,
                    validated_state_id=now.id,
                    validated_state=now,
                )
                await events.emit(event)
                before[each.run] = now


def _entered(letters: Iterable[Letter]) -> Iterator[Became]:
    """The states that flow runs enter, those that they begin in too."""
    for letter in letters:
        if isinstance(letter, Began):
            yield Became(at=letter.at, run=letter.run, state=letter.state, id=began_id(letter.run))
        elif isinstance(letter, Became):
            yield letter


def _id_of(identifier: str, what: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"{identifier} {what}")


async def _insert(session: AsyncSession, table: Any, rows: Sequence[Row]) -> None:
    if rows:
        await session.execute(sa.insert(table), list(rows))


async def _update(session: AsyncSession, table: Any, rows: Sequence[Row]) -> None:
    if rows:
        values: Row = {name: sa.bindparam(name) for name in rows[0] if name != "row"}
        of_row = sa.update(table).where(table.c.id == sa.bindparam("row")).values(values)
        # Not through the session, which would look for objects of its own to bring up to date.
        await (await session.connection()).execute(of_row, list(rows))


def _run_row(began: Began, flow: UUID) -> Row:
    return {
        "id": UUID(began.run),
        "created": _moment(began.at),
        "name": began.name,
        "flow_id": flow,
        "parameters": dict(began.parameters),
        "idempotency_key": began.run,
        "tags": [began.project],
        "labels": {"prefect.flow.id": str(flow)},
        "parent_task_run_id": _id_of(began.run, "task") if began.parent else None,
    }


def _task_row(began: Began, flows: dict[str, str]) -> Row:
    labels = {"prefect.flow-run.id": began.parent}
    if flow := flows.get(began.parent):
        labels["prefect.flow.id"] = flow
    return {
        "id": _id_of(began.run, "task"),
        "created": _moment(began.at),
        "name": began.name,
        "flow_run_id": UUID(began.parent),
        "task_key": "stage",
        "dynamic_key": str(began.number),
        "task_inputs": {"needs": [core.FlowRunResult(id=UUID(need)) for need in began.needs]},
        "labels": labels,
    }


def _run_state(became: Became, has_task: bool) -> Row:
    details = _details(became.state, flow_run_id=UUID(became.run))
    if has_task:
        details.task_run_id = _id_of(became.run, "task")
    return {
        "id": UUID(became.id),
        "flow_run_id": UUID(became.run),
        "state_details": details,
        **_state_row(became.state, became.at),
    }


def _task_state(run: str, state: RunState, at: float, identifier: UUID) -> Row:
    task = _id_of(run, "task")
    return {
        "id": identifier,
        "task_run_id": task,
        "state_details": _details(state, task_run_id=task, child_flow_run_id=UUID(run)),
        **_state_row(state, at),
    }


def _state_row(state: RunState, at: float) -> Row:
    return {
        "type": states.StateType(state.type),
        "name": name_of(state),
        "message": state.message or None,
        "timestamp": _moment(at),
    }


def _outcome(account: Account, run: str, *, of_task: bool = False) -> Row:
    """What the states of a flow run have made of it, or of its task."""
    row = account.rows[run]
    assert row.state is not None
    return {
        "row": _id_of(run, "task") if of_task else UUID(run),
        "updated": datetime.datetime.now(datetime.UTC),
        "state_id": _id_of(row.state_id, "task") if of_task else UUID(row.state_id),
        "state_type": states.StateType(row.state.type),
        "state_name": name_of(row.state),
        "state_timestamp": _moment(row.at),
        "expected_start_time": _moment(row.expected),
        "next_scheduled_start_time": _moment(row.due) if row.due is not None else None,
        "start_time": _moment(row.start) if row.start is not None else None,
        "end_time": _moment(row.end) if row.end is not None else None,
        "total_run_time": datetime.timedelta(seconds=row.seconds),
        "run_count": row.count,
    }


async def _publish(session: AsyncSession, published: Published) -> None:
    known = await models.artifacts.read_artifact(session=session, artifact_id=UUID(published.id))
    if known is not None:
        renewed = actions.ArtifactUpdate.model_validate({"data": published.data})
        await models.artifacts.update_artifact(session, artifact_id=known.id, artifact=renewed)
        return
    await models.artifacts.create_artifact(
        session=session,
        artifact=core.Artifact(
            id=UUID(published.id),
            key=published.key,
            type=published.kind,
            data=published.data,
            description=published.description,
            flow_run_id=UUID(published.run),
        ),
    )


def _moment(at: float) -> Any:  # Prefect has a class of its own for it
    return datetime.datetime.fromtimestamp(at, datetime.UTC)


def _details(state: RunState, **ids: UUID) -> states.StateDetails:
    due = _moment(state.due) if state.due is not None else None
    return states.StateDetails(scheduled_time=due, **ids)  # type: ignore[arg-type]


def _prefect_state(became: Became) -> states.State:
    return states.State(
        id=UUID(became.id),
        state_details=_details(became.state, flow_run_id=UUID(became.run)),
        **_state_row(became.state, became.at),
    )


def _log(said: Said) -> actions.LogCreate:
    return actions.LogCreate(
        name="darkroom",
        level=said.level,
        message=said.text,
        timestamp=_moment(said.at),
        flow_run_id=UUID(said.run),
        task_run_id=None,
    )
