"""Prefect's web server on a project's database, in this process.

`python -m darkroom.server.serving FOLDER PORT` serves the folder until its standard input is closed: it is
the child process of `darkroom.server.temporary`. It serves the application of `darkroom.server.closed`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from darkroom.base.files import make_private_folder
from darkroom.server import blank_database
from darkroom.server.places import DATABASE, LOOPBACK

CONNECTION = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
UI_PORT = 4200  # Prefect's own
START_SECONDS = 120  # a cold start on a loaded machine has taken 40


def serve(
    folder: Path,
    listening: socket.socket,
    announce: Callable[[str], None],
    settings: Mapping[str, str] = MappingProxyType({}),
    *,
    webserver_only: bool = True,
    before: Callable[[], object] = lambda: None,
) -> None:
    """Run Prefect's web server on the database in `folder`; `announce` gets the API's URL when it answers.

    `settings` are more of Prefect's, and go before ours, but for those that close the server. `before` is
    called once they are set.
    """
    from darkroom.server import closed

    url = f"http://{LOOPBACK}:{listening.getsockname()[1]}/api"
    make_private_folder(folder)
    closing = closed.settings(folder, url, os.environ)
    os.environ.update({**server_environment(folder, url), **settings, **closing})
    database = folder / DATABASE
    own = os.environ[CONNECTION].endswith(str(database))  # else it is PostgreSQL, say
    fresh = own and not blank_database.take(database) and not database.exists()
    before()
    import uvicorn

    class AnnouncingServer(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if not self.should_exit:
                if fresh:
                    blank_database.keep(database)
                announce(url)

    application = closed.application(folder, url, webserver_only=webserver_only)
    config = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=2)
    server = AnnouncingServer(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def server_environment(folder: Path, url: str) -> dict[str, str]:
    """Prefect's settings for a server on the database in `folder`."""
    return {
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": str(folder),
        CONNECTION: f"sqlite+aiosqlite:///{folder / DATABASE}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": url,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # a third of a first start, and no block is used
    }


def listen_near(port: int) -> socket.socket:
    """A listening socket on loopback: on `port`, or on a free one where that is taken."""
    try:
        return _listen(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return _listen(0)


def _listen(port: int) -> socket.socket:
    """A listening socket on loopback; a free port for 0."""
    listening = socket.create_server((LOOPBACK, port))
    # Connections inherit it. asyncio sets it only on sockets of its own making; without it each request waits
    # 40 ms for the other side's delayed acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _serve_until_owner_ends() -> None:
    """Serve the folder on the port given on the command line until standard input is closed."""

    def end_with_owner() -> None:
        sys.stdin.read()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=end_with_owner, daemon=True).start()
    serve(Path(sys.argv[1]), _listen(int(sys.argv[2])), lambda url: print(url, flush=True))


if __name__ == "__main__":
    _serve_until_owner_ends()
