"""`python -m tests.darkroom.tracking.killed_deliveries ROOT WHAT ...`: deliveries that are killed, in forks.

The letters of one run, given as a file, are delivered again and again under other identifiers, into the
database of the project at ROOT. What is imported once serves all of them.

    killed EVERY FILE   killed at each EVERYth step, and at one more as it goes on; then left alone
    cut FILE            each beginning of the letters that a kill of the run can leave, and halves of letters
    again FILE          the letters once by darkroom, and once by Prefect's own functions
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import signal
import sys
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from darkroom.reporting.outbox import outbox_folder, waiting_outboxes
from darkroom.server import blank_database
from darkroom.server.places import DATABASE, server_folder
from darkroom.server.serving import server_environment

_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def forked(do: Callable[[], None]) -> int:
    """Do it in a fork; its exit code, negative where a signal has ended it."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        do()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def make_database(root: Path) -> None:
    from prefect.server.database import provide_database_interface

    database = server_folder(root) / DATABASE
    if not blank_database.take(database):
        asyncio.run(provide_database_interface().create_db())
        blank_database.keep(database)


def deliver(root: Path, kill_at: int = 0) -> None:
    """Deliver what waits; at the step `kill_at` this process kills itself.

    A step is what comes before and after a statement, before a commit, and before a file is removed.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    from darkroom.tracking.postman import Postman
    from darkroom.tracking.to_database import ToDatabase

    steps = 0

    def step(*_: object, **__: object) -> None:
        nonlocal steps
        steps += 1
        if steps == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    if kill_at:
        for what in ("before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(Engine, what, step)
        sys.addaudithook(lambda name, _: step() if name in ("os.remove", "os.rename") else None)

    async def rounds() -> None:
        recipient = ToDatabase()
        await recipient.forget_but(path.name for path in waiting_outboxes(root))
        postman = Postman(root, "", recipient)
        while await postman.round():
            pass

    asyncio.run(rounds())


def post(root: Path, content: bytes, name: str) -> None:
    """Lay an outbox into the project, with identifiers of its own, for a run that is called `name`."""
    new: dict[bytes, bytes] = {}
    content = _ID.sub(lambda found: new.setdefault(found[0], str(uuid.uuid4()).encode()), content)
    head, _, rest = content.partition(b'"name": "template"')
    rest = rest.replace(b'"name": "template"', b'"name": "%s"' % name.encode())
    path = outbox_folder(root) / f"{name}.jsonl"
    path.write_bytes(head + b'"name": "%s"' % name.encode() + rest)


def killed(root: Path, content: bytes, every: int) -> None:
    number = 1
    while True:
        post(root, content, f"run-{number}")
        first = forked(functools.partial(deliver, root, number))
        if first == 0:
            return
        forked(functools.partial(deliver, root, 1 + number // 3))
        assert forked(lambda: deliver(root)) == 0
        number += every


def cut(root: Path, content: bytes) -> None:
    lines = content.splitlines(keepends=True)
    for number in range(len(lines)):
        whole = b"".join(lines[:number])
        post(root, whole + lines[number][: len(lines[number]) // 2], f"run-{number}")
    post(root, content, f"run-{len(lines)}")
    assert forked(lambda: deliver(root)) == 0


def again(root: Path, content: bytes) -> None:
    post(root, content, "ours")
    assert forked(lambda: deliver(root)) == 0
    post(root, content, "prefects")
    (path,) = waiting_outboxes(root)
    assert forked(lambda: asyncio.run(_by_prefect(path))) == 0
    path.unlink()


async def _by_prefect(path: Path) -> None:
    """The same letters by the functions behind Prefect's API, which orchestrate."""
    from prefect.server import models as prefect_models
    from prefect.server.database import provide_database_interface
    from prefect.server.schemas import core, states

    from darkroom.reporting.letters import Became, Began, RunState
    from darkroom.reporting.outbox import read_letters
    from darkroom.tracking.to_database import _moment

    models: Any = prefect_models

    def prefects(state: RunState, at: float) -> Any:
        due = _moment(state.due) if state.due is not None else None
        return states.State(
            type=states.StateType(state.type),
            name=state.name or None,
            message=state.message or None,
            timestamp=_moment(at),
            state_details=states.StateDetails(scheduled_time=due),
        )

    async with provide_database_interface().session_context(begin_transaction=True) as session:
        for letter in (posted.letter for posted in read_letters(path, 0)):
            if isinstance(letter, Began):
                flow = await models.flows.create_flow(session=session, flow=core.Flow(name=letter.flow))
                task = None
                if letter.parent:
                    needs = [core.FlowRunResult(input_type="flow_run", id=uuid.UUID(n)) for n in letter.needs]
                    made = await models.task_runs.create_task_run(
                        session=session,
                        task_run=core.TaskRun(
                            name=letter.name,
                            flow_run_id=uuid.UUID(letter.parent),
                            task_key="stage",
                            dynamic_key=str(letter.number),
                            task_inputs={"needs": needs},
                            state=states.Pending(timestamp=_moment(letter.at)),
                        ),
                    )
                    task = made.id
                await models.flow_runs.create_flow_run(
                    session=session,
                    flow_run=core.FlowRun(
                        id=uuid.UUID(letter.run),
                        flow_id=flow.id,
                        name=letter.name,
                        parameters=dict(letter.parameters),
                        idempotency_key=letter.run,
                        tags=[letter.project],
                        parent_task_run_id=task,
                        state=prefects(letter.state, letter.at),
                    ),
                )
            elif isinstance(letter, Became):
                await models.flow_runs.set_flow_run_state(
                    session=session,
                    flow_run_id=uuid.UUID(letter.run),
                    state=prefects(letter.state, letter.at),
                    force=True,
                )


def main() -> None:
    root, what, file = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[-1])
    folder = server_folder(root)
    folder.mkdir(parents=True)
    outbox_folder(root).mkdir()
    os.environ.update(server_environment(folder, "http://127.0.0.1:9/api"))
    import darkroom.tracking.to_database  # noqa: F401  (once for all forks)

    assert forked(lambda: make_database(root)) == 0
    content = file.read_bytes()
    match what:
        case "killed":
            killed(root, content, int(sys.argv[3]))
        case "cut":
            cut(root, content)
        case "again":
            again(root, content)


if __name__ == "__main__":
    main()
