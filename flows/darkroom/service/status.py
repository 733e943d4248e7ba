"""The state of the services: the server, the workers, what runs, what is due, and what is stuck and why."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from darkroom.base.text import format_duration
from darkroom.processes import daemons
from darkroom.processes.daemons import DaemonState
from darkroom.reporting.letters import Became, Began
from darkroom.reporting.outbox import is_held, read_letters, waiting_outboxes
from darkroom.server.clients import client_of
from darkroom.server.places import server_folder
from darkroom.server.sharing import RECORDER, kept_up, shared_url
from darkroom.service import server_process, workers

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse

# Prefect is imported where a server is asked: nobody waits for it where none runs.

DUE_SHOWN = 5
LATE_SECONDS = 60.0
PENDING_SECONDS = 300.0
_PAGE = 200  # the most that Prefect gives at a time
RUN_UP = "`darkroom up` starts it again"
PAGES = "pages"
"""The server of `darkroom ui`, among the services."""


@dataclass(frozen=True, slots=True)
class Service:
    """The server or a worker."""

    name: str
    state: str
    """`running`, `killed` or `stopped`."""
    pid: int | None = None
    since: str | None = None
    url: str | None = None
    supervised: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A flow run of a deployment, or a run that somebody started by hand."""

    id: str
    name: str
    deployment: str | None
    state: str
    when: str | None
    """ISO 8601: since when it runs, when it is due, or when it ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """What `darkroom status` shows of a project: its services, its runs, and what is stuck."""

    services: tuple[Service, ...]
    running: tuple[Run, ...] = ()
    due: tuple[Run, ...] = ()
    ended: tuple[Run, ...] = ()
    """The run of each deployment that ended last, but for cancelled ones."""
    stuck: tuple[str, ...] = field(default=())
    """One line each: what, why, the mend."""

    @property
    def up(self) -> bool:
        """Whether the server runs."""
        return any(one.name == server_process.NAME and one.state == "running" for one in self.services)

    @property
    def well(self) -> bool:
        """Whether it is up, nothing is stuck, and no deployment's last run failed or crashed."""
        return self.up and not self.stuck

    def to_json(self) -> dict[str, Any]:
        """The status as plain values, fit for JSON."""
        return {"up": self.up, "well": self.well, **asdict(self)}


def project_status(root: Path, pools: Sequence[str]) -> Status:
    """Look at the processes, and ask the server if it runs."""
    folder = daemons.services_folder(root)
    names = dict.fromkeys([server_process.NAME, *map(workers.name_of, pools)])
    known = {seen.name: seen for seen in daemons.daemon_states(folder)}
    seen = [known.get(name) or daemons.daemon_state(folder, name) for name in {**names, **known}]
    seen = [one for one in seen if one.running or not one.name.startswith(RECORDER)]  # runs start them
    services = tuple(map(service_of, seen))
    stuck = list(wrong_services(seen))
    url, by_hand = kept_up(root), tuple(runs_by_hand(root))
    if url is None:
        shown = (
            None if any(one.name.startswith(RECORDER) for one in seen) else shared_url(server_folder(root))
        )
        pages = (Service(PAGES, "running", url=shown),) if shown else ()
        return Status(services=services + pages, running=by_hand, stuck=tuple(stuck))
    import httpx
    from prefect import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    with (
        client_of(server_folder(root), url),
        get_client(sync_client=True) as client,
    ):
        try:
            found = _asked(client, services, stuck, pools, root)
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            stuck.append(
                f"the server at {url} does not answer: {said}; see {daemons.log_file(folder, 'server')}"
            )
            return Status(services=services, running=by_hand, stuck=tuple(stuck))
    known_there = {run.id for run in found.running}
    return replace(found, running=found.running + tuple(run for run in by_hand if run.id not in known_there))


def runs_by_hand(root: Path) -> Iterator[Run]:
    """The runs of this project that live, and the stages that they run; a server need not know of them.

    They write what Prefect is to be told into outboxes, and hold these as long as they live.
    """
    for outbox in waiting_outboxes(root):
        began: dict[str, Began] = {}
        states: dict[str, str] = {}
        moments: dict[str, float] = {}
        with contextlib.suppress(FileNotFoundError):  # all of it was delivered just now
            if not is_held(outbox):
                continue
            end = 0
            while posted := read_letters(outbox, end):
                end = posted[-1].end
                for letter in (one.letter for one in posted):
                    if isinstance(letter, Began):
                        began[letter.run] = letter
                    if isinstance(letter, Began | Became):
                        states[letter.run], moments[letter.run] = letter.state.type, letter.at
            for run, first in began.items():
                if states[run] == "RUNNING":
                    moment = datetime.datetime.fromtimestamp(moments[run]).astimezone()
                    yield Run(run, first.name, None, "Running", moment.isoformat(timespec="seconds"))


def _asked(
    client: SyncPrefectClient,
    services: tuple[Service, ...],
    stuck: list[str],
    pools: Sequence[str],
    root: Path,
) -> Status:
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    from darkroom.service import flow_runs, registered

    known = registered.read_registered(server_folder(root))
    deployments = _all_deployments(client)
    names = {deployment.id: deployment.name for deployment in deployments}
    going = flow_runs.read_flow_runs(client, flow_runs.GOING)
    scheduled = flow_runs.read_flow_runs(client, (StateType.SCHEDULED,), FlowRunSort.EXPECTED_START_TIME_ASC)
    now = datetime.datetime.now(datetime.UTC)
    found = _pools(client, pools)
    stuck += paused_pools(found)
    stuck += registered.wrong_pools(found, known)
    stuck += filter(None, (registered.wrong_deployment(one, known, root) for one in deployments))
    stuck += late_runs(scheduled, {pool.name: pool for pool in found}, services, now)
    lost = {run.id for run in flow_runs.lost_flow_runs(client, going, pools)}
    stuck += [
        f"{run.name} ({state_name(run)}) has no process any more; its worker starts it again"
        for run in going
        if run.id in lost
    ]
    stuck += pending_runs([run for run in going if run.id not in lost], now)
    due = [run for run in scheduled if not is_late(run, now)][:DUE_SHOWN]
    ended = flow_runs.last_ended(client, names)
    stuck += bad_ends(ended, names, daemons.services_folder(root))
    return Status(
        services=services,
        running=tuple(_run(run, names, run.start_time or run.created) for run in going),
        due=tuple(_run(run, names, run.expected_start_time) for run in due),
        ended=tuple(_run(run, names, run.end_time) for run in ended),
        stuck=tuple(stuck),
    )


def service_of(seen: DaemonState) -> Service:
    """A service as it is shown."""
    state = "running" if seen.running else "killed" if seen.killed else "stopped"
    if seen.note is None or not seen.running:
        return Service(seen.name, state)
    note = seen.note
    return Service(seen.name, state, note.pid, note.since, note.url, note.supervised)


def wrong_services(seen: Iterable[DaemonState]) -> Iterator[str]:
    """Services that were killed, and workers that do not run although the server does; in lines."""
    services = {one.name: one for one in seen}
    first = services[server_process.NAME]
    for one in services.values():
        if one.killed:
            yield f"{one.name} was killed; {RUN_UP}"
        elif first.running and not one.running and one.name.startswith(workers.PREFIX):
            yield f"{one.name} does not run: nothing of its pool starts; {RUN_UP}"


def paused_pools(pools: Iterable[WorkPool]) -> Iterator[str]:
    """Paused work pools, from which no run starts; in lines."""
    for pool in pools:
        if pool.is_paused:
            yield (
                f"the work pool {pool.name} is paused: nothing of it starts;"
                f" resume it on its page, or by `prefect work-pool resume {pool.name}`"
            )


def is_late(run: FlowRun, now: datetime.datetime) -> bool:
    """Whether a scheduled run should be under way."""
    due = run.expected_start_time
    return due is not None and (now - due).total_seconds() > LATE_SECONDS


def late_runs(
    runs: Iterable[FlowRun], pools: dict[str, WorkPool], services: Iterable[Service], now: datetime.datetime
) -> Iterator[str]:
    """Scheduled runs whose time has gone by, and why they wait."""
    working = {one.name for one in services if one.state == "running"}
    for run in runs:
        if is_late(run, now) and run.expected_start_time:
            by = format_duration((now - run.expected_start_time).total_seconds())
            yield f"{run.name} is late by {by}: {_why_late(run, pools, working)}"


def _why_late(run: FlowRun, pools: dict[str, WorkPool], working: set[str]) -> str:
    if run.work_pool_name is None:
        return "it is in no work pool; give its deployment one"
    pool = pools.get(run.work_pool_name)
    if pool is not None and pool.is_paused:
        return f"its work pool {pool.name} is paused"
    if run.state is not None and run.state.name == "AwaitingConcurrencySlot":
        return "another run of its deployment is under way; it starts when that has ended"
    if workers.name_of(run.work_pool_name) not in working:
        return f"its work pool {run.work_pool_name} has no worker here; {RUN_UP}"
    if pool is not None and pool.concurrency_limit is not None:
        return f"the work pool {pool.name} takes {pool.concurrency_limit} at once"
    return "its worker has not taken it; see the worker's log"


def pending_runs(runs: Iterable[FlowRun], now: datetime.datetime) -> Iterator[str]:
    """Runs that a worker took and that do not start."""
    from prefect.client.schemas.objects import StateType

    for run in runs:
        if run.state_type is StateType.PENDING and run.state is not None:
            age = (now - run.state.timestamp).total_seconds()
            if age > PENDING_SECONDS:
                yield (
                    f"{run.name} was taken by a worker {format_duration(age)} ago and has not started;"
                    " see the worker's log"
                )


def bad_ends(runs: Iterable[FlowRun], names: Mapping[UUID, str], folder: Path) -> Iterator[str]:
    """Deployments whose last run failed or crashed: why, and the log in the `folder` of services."""
    from prefect.client.schemas.objects import StateType

    for run in runs:
        if run.state_type in (StateType.FAILED, StateType.CRASHED) and run.deployment_id:
            said = (run.state and run.state.message) or ""
            log = (
                daemons.log_file(folder, workers.name_of(run.work_pool_name)) if run.work_pool_name else None
            )
            where = f"; see {log}" if log else ""
            yield f"{names[run.deployment_id]}: {run.name}: {state_name(run).lower()}: {_reason(said)}{where}"


def _reason(message: str) -> str:
    """The last line that tells an error, else the last one."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or ["no reason is known"]
    return next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])


def state_name(run: FlowRun) -> str:
    """The state's name."""
    return run.state_name or "no state"


def _all_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """The server gives so many at a time."""
    found: list[DeploymentResponse] = []
    while batch := client.read_deployments(limit=_PAGE, offset=len(found)):
        found += batch
    return found


def _pools(client: SyncPrefectClient, names: Sequence[str]) -> list[WorkPool]:
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    return client.read_work_pools(work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=list(names))))


def _run(run: FlowRun, names: dict[UUID, str], when: datetime.datetime | None) -> Run:
    deployment = names.get(run.deployment_id) if run.deployment_id else None
    moment = when.astimezone().isoformat(timespec="seconds") if when else None
    return Run(str(run.id), run.name, deployment, state_name(run), moment)


def status_lines(found: Status) -> Iterator[str]:
    """The status as text, a line for each service, run and problem."""
    for one in found.services:
        facts = [one.state]
        if one.state == "running":
            facts += [f"pid {one.pid}", f"since {_moment(one.since)}"] if one.pid else []
            facts += ["by a supervisor"] if one.supervised else []
            facts += [one.url] if one.url and one.name in (server_process.NAME, PAGES) else []
        yield f"{one.name}: {', '.join(facts)}"
    if found.up:
        yield "pages: `darkroom ui` opens them, logged in"
    for run in found.running:
        yield f"{state_in_line(run)}: {_named(run)} since {_moment(run.when)}"
    for run in found.due:
        yield f"due {_moment(run.when)}: {_named(run)}"
    for run in found.ended:
        yield f"last {_moment(run.when)}: {_named(run)}: {state_in_line(run)}"
    if found.up and not found.running and not found.due:
        yield "nothing runs, nothing is scheduled"
    if found.well:
        yield "nothing is stuck"
    elif not found.up and not found.stuck:
        yield "no schedule is kept: `darkroom up` starts the server and the workers"


def state_in_line(run: Run) -> str:
    """The state's name as a line begins with it."""
    return run.state.lower()


def _named(run: Run) -> str:
    return f"{run.deployment} ({run.name})" if run.deployment else run.name


def _moment(text: str | None) -> str:
    if text is None:
        return "an unknown time"
    moment = datetime.datetime.fromisoformat(text).astimezone()
    return (
        f"{moment:%H:%M:%S}"
        if moment.date() == datetime.datetime.now().date()
        else f"{moment:%Y-%m-%d %H:%M}"
    )
