"""Prefect's server for a run: the configured one, the one that `darkroom ui` serves, or a temporary one.

A temporary server is a child process on the project's database (.darkroom/prefect/prefect.db). It ends when
its owner does, however the owner ends: its standard input is a pipe that the kernel then closes. It binds to
a free port of loopback, and is Prefect's web server alone, without the scheduling services. Should it end on
the way (killed for its memory, or a `darkroom ui` that someone ends), another takes its place and its port.
All of them serve the application of `darkroom.server.closed`.
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

from darkroom.base import interpreter
from darkroom.base.errors import DarkroomError
from darkroom.base.files import STATE_FOLDER, make_private_folder, make_state_folder
from darkroom.server import blank_database, login, login_links
from darkroom.server import database as prefect_database
from darkroom.show.output import warn

LOOPBACK = "127.0.0.1"
DATABASE = "prefect.db"
SHARED = "ui"
"""The file that `darkroom ui` locks while it serves the folder, with the API's URL in it."""

CONNECTION = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
UI_PORT = 4200  # Prefect's own
START_SECONDS = 120  # a cold start on a loaded machine has taken 40
STOP_SECONDS = 10
PROBE_SECONDS = 5
LOOK_SECONDS = 0.5
RESTARTS = 3

API_URL = "PREFECT_API_URL"
CREDENTIALS = ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY")

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
    if set_to := configured(root):
        yield Api(set_to.url, set_to.url.rstrip("/").removesuffix("/api"), silence_of(set_to))
    elif url := kept_up(root):
        with client_of(server_folder(root), url):
            yield Api(url, pages(url))
    elif url := shared_url(server_folder(root)):
        with kept_served(server_folder(root), url), client_of(server_folder(root), url):
            yield Api(url, pages(url))
    else:
        make_state_folder(root / STATE_FOLDER)
        make_private_folder(server_folder(root))
        if not os.environ.get(CONNECTION):  # else it is PostgreSQL, say
            for line in prefect_database.prepare(server_folder(root) / DATABASE):
                remark(line)
        with temporary_server(server_folder(root)) as url, client_of(server_folder(root), url):
            yield Api(url, "`darkroom ui` shows all runs so far")


@dataclass(frozen=True, slots=True)
class Configured:
    """The API that Prefect is set to use, and what sets it."""

    url: str
    where: str

    @property
    def mend(self) -> str:
        """How to have Prefect use the project's own server."""
        return f"unset {API_URL}" if self.where == API_URL else "remove that setting"


def configured(root: Path) -> Configured | None:
    """What the environment, a profile or one of Prefect's settings files says; None: nothing.

    The project's own profile, which its user chooses for Prefect's commands, is no other server.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if (url := settings.api.url) is None:
        return None
    by_profile = API_URL not in os.environ and url == _profile_url()
    ours = login.profiles_file(server_folder(root))
    if url == kept_up(root) or (by_profile and settings.profiles_path.resolve() == ours.resolve()):
        return None
    if by_profile:
        return Configured(url, f"{settings.profiles_path}: the active profile")
    in_files = "prefect.toml, pyproject.toml or .env in the current folder"
    return Configured(url, API_URL if API_URL in os.environ else in_files)


def _profile_url() -> str | None:
    from prefect.settings import PREFECT_API_URL, load_profiles

    profiles = load_profiles()
    name = os.environ.get("PREFECT_PROFILE") or profiles.active_name
    url = profiles[name].settings.get(PREFECT_API_URL) if name in profiles.names else None
    return None if url is None else str(url)


def require_answer(set_to: Configured) -> None:
    """Raise DarkroomError when nothing healthy answers there."""
    try:
        with urllib.request.urlopen(f"{set_to.url.rstrip('/')}/health", timeout=PROBE_SECONDS):
            return
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DarkroomError(
            f"{set_to.where}: no Prefect server answers at {set_to.url} ({reason});"
            f" start it, or {set_to.mend} to record the run in the project's folder"
        ) from error


def silence_of(set_to: Configured) -> str:
    """What is wrong where nothing healthy answers there, in a line; empty where something does."""
    try:
        require_answer(set_to)
    except DarkroomError as error:
        return str(error)
    return ""


def client_of(folder: Path, url: str) -> contextlib.AbstractContextManager[None]:
    """Point this process's Prefect client at the server of ours at `url` whose folder is `folder`."""
    return client_set_to(url, login.client_environment(folder))


def environment_of(folder: Path, url: str) -> dict[str, str]:
    """The same for another process: what its environment needs."""
    return {API_URL: url, **login.client_environment(folder)}


@contextlib.contextmanager
def client_set_to(url: str, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Point this process's Prefect client, all its threads, at `url`; `settings` are more of Prefect's."""
    from prefect.context import refresh_global_settings_context

    meanwhile = {API_URL: url, **settings}
    before = {name: os.environ[name] for name in (*meanwhile, *CREDENTIALS) if name in os.environ}
    for name in CREDENTIALS:  # another server's, that would go before the profile's
        os.environ.pop(name, None)
    os.environ.update(meanwhile)
    refresh_global_settings_context()
    try:
        yield
    finally:
        for name in meanwhile:
            os.environ.pop(name, None)
        os.environ.update(before)
        refresh_global_settings_context()


@contextlib.contextmanager
def temporary_server(folder: Path) -> Iterator[str]:
    """Serve the database in `folder` from a child process; yields the API's URL once it answers.

    A child that ends on the way is replaced by another at the same address.
    """
    make_private_folder(folder)
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
                interpreter.python_command("darkroom.server.temporary", str(self._folder), str(self._port)),
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
    from darkroom.processes import daemons

    seen = daemons.daemon_state(daemons.services_folder(root), "server")
    return seen.note.url if seen.running and seen.note else None


def shared_url(folder: Path) -> str | None:
    """The URL of the server that `darkroom ui` runs on `folder`, or None."""
    return ((folder / SHARED).read_text().strip() or None) if is_shown(folder) else None


def is_shown(folder: Path) -> bool:
    """Whether `darkroom ui` serves `folder`, or is about to."""
    try:
        with (folder / SHARED).open() as file:
            return _is_locked(file)
    except FileNotFoundError:
        return False


def pages(url: str) -> str:
    """The address of the list of runs on a server of ours."""
    return url.removesuffix("/api") + login_links.RUNS_PAGE


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


def _is_locked(file: IO[str]) -> bool:
    """Whether another process holds the file's lock; those who only look do not get in each other's way."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _serve_until_owner_ends() -> None:
    """Serve the folder on the port given on the command line until standard input is closed."""

    def end_with_owner() -> None:
        sys.stdin.read()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=end_with_owner, daemon=True).start()
    serve(Path(sys.argv[1]), _listen(int(sys.argv[2])), lambda url: print(url, flush=True))


if __name__ == "__main__":
    _serve_until_owner_ends()
