"""`python -m darkroom.tracking.recorder_process ROOT URL`: delivers the letters of a project's runs.

Without a URL it is the project's own server, which lives on for a while so that the next run and the pages
find it. With a URL it delivers to the server there, and then ends.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from darkroom.base.files import STATE_FOLDER, make_private_folder, make_state_folder
from darkroom.processes.daemons import Registration, ServiceError, exit_code, make_services_folder, registered
from darkroom.reporting.deliverers import Destination, patience_of, server_seconds
from darkroom.reporting.outbox import first_letter, waiting_outboxes
from darkroom.server import database
from darkroom.server.clients import QUIET_CLIENT
from darkroom.server.places import DATABASE, server_folder
from darkroom.server.serving import CONNECTION, Requests, listen_near, serve
from darkroom.server.sharing import holding_pages, last_port
from darkroom.tracking.postman import AwayError, Postman

NICE = 5
"""Stages go first."""

HOST_SECONDS = 60.0
"""How long a silent server of this host is waited for where no run is left: it was killed, or ended."""

ROUND_SECONDS = 0.25
PAUSE_SECONDS = 5.0
"""The pause after a failure: a full disk, say."""


def deliver(root: Path, url: str) -> None:
    """Deliver the letters of the project at `root` that go to the API at `url`; empty: be its server.

    Returns at once where another process does so already.
    """
    os.nice(NICE)
    services = make_services_folder(root)
    destination = Destination(url, "", server_seconds(os.environ))
    # A run that saw this process as it was about to end has started no other one: hence a last look.
    idle = True
    while idle:
        try:
            with registered(services, destination.deliverer) as registration:
                if url:
                    from darkroom.tracking.to_api import deliver_elsewhere

                    alone = min(destination.seconds, HOST_SECONDS if is_of_this_host(url) else math.inf)
                    patience = max(alone, patience_of(os.environ))
                    idle = deliver_elsewhere(root, url, patience, alone=alone)
                else:
                    idle = _serve(root, destination.seconds, registration)
        except ServiceError:
            return
        idle = idle and waits_for(root, url)


def is_of_this_host(url: str) -> bool:
    """Whether the address is loopback's."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def waits_for(root: Path, url: str) -> bool:
    """Whether an outbox goes there."""
    found = (first_letter(path) for path in waiting_outboxes(root))
    return any(opened is not None and opened.to == url for opened in found)


def _serve(root: Path, seconds: float, registration: Registration) -> bool:
    """Run the project's server until nobody has asked it for `seconds`. False: it ended for another reason.

    Another that serves the pages delivers the letters, too.
    """
    make_state_folder(root / STATE_FOLDER)
    folder = server_folder(root)
    make_private_folder(folder)
    with holding_pages(root) as share:
        if share is None:
            return False
        if not os.environ.get(CONNECTION):  # else it is PostgreSQL, say
            for line in database.prepare(folder / DATABASE):
                print(line, file=sys.stderr, flush=True)
        requests = Requests()
        idle = False

        def announce(url: str) -> None:
            share(url)
            registration.ready(url)

        async def beside(end: Callable[[], None]) -> None:
            nonlocal idle
            await deliver_beside(root, lambda busy: _is_over(busy, requests, seconds))
            idle = True
            end()

        serve(folder, listen_near(last_port(root) or 0), announce, beside=beside, requests=requests)
    return idle


def _is_over(busy: bool, requests: Requests, seconds: float) -> bool:
    """Whether nobody has asked for so long."""
    if busy:
        requests.last = time.monotonic()
    return not requests.open and time.monotonic() - requests.last >= seconds


async def deliver_beside(
    root: Path, is_over: Callable[[bool], bool] = lambda _: False, *, events: bool = False
) -> None:
    """Deliver into the database of this process's server until `is_over`, given whether there was work."""
    from darkroom.tracking.to_database import ToDatabase

    recipient = ToDatabase(events=events)
    postman, swept = Postman(root, "", recipient), False
    while True:
        try:
            if not swept:
                await recipient.forget_but(path.name for path in waiting_outboxes(root))
                swept = True
            busy = await postman.round()
        except Exception as error:
            if isinstance(error, AwayError):
                print(error, file=sys.stderr, flush=True)
            else:
                traceback.print_exc()
            busy = False
            await asyncio.sleep(PAUSE_SECONDS)
        if is_over(busy):
            return
        await asyncio.sleep(ROUND_SECONDS)


if __name__ == "__main__":
    for name, value in QUIET_CLIENT.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn sends itself the signal again at its end
    sys.exit(exit_code(lambda: deliver(Path(sys.argv[1]), sys.argv[2])))
