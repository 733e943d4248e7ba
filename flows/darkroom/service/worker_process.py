"""`python -m darkroom.service.worker_process ROOT [POOL]`: a worker of the project's Prefect server.

Without POOL, or where it is empty, it works for the pool that prefect.yaml names first.
"""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import httpx

from darkroom.base.errors import UsageError
from darkroom.clones.child import PYTHONPATH_BEFORE
from darkroom.processes.daemons import ServiceError, exit_code, make_services_folder, registered
from darkroom.server import login
from darkroom.server.places import server_folder
from darkroom.service.workers import DEPLOYMENTS, SETTINGS, name_of, pools_of

FLOWS = "darkroom.deployments"
"""The package of the flows of ours."""

FLOWS_BEFORE = "flows.deployments"
"""What that package was called before; a prefect.yaml or a registration of then names it still."""

OWN_LOGGING = {"PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": "darkroom.tracking.console.LastingConsoleHandler"}
"""The settings of flow runs of ours alone: where a user's own runs, `darkroom` may be the user's package."""


def own_module(entrypoint: str | None) -> str | None:
    """The module of an entrypoint, where that is a flow of ours."""
    module = (entrypoint or "").rpartition(".")[0]
    if not module.startswith(f"{FLOWS}.") or ":" in module:
        return None
    return module if find_spec(module) else None


def line_of_new_name(name: str, entrypoint: str | None, root: Path) -> str | None:
    """A line that says what the entrypoint of the deployment `name` is called now; None: as before.

    A module of that name in the project at `root` is the project's own.
    """
    module = (entrypoint or "").rpartition(".")[0]
    own = root.joinpath(*module.split("."))
    if not module.startswith(f"{FLOWS_BEFORE}.") or own.with_suffix(".py").exists() or own.is_dir():
        return None
    now = f"{FLOWS}{(entrypoint or '').removeprefix(FLOWS_BEFORE)}"
    if own_module(now) is None:
        return None
    return f"{name}: the entrypoint {entrypoint} is called {now} now; write that in prefect.yaml"


def run_worker(root: Path, pool: str) -> None:
    """Work until SIGTERM.

    Raises:
        ServiceError: The pool has a worker already, or there is no server.

    """
    services, folder = make_services_folder(root), server_folder(root)
    with registered(services, name_of(pool)) as registration:
        if login.known_url(folder) is None:
            raise ServiceError("the project has no Prefect server yet; `darkroom up` starts one")
        os.environ.pop("PREFECT_PROFILE", None)  # of another file of profiles
        os.environ.setdefault(PYTHONPATH_BEFORE, os.environ.get("PYTHONPATH", ""))
        os.environ.update({**SETTINGS, "PREFECT_HOME": str(folder), **login.client_environment(folder)})
        from prefect.settings import get_current_settings

        from darkroom.service.worker import put_back_lost, take_runs

        url = get_current_settings().api.url
        assert url is not None
        try:
            asyncio.run(put_back_lost(pool))
        except httpx.HTTPError as error:
            raise ServiceError(f"the server at {url} does not answer: {error}") from error
        asyncio.run(take_runs(root, pool, lambda: registration.ready(url)))


def _first_pool(root: Path) -> str:
    """The pool that prefect.yaml names first.

    Raises:
        UsageError: prefect.yaml cannot be read, or names none.

    """
    pools = pools_of(root)
    if not pools:
        raise UsageError(f"{root / DEPLOYMENTS}: names no work pool to work for; `darkroom init` writes one")
    return pools[0]


def _run_asked(folder: str, pool: str = "") -> None:
    root = Path(folder)
    run_worker(root, pool or _first_pool(root))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: _run_asked(*sys.argv[1:])))
