"""`darkroom up` and `darkroom down`: the server, a worker for each work pool, the deployments."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import psutil

from darkroom.base import interpreter
from darkroom.base.errors import UsageError
from darkroom.processes import daemons
from darkroom.processes.daemons import MARK, DaemonState, Note, ServiceError
from darkroom.server import login
from darkroom.server.clients import client_of
from darkroom.server.configured import configured_api
from darkroom.server.places import port_of, runs_page, server_folder
from darkroom.server.serving import UI_PORT
from darkroom.server.sharing import end_recorder, kept_up, shared_url
from darkroom.service import server_process, worker_process, workers
from darkroom.service.workers import DEPLOYMENTS, listed_deployments, pools_of

SERVER_STOP_SECONDS = 15.0
_LOOK_SECONDS = 0.1

Remark = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Up:
    """What is up now."""

    url: str
    pages: str
    pools: tuple[str, ...]


def own_flows(root: Path) -> list[str]:
    """The modules of the flows of ours among the entrypoints in prefect.yaml."""
    found = (worker_process.own_module(one.entrypoint) for one in listed_deployments(root))
    return list(dict.fromkeys(module for module in found if module))


def _require_new_names(root: Path) -> None:
    """Check that prefect.yaml calls no flow of ours as it was called before.

    Raises:
        UsageError: One has its old name.

    """
    for one in listed_deployments(root):
        if line := worker_process.line_of_new_name(one.name, one.entrypoint, root):
            raise UsageError(f"{DEPLOYMENTS}: {line}")


def bring_up(root: Path, port: int | None, remark: Remark) -> Up:
    """Start what does not run, and register the deployments.

    Raises:
        UsageError: Prefect is set to another server, or prefect.yaml has old names.
        ServiceError: Something does not start.

    """
    from darkroom.service import notices

    if set_to := configured_api(root, os.environ):
        raise UsageError(
            f"{set_to.where}: Prefect is set to the server at {set_to.url}; `darkroom up` is for the"
            f" project's own: {set_to.mend}, or deploy to that server by `prefect deploy --all`"
        )
    pools, addresses = pools_of(root), notices.read_addresses(root)
    _require_new_names(root)
    services, folder = daemons.make_services_folder(root), server_folder(root)
    with daemons.alone_with_daemons(services):
        note = _server_up(root, services, port, remark)
        assert note.url is not None
        with client_of(folder, note.url):
            prepare_server(pools, addresses, remark)
            register_deployments(root, services, pools)
            for pool in pools:
                _worker_up(root, services, pool, note.url, remark)
    return Up(note.url, runs_page(note.url), pools)


def _server_up(root: Path, services: Path, port: int | None, remark: Remark) -> Note:
    seen = daemons.daemon_state(services, server_process.NAME)
    if seen.running and seen.note and seen.note.url:
        remark("the server runs already")
        return seen.note
    end_recorder(root)
    if served := shared_url(server_folder(root)):
        raise UsageError(
            f"`darkroom ui` serves {runs_page(served)}; stop it first: `darkroom up` serves the same"
        )
    # Where it was before: flow runs that live on, and bookmarks, look for it there.
    before = login.known_url(server_folder(root))
    wanted = port or (port_of(before) if before else UI_PORT)
    remark("starting the server" + (", which was killed" if seen.killed else ""))
    command = interpreter.python_command(server_process.__name__, str(root), str(wanted))
    return daemons.start(services, server_process.NAME, command, root)


def _worker_up(root: Path, services: Path, pool: str, url: str, remark: Remark) -> None:
    name = workers.name_of(pool)
    seen = daemons.daemon_state(services, name)
    if seen.running and seen.note and seen.note.url not in (None, url):
        remark(f"{name} works for {seen.note.url}: starting another")
        daemons.stop(services, name, workers.STOP_SECONDS + SERVER_STOP_SECONDS)
        seen = daemons.daemon_state(services, name)
    if seen.running:
        remark(f"{name} runs already")
        return
    remark(f"starting {name}" + (", which was killed" if seen.killed else ""))
    daemons.start(services, name, interpreter.python_command(worker_process.__name__, str(root), pool), root)


def prepare_server(pools: Iterable[str], addresses: str, remark: Remark) -> None:
    """Make the work pools that are missing, for processes, and register the automations.

    A pool's template decides what commands its worker executes, so that it is always Prefect's own: what a
    deployment needs besides stands in prefect.yaml, as `work_pool.job_variables`.
    """
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    from darkroom.service import automations

    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        automations.register_automations(client, addresses)
        for name in pools:
            try:
                known = client.read_work_pool(name)
            except ObjectNotFound:
                client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
                continue
            if known.type != "process":
                raise UsageError(
                    f"{DEPLOYMENTS}: the work pool {name} is of the type {known.type}, not process"
                )
            if known.base_job_template != template:
                remark(f"the work pool {name} had another template of jobs: it has Prefect's own again")
                client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))


def register_deployments(root: Path, services: Path, pools: Sequence[str]) -> None:
    """Register what prefect.yaml holds, and let workers run that alone.

    Raises:
        ServiceError: Prefect does not take them; the message has its words.

    """
    from prefect import get_client

    from darkroom.service import registered

    ids = _deploy(root, services) if pools else []
    with get_client(sync_client=True) as client:
        deployments = [client.read_deployment(UUID(one)) for one in ids]
        registered.keep_registered(server_folder(root), deployments, map(client.read_work_pool, pools))


def _deploy(root: Path, services: Path) -> list[str]:
    """The ids of what prefect.yaml holds, once it is registered."""
    ids = services / "deployed.json"
    ids.unlink(missing_ok=True)
    command = interpreter.python_command("darkroom.service.deploying", str(ids), imported=own_flows(root))
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        log = daemons.log_file(services, "deploy")
        log.write_text(done.stdout + done.stderr)
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ServiceError(f"{DEPLOYMENTS}: {lines[-1] if lines else 'could not be deployed'} ({log})")
    deployed: list[str] = json.loads(ids.read_text(encoding="utf-8"))
    return deployed


def bring_down(root: Path, remark: Remark) -> bool:
    """Stop what `up` started, workers first, so that runs end in order. False: nothing of it ran.

    What a supervisor started is the supervisor's to stop.
    """
    services = daemons.services_folder(root)
    if not services.exists():
        return False
    with daemons.alone_with_daemons(services):
        known = {seen.name: seen for seen in daemons.daemon_states(services)}
        last = known.pop(server_process.NAME, None)
        stopped = [_stop(services, seen, remark) for seen in known.values()]
        # The server is needed until the last run has reported.
        stopped.append(_end_orphans(root, services, last))
        if last is not None:
            stopped.append(_stop(services, last, remark))
    return any(stopped)


def _stop(services: Path, seen: DaemonState, remark: Remark) -> bool:
    if seen.running and seen.note and seen.note.supervised:
        remark(f"{seen.name} was started by a supervisor, which stops it (systemctl stop ...)")
        return False
    if seen.running:
        remark(f"stopping {seen.name}")
    own = workers.STOP_SECONDS if seen.name.startswith(workers.PREFIX) else 0.0
    return daemons.stop(services, seen.name, own + SERVER_STOP_SECONDS)


def _end_orphans(root: Path, services: Path, last: DaemonState | None) -> bool:
    """End what killed workers have left, and schedule again what that was. False: there was nothing."""
    keep = last.note.pid if last and last.running and last.note else 0
    found = list(left_overs(services, keep))
    if not found:
        return False
    from darkroom.service import flow_runs

    runs = {run for process in found if (run := flow_runs.flow_run_of(process))}
    _end(found, lambda: list(left_overs(services, keep)))
    if runs and (url := kept_up(root)):
        with (
            contextlib.suppress(httpx.HTTPError),  # then the next worker finds them without a process
            client_of(server_folder(root), url),
        ):
            asyncio.run(flow_runs.put_back(runs, "stopped after its worker"))
    return True


def left_overs(services: Path, keep: int) -> Iterator[psutil.Process]:
    """The processes that came of what `up` started, but for the one with the pid `keep`."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            ours = process.environ().get(MARK) == str(services)
            if ours and process.pid not in (keep, os.getpid()) and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _end(found: Iterable[psutil.Process], living: Callable[[], list[psutil.Process]]) -> None:
    """Politely first: a flow run's own process passes the signal on to what it has started."""
    pids = {process.pid for process in found}
    for process in found:
        with contextlib.suppress(psutil.Error):
            if process.ppid() not in pids:
                process.terminate()
    give_up = time.monotonic() + workers.STOP_SECONDS
    while (left := living()) and time.monotonic() < give_up:
        time.sleep(_LOOK_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
