"""A Prefect API for flows under Prefect's engine, such as a sweep, which need a server while they run."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import TRACEBACK, DarkroomError, UsageError, explain_os_error
from darkroom.reporting.deliverers import Deliverer, Destination, log_of
from darkroom.reporting.outbox import Outbox
from darkroom.server.clients import QUIET_CLIENT, client_of
from darkroom.server.configured import configured_api, silence_of
from darkroom.server.places import runs_page, server_folder
from darkroom.server.serving import START_SECONDS
from darkroom.server.sharing import kept_up, shared_url
from darkroom.show.output import print_warning

LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Api:
    """A Prefect API, and what leads a user to the pages of its runs."""

    url: str
    where_to_look: str
    problem: str = ""
    """Why nothing may be recorded, in a line: the configured server does not answer. Empty: it does."""


def has_server(root: Path, environ: Mapping[str, str], stack: ExitStack) -> bool:
    """Find Prefect's server, or start the project's own, until the stack ends. False: none is to be had.

    What is wrong with it is said in a line.

    Raises:
        UsageError: The environment asks for no number of seconds.

    """
    try:
        api = stack.enter_context(prefect_api(root))
    except UsageError:
        raise
    except Exception as error:  # of Prefect's, its settings or its database: the work needs none of them
        if environ.get(TRACEBACK):
            raise
        said = explain_os_error(error) if isinstance(error, OSError) else str(error) or type(error).__name__
        print_warning(f"this is not recorded by Prefect: {' '.join(said.split())}")
        return False
    if api.problem:
        print_warning(f"this is recorded only if the server comes in time: {api.problem}")
    return not api.problem


@contextlib.contextmanager
def prefect_api(root: Path) -> Iterator[Api]:
    """The Prefect API of the project at `root`; this process's client is set to it.

    Raises:
        DarkroomError: The project's server does not start; why stands in its log.
        OSError: The folder of the project's state cannot be used.

    """
    for name, value in QUIET_CLIENT.items():
        os.environ.setdefault(name, value)
    if set_to := configured_api(root, os.environ):
        yield Api(set_to.url, set_to.url.rstrip("/").removesuffix("/api"), silence_of(set_to))
        return
    with _served(root) as url, client_of(server_folder(root), url):
        yield Api(url, runs_page(url))


@contextlib.contextmanager
def _served(root: Path) -> Iterator[str]:
    """Keep the project's server until the block ends, by an open outbox as a run has."""
    outbox = Outbox(root, "", "in use")
    over = threading.Event()
    deliverer = Deliverer(root, Destination("", ""))

    def keep() -> None:
        deliverer.ensure()
        while not over.wait(LOOK_SECONDS):
            deliverer.ensure()

    thread = threading.Thread(target=keep, name="prefect-server", daemon=True)
    thread.start()
    try:
        yield _wait_for_url(root, deliverer)
    finally:
        over.set()
        thread.join()
        deliverer.leave()
        outbox.end()
        outbox.close()


def _wait_for_url(root: Path, deliverer: Deliverer) -> str:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and not deliverer.has_failed:
        if url := kept_up(root) or shared_url(server_folder(root)):
            return url
        time.sleep(LOOK_SECONDS)
    raise DarkroomError(f"{log_of(root)}: Prefect's server did not start; its messages are in that file")
