"""Prefect's server for a run: the configured one, the one that `darkroom ui` serves, or a temporary one.

A temporary server is a child process on the project's database (.darkroom/prefect/prefect.db). It ends when
its owner does, however the owner ends: its standard input is a pipe that the kernel then closes. It binds to
a free port of loopback, and is Prefect's web server alone, without the scheduling services. Should it end on
the way (killed for its memory, or a `darkroom ui` that someone ends), another takes its place and its port.
"""

import contextlib
import errno
import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from flows import blank_database, prefect_database
from flows.errors import DarkroomError
from flows.files import STATE_FOLDER
from flows.output import warn
from flows.run import make_state_folder

LOOPBACK = "127.0.0.1"
DATABASE = "prefect.db"
CONNECTION = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
UI_PORT = 4200  # Prefect's own
START_SECONDS = 120  # a cold start on a loaded machine has taken 40
STOP_SECONDS = 10
PROBE_SECONDS = 5
LOOK_SECONDS = 0.5
RESTARTS = 3

# What a run needs of Prefect's client: no console lines of its own, no usage statistics.
QUIET_CLIENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
}


def server_folder(root: Path) -> Path:
    """Where the project whose root is `root` keeps Prefect's database."""
    return root / STATE_FOLDER / "prefect"


@dataclass(frozen=True, slots=True)
class Api:
    """A Prefect API, and what leads a user to the pages of its runs."""

    url: str
    where_to_look: str
    problem: str = ""
    """Why nothing of it may come of a run's record, in a line: the server that is configured is silent."""


@contextlib.contextmanager
def prefect_api(root: Path, remark: Callable[[str], None] = warn) -> Iterator[Api]:
    """The Prefect API to record a run of the project at `root` in; this process's client is set to it.

    `remark` gets a line where the project's database had to be mended. Raises DarkroomError or OSError where
    that database cannot be used or no server can be started on it.
    """
    for name, value in QUIET_CLIENT.items():
        os.environ.setdefault(name, value)
    if url := configured_url():
        yield Api(url, url.rstrip("/").removesuffix("/api"), silence_of(url))
    elif url := kept_up(root):
        from flows.service.login import client_environment

        with client_set_to(url, client_environment(server_folder(root))):
            yield Api(url, pages(url))
    elif url := shared_url(server_folder(root)):
        with kept_served(server_folder(root), url), client_set_to(url):
            yield Api(url, pages(url))
    else:
        make_state_folder(root / STATE_FOLDER)
        server_folder(root).mkdir(exist_ok=True)
        if not os.environ.get(CONNECTION):  # else it is PostgreSQL, say
            for line in prefect_database.prepare(server_folder(root) / DATABASE):
                remark(line)
        with temporary_server(server_folder(root)) as url, client_set_to(url):
            yield Api(url, "`darkroom ui` shows all runs so far")


def configured_url() -> str | None:
    """The API's URL from PREFECT_API_URL, the active profile, or one of Prefect's settings files."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def require_answer(url: str) -> None:
    """Raise DarkroomError when nothing healthy answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=PROBE_SECONDS):
            return
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DarkroomError(
            f"PREFECT_API_URL: no Prefect server answers at {url} ({reason});"
            " start it, or unset PREFECT_API_URL to record the run in the project's folder"
        ) from error


def silence_of(url: str) -> str:
    """What is wrong where nothing healthy answers at `url`, in a line; empty where something does."""
    try:
        require_answer(url)
    except DarkroomError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def client_set_to(url: str, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Point this process's Prefect client, all its threads, at `url`; `settings` are more of Prefect's."""
    from prefect.context import refresh_global_settings_context

    meanwhile = {"PREFECT_API_URL": url, **settings}
    before = {name: os.environ[name] for name in meanwhile if name in os.environ}
    os.environ.update(meanwhile)
    refresh_global_settings_context()
    try:
        yield
    finally:
        for name in meanwhile:
            del os.environ[name]
        os.environ.update(before)
        refresh_global_settings_context()


@contextlib.contextmanager
def temporary_server(folder: Path) -> Iterator[str]:
    """Serve the database in `folder` from a child process; yields the API's URL once it answers.

    A child that ends on the way is replaced by another at the same address.
    """
    folder.mkdir(exist_ok=True)
    with contextlib.closing(_Child(folder)) as child:
        child.log.write_text("")
        child.start()
        import prefect.client.orchestration  # noqa: F401  (takes seconds: meanwhile the server starts)

        if not (url := child.wait_for_url()):
            raise DarkroomError(
                f"{child.log}: Prefect's temporary server did not start; its messages are in that file"
            )
        with _watching(child, lambda: child.ended):
            yield url


@contextlib.contextmanager
def kept_served(folder: Path, url: str) -> Iterator[None]:
    """Serve the database in `folder` at `url` ourselves from when `darkroom ui` no longer does."""
    with (
        contextlib.closing(_Child(folder, port_of(url))) as child,
        _watching(child, lambda: child.ended and shared_url(folder) is None),
    ):
        yield


def port_of(url: str) -> int:
    """The port in an address of a server of ours."""
    port = urllib.parse.urlsplit(url).port
    assert port is not None
    return port


@contextlib.contextmanager
def _watching(child: "_Child", missing: Callable[[], bool]) -> Iterator[None]:
    """Start `child` again whenever `missing` says so, in a thread of its own."""
    over = threading.Event()

    def watch() -> None:
        for _ in range(RESTARTS):
            while not missing():
                if over.wait(LOOK_SECONDS):
                    return
            child.start()
            child.wait_for_url()

    thread = threading.Thread(target=watch, name="prefect-server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        child.close()  # what the thread may wait for
        thread.join()


class _Child:
    """A server as a child process, started as often as needed, always on the port that it got first."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.log = folder / "server.log"
        self._folder, self._port = folder, port
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._starting = threading.Lock()

    @property
    def ended(self) -> bool:
        """Whether no process of it runs."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start a process, unless it is closed."""
        with self._starting, self.log.open("a") as log:
            self._end()
            if self._closed:
                return
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.server", str(self._folder), str(self._port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for the run, which then still reports to this server
            )

    def wait_for_url(self) -> str | None:
        """The line that the server prints when it answers; None where it ended before."""
        server = self._process
        if server is None or server.stdout is None:
            return None
        watchdog = threading.Timer(START_SECONDS, server.kill)
        watchdog.start()
        try:
            with server.stdout as lines:
                url = lines.readline().strip()
        finally:
            watchdog.cancel()
        if url:
            self._port = port_of(url)
        return url or None

    def close(self) -> None:
        """End the process; none is started any more."""
        self._closed = True
        with self._starting:
            self._end()

    def _end(self) -> None:
        """Close the process's standard input, on which it ends; kill it if it does not."""
        if (server := self._process) is None:
            return
        assert server.stdin is not None
        server.stdin.close()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def kept_up(root: Path) -> str | None:
    """The URL of the server that `darkroom up` has started for the project at `root`, or None."""
    from flows.service import daemons

    seen = daemons.see(daemons.services_folder(root), "server")
    return seen.note.url if seen.running and seen.note else None


def shared_url(folder: Path) -> str | None:
    """The URL of the server that `darkroom ui` runs on `folder`, or None."""
    try:
        with (folder / "ui").open() as file:
            return None if _lock(file) else (file.read().strip() or None)
    except FileNotFoundError:
        return None


def serve_pages(root: Path, announce: Callable[[str], None], port: int = UI_PORT) -> None:
    """Serve Prefect's pages on the project's database until Ctrl-C; `announce` gets their address.

    Later runs of the project record in this server, so that the pages are live. Where `darkroom up` serves
    them already, that is all. Raises DarkroomError where another `darkroom ui` does.
    """
    if url := kept_up(root):
        announce(pages(url))
        return
    make_state_folder(root / STATE_FOLDER)
    folder = server_folder(root)
    folder.mkdir(exist_ok=True)
    if url := shared_url(folder):
        raise DarkroomError(
            f"the project's runs are already shown at {pages(url)}; stop that `darkroom ui` first"
        )
    with (folder / "ui").open("a+") as file:
        _lock(file)

        def announce_and_share(url: str) -> None:
            file.truncate(0)
            file.write(url)
            file.flush()
            announce(pages(url))

        serve(folder, listen_near(port), announce_and_share)


def pages(url: str) -> str:
    """The address of the list of runs on a server of ours, without those of their stages."""
    return f"{url.removesuffix('/api')}/v2/runs?hide-subflows=true"  # Prefect's older pages draw no graphs


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

    `settings` are more of Prefect's, and go before ours. `before` is called once they are set.
    """
    url = f"http://{LOOPBACK}:{listening.getsockname()[1]}/api"
    os.environ.update({**server_environment(folder, url), **settings})
    database = folder / DATABASE
    own = os.environ[CONNECTION].endswith(str(database))  # else it is PostgreSQL, say
    fresh = own and not blank_database.take(database) and not database.exists()
    before()
    import uvicorn
    from prefect.server.api.server import create_app

    class AnnouncingServer(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if not self.should_exit:
                if fresh:
                    blank_database.keep(database)
                announce(url)

    config = uvicorn.Config(
        create_app(webserver_only=webserver_only), log_level="warning", timeout_graceful_shutdown=2
    )
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


def _lock(file: IO[str]) -> bool:
    """Take the lock on `file`, freed when it is closed; False where another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _serve_until_owner_ends() -> None:
    """Serve the folder on the port given on the command line until standard input is closed."""

    def end_with_owner() -> None:
        sys.stdin.read()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=end_with_owner, daemon=True).start()
    serve(Path(sys.argv[1]), _listen(int(sys.argv[2])), lambda url: print(url, flush=True))


if __name__ == "__main__":
    _serve_until_owner_ends()
