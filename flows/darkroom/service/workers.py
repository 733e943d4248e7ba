"""A project's workers: the pools of prefect.yaml that they work for, their names and time limits.

For those who start a worker, and for the worker itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import UsageError
from darkroom.base.yaml_files import read_yaml
from darkroom.processes.stage_process import GRACE_SECONDS

DEPLOYMENTS = "prefect.yaml"
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


@dataclass(frozen=True, slots=True)
class ListedDeployment:
    """A deployment as prefect.yaml has it."""

    name: str
    entrypoint: str
    pool: str


def listed_deployments(root: Path) -> list[ListedDeployment]:
    """The deployments that prefect.yaml holds.

    Raises:
        UsageError: The file is no list of deployments with their work pools.

    """
    path = root / DEPLOYMENTS
    if not path.exists():
        return []
    try:
        found = read_yaml(path)["deployments"] or []
        return [
            ListedDeployment(str(one.get("name")), str(one.get("entrypoint")), str(one["work_pool"]["name"]))
            for one in found
        ]
    except (KeyError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise UsageError(
            f"{DEPLOYMENTS}: a list of deployments, each with work_pool.name, is needed: {said}"
        ) from error


def pools_of(root: Path) -> tuple[str, ...]:
    """The work pools of the deployments in prefect.yaml, in its order.

    Raises:
        UsageError: prefect.yaml is no list of deployments with their work pools.

    """
    return tuple(dict.fromkeys(one.pool for one in listed_deployments(root)))
