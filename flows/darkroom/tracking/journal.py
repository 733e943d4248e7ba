"""What the flow run of a deployment reports to Prefect: its log and its pages, through an outbox.

Prefect's own functions fail if the server is away for a moment. So does its engine when it reports the end: a
run whose work is done would be recorded as failed. So the run ends only once the server has everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from darkroom.processes.stage_process import no_line
from darkroom.reporting.deliverers import PATIENCE, STOPPED_SECONDS, patience_of
from darkroom.tracking.artifacts import publication
from darkroom.tracking.delivery_queue import DeliveryQueue, Message, ServerObject

PATIENCE_OF_DEPLOYMENTS = 1800.0
"""How long a silent server is waited for where nobody sits before it: somebody starts it again."""

PATIENCE_SECONDS = 60.0
"""How long it is waited for where somebody sits before it: as long as its start takes on a loaded machine."""

Publish = Callable[[str, str, str, str], None]
"""A function that publishes an artifact, given its key, its type, its data and its description."""


def no_page(key: str, kind: str, data: str, description: str) -> None:
    """Publish nothing."""


@dataclass(frozen=True, slots=True)
class Journal:
    """Takes what there is to tell; whoever tells never waits for the server."""

    say: Callable[[str], None]
    publish: Publish = no_page


@contextmanager
def journal() -> Iterator[Journal]:
    """The journal of the flow run that is executed here.

    The block's end waits for the server: for long in a run of a deployment, briefly where the run is stopped.
    Outside of a flow run nobody is told.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        yield Journal(no_line)
        return
    run = context.flow_run
    recorded, logger = ServerObject(run.id), get_run_logger()
    outbox = DeliveryQueue()

    def say(text: str) -> None:
        for line in text.split("\n"):
            logger.info("%s", line, extra={"send_to_api": False})  # to the worker's log alone
            outbox.put_line(recorded, line)

    def publish(key: str, kind: str, data: str, description: str) -> None:
        outbox.put(publication(recorded, key, kind, data, description))

    def remark(text: str) -> None:
        logger.warning("%s", text, extra={"send_to_api": False})

    at_most = float("inf")
    try:
        yield Journal(say, publish)
    except Exception:
        raise
    except BaseException:  # it is stopped
        at_most = STOPPED_SECONDS
        raise
    finally:
        outbox.put(Message("the run's end", lambda to: to.read_flow_run(run.id)))
        outbox.close(_patience(run), at_most, remark)
        if lost := outbox.loss():
            remark(f"Prefect's server was lost, the run's pages are not complete: {lost}")


def _patience(run: FlowRun) -> float:
    plain = PATIENCE_SECONDS if run.deployment_id is None else PATIENCE_OF_DEPLOYMENTS
    return patience_of(os.environ) if os.environ.get(PATIENCE) else plain
