"""Names and time limits of a project's workers, for those who start a worker and for the worker itself."""

from __future__ import annotations

from darkroom.processes.stage_process import GRACE_SECONDS

PREFIX = "worker-"
STOP_SECONDS = GRACE_SECONDS + 12.0
"""How long flow runs may take after the signal: their stages' grace, and what they still have to do."""

HEARTBEAT_SECONDS = 30
"""Between two of a flow run: the most often that Prefect can."""

SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
}


def name_of(pool: str) -> str:
    """What the service of a work pool is called."""
    return f"{PREFIX}{pool}"
