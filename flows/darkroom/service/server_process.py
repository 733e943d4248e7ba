"""`python -m darkroom.service.server_process ROOT PORT`: the project's Prefect server with its scheduler.

It follows PREFECT_SERVER_... variables in the environment (for another database, say), unless they would open
the server to others (`darkroom.server.closed`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from darkroom.processes.daemons import ServiceError, exit_code, make_services_folder, registered
from darkroom.server import login
from darkroom.server.places import server_folder
from darkroom.server.serving import START_SECONDS, listen_near, serve
from darkroom.server.sharing import end_recorder, is_shown, shared_url
from darkroom.tracking.recorder_process import deliver_beside

NAME = "server"
_LOOK_SECONDS = 0.1

RETENTION_DAYS = 90
"""Flow runs that ended before are removed, with their logs and artifacts."""

SETTINGS = {
    # In memory, Prefect's default, a restart leaks what was held.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "darkroom.server.event_order",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RETENTION_DAYS * 86_400),
}
"""A restart loses nothing, notices come at once, and the database stays small."""


def run_server(root: Path, port: int) -> None:
    """Serve until SIGTERM.

    Raises:
        ServiceError: The project's server runs already.

    """
    services, folder = make_services_folder(root), server_folder(root)
    with registered(services, NAME) as registration:
        _require_not_shown(root, folder)
        given = {name: value for name, value in os.environ.items() if name.startswith("PREFECT_SERVER_")}

        def announce(url: str) -> None:
            import darkroom.service.notices  # noqa: F401  (that the server knows this kind of notification)

            login.write_profile(folder, url)
            registration.ready(url)

        settings = {**SETTINGS, **given}
        serve(
            folder,
            listen_near(port),
            announce,
            settings,
            webserver_only=False,
            before=_hear_anew,
            beside=lambda _: deliver_beside(root, events=True),
        )


def _require_not_shown(root: Path, folder: Path) -> None:
    """Check that `darkroom ui` does not serve the folder; one that just starts may yet give way.

    The server that a run has started gives way at once.

    Raises:
        ServiceError: `darkroom ui` serves it.

    """
    give_up = time.monotonic() + START_SECONDS
    while is_shown(folder):
        end_recorder(root)
        if shared_url(folder) or time.monotonic() > give_up:
            raise ServiceError("`darkroom ui` serves this project's pages; stop it first")
        time.sleep(_LOOK_SECONDS)


def _hear_anew() -> None:
    from darkroom.service.automations import hear_anew  # with Prefect, whose settings must be set before

    asyncio.run(hear_anew())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn sends itself the signal again at its end
    sys.exit(exit_code(lambda: run_server(Path(sys.argv[1]), int(sys.argv[2]))))
