"""`python -m darkroom.deployments.engine`: Prefect's engine for darkroom's flows, which outlive their server.

A deployment with a concurrency limit gives each of its runs a slot for 300 seconds, and the run renews it. If
the renewal fails three times, Prefect's engine ends the run. Without a server that takes a few seconds, so a
restart of the server would end a training. Here the run goes on, and renews its slot once the server answers
again. Two runs never work in one clone, even if the slot was given to another run in between: the clone has a
lock of its own.
"""

from __future__ import annotations

import contextlib
import contextvars
import runpy
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from prefect import flow_engine, get_client

RENEWED_AFTER = 0.75
"""The part of its time after which a place is renewed."""

_TRY_AGAIN_SECONDS, _END_SECONDS = 5.0, 2.0


@contextlib.contextmanager
def keep_place(lease_id: UUID, lease_duration: float, **_: Any) -> Iterator[None]:
    """Renew a place under a concurrency limit for as long as the block lasts, however often that fails.

    Args:
        lease_id: What the server calls the place.
        lease_duration: For how many seconds each renewal keeps it.
        _: What the engine asks for besides: that the run ends where its place is lost.

    """
    over = threading.Event()

    def renew() -> None:
        while not over.is_set():
            seconds = _TRY_AGAIN_SECONDS
            with contextlib.suppress(Exception), get_client(sync_client=True) as client:
                client.renew_concurrency_lease(lease_id, lease_duration)
                seconds = lease_duration * RENEWED_AFTER
            over.wait(seconds)

    context = contextvars.copy_context()  # Prefect's settings
    thread = threading.Thread(target=context.run, args=(renew,), name="keep_place", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_END_SECONDS)


if __name__ == "__main__":
    flow_engine.maintain_concurrency_lease = keep_place  # type: ignore[attr-defined, assignment]
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
