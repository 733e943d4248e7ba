"""Prefect's web server on a project's database, in this process.

`python -m darkroom.server.serving FOLDER PORT` serves the folder until its standard input is closed. The
tests use it as a child process. It serves the application of `darkroom.server.closed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from darkroom.base.files import make_private_folder
from darkroom.server import blank_database
from darkroom.server.places import DATABASE, LOOPBACK

CONNECTION = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
UI_PORT = 4200  # Prefect's own
START_SECONDS = 120  # a cold start on a loaded machine has taken 40


Beside = Callable[[Callable[[], None]], Awaitable[None]]
"""What a server does beside answering: a function that is given how the server is ended."""


@dataclass(slots=True)
class Requests:
    """Counts the requests to a server, so that an unused server can end."""

    last: float = field(default_factory=time.monotonic)
    open: int = 0
    """How many are being answered; a websocket of a page that is open counts."""

    def counted(self, app: Any) -> Any:
        """The ASGI application, whose requests are counted."""

        async def counting(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await app(scope, receive, send)
                return
            self.open += 1
            try:
                await app(scope, receive, send)
            finally:
                self.open -= 1
                self.last = time.monotonic()

        return counting


def serve(
    folder: Path,
    listening: socket.socket,
    announce: Callable[[str], None],
    settings: Mapping[str, str] = MappingProxyType({}),
    *,
    webserver_only: bool = True,
    before: Callable[[], object] = lambda: None,
    beside: Beside | None = None,
    requests: Requests | None = None,
) -> None:
    """Run Prefect's web server on the database in `folder`; `announce` gets the API's URL when it answers.

    `settings` are more of Prefect's, and go before ours, but for those that close the server. `before` is
    called once they are set. `beside` runs while the server answers, and `requests` counts what it is asked.
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
        other: asyncio.Task[None] | None = None

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if not self.should_exit:
                if fresh:
                    blank_database.keep(database)
                announce(url)
                if beside is not None:
                    self.other = asyncio.ensure_future(beside(self.end))

        def end(self) -> None:
            self.should_exit = True

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            if self.other is not None:
                self.other.cancel()
                await asyncio.wait([self.other])
            await super().shutdown(sockets=sockets)

    application = closed.application(folder, url, webserver_only=webserver_only)
    if requests is not None:
        application = requests.counted(application)
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
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # a third of a first start, and no block is used
    }


def listen_near(port: int) -> socket.socket:
    """A listening socket on loopback: on `port`, or on a free one where that is taken."""
    try:
        return listen(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return listen(0)


def listen(port: int) -> socket.socket:
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
    serve(Path(sys.argv[1]), listen(int(sys.argv[2])), lambda url: print(url, flush=True))


if __name__ == "__main__":
    _serve_until_owner_ends()
