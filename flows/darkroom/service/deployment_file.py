"""prefect.yaml: the deployments that a project lists, and the work pools that these name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import UsageError
from darkroom.base.yaml_files import read_yaml

DEPLOYMENTS = "prefect.yaml"


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
