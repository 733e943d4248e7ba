"""`python -m flows.service.server_process ROOT PORT`: the project's Prefect server, its scheduler included.

Whoever asks it for anything must have the string of `flows.service.login`; only the pages' own files and the
health check are open. What the environment says of PREFECT_SERVER_... (another database, say) is followed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from flows.server import listen_near, serve, server_folder
from flows.service import login
from flows.service.daemons import exit_code, make_services_folder, registered

NAME = "server"

RETENTION_DAYS = 90
"""Flow runs that ended before are removed, with their logs and artifacts."""


def security(folder: Path) -> dict[str, str]:
    """The settings that close the server, let a restart lose nothing, and keep the database small."""
    return {
        "PREFECT_SERVER_API_AUTH_STRING": login.auth_string(folder),
        "PREFECT_SERVER_ENCRYPTION_KEY": login.encryption_key(folder),
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        # In memory, Prefect's default, a restart leaks what was held.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RETENTION_DAYS * 86_400),
    }


def run(root: Path, port: int) -> None:
    """Serve until SIGTERM. Raises ServiceError where the project's server runs already."""
    services, folder = make_services_folder(root), server_folder(root)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)  # with the string, the logs of all runs
    with registered(services, NAME) as registration:
        given = {name: value for name, value in os.environ.items() if name.startswith("PREFECT_SERVER_")}

        def announce(url: str) -> None:
            import flows.service.notices  # noqa: F401  (that the server knows this kind of notification)

            login.write_profile(folder, url)
            registration.ready(url)

        settings = {**security(folder), **given}
        serve(folder, listen_near(port), announce, settings, webserver_only=False, before=_hear_anew)


def _hear_anew() -> None:
    from flows.service.automations import hear_anew  # with Prefect, whose settings must be set before

    asyncio.run(hear_anew())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn sends itself the signal again at its end
    sys.exit(exit_code(lambda: run(Path(sys.argv[1]), int(sys.argv[2]))))
