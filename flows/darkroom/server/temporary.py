"""A Prefect server as a child process, which lives as long as its owner.

It is on the project's database (.darkroom/prefect/prefect.db). It ends when its owner does, however the owner
ends: its standard input is a pipe that the kernel then closes. It binds to a free port of loopback, and is
Prefect's web server alone, without the scheduling services. Should it end on the way (killed for its memory,
or a `darkroom ui` that someone ends), another takes its place and its port.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from darkroom.base import interpreter
from darkroom.base.errors import DarkroomError
from darkroom.base.files import make_private_folder
from darkroom.server.places import port_of
from darkroom.server.serving import START_SECONDS
from darkroom.server.sharing import shared_url

STOP_SECONDS = 10
LOOK_SECONDS = 0.5
RESTARTS = 3


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


@contextlib.contextmanager
def _watching(child: _Child, missing: Callable[[], bool]) -> Iterator[None]:
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
        """Whether no process of the server runs."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start a process, unless it is closed."""
        with self._starting, self.log.open("a") as log:
            self._end()
            if self._closed:
                return
            self._process = subprocess.Popen(
                interpreter.python_command("darkroom.server.serving", str(self._folder), str(self._port)),
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
