"""What workers may run: the deployments that `darkroom up` registered, unchanged.

Whoever can reach the server, or could reach its database before, can enter deployments with any command. So
`up` keeps a list beside the server, in a file of mode 600. It has the deployments and work pools that `up`
registered, with a digest of everything that decides their commands. A worker refuses everything else. The
parameters of a run are not restricted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import FlowRun, WorkPool
from prefect.client.schemas.responses import DeploymentResponse

from darkroom.base.files import write_secret
from darkroom.service.worker_process import line_of_new_name

_DECIDES = {
    "entrypoint",
    "path",
    "pull_steps",
    "job_variables",
    "storage_document_id",
    "infrastructure_document_id",
    "work_pool_name",
}
REGISTERED_BY_UP = "`darkroom up` registers it again"


@dataclass(frozen=True, slots=True)
class Registered:
    """Digests of deployments, by their ids, and of work pools, by their names."""

    deployments: dict[str, str] = field(default_factory=dict)
    pools: dict[str, str] = field(default_factory=dict)


def keep_registered(
    folder: Path, deployments: Iterable[DeploymentResponse], pools: Iterable[WorkPool]
) -> None:
    """Let workers run these, as they are now, and no others."""
    registered = Registered(
        {str(one.id): deployment_digest(one) for one in deployments},
        {pool.name: pool_digest(pool) for pool in pools},
    )
    write_secret(_file(folder), json.dumps(asdict(registered), indent=2) + "\n")


def read_registered(folder: Path) -> Registered:
    """What `keep_registered` was given the last time; nothing where that is unreadable."""
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        return Registered(**json.loads(_file(folder).read_text(encoding="utf-8")))
    return Registered()


def _file(folder: Path) -> Path:
    return folder / "registered.json"


def deployment_digest(deployment: DeploymentResponse) -> str:
    """A digest of what decides the command that a run of the deployment executes."""
    return _digest(deployment.model_dump(mode="json", include=_DECIDES))


def pool_digest(pool: WorkPool) -> str:
    """A digest of the template by which the pool's workers make commands."""
    return _digest({"type": pool.type, "template": pool.base_job_template})


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def wrong_deployment(deployment: DeploymentResponse, registered: Registered, root: Path) -> str | None:
    """Why no worker of the project at `root` runs the deployment; None: they do."""
    if line := line_of_new_name(deployment.name, deployment.entrypoint, root):
        return f"the deployment {line}, and {REGISTERED_BY_UP}"
    kept = registered.deployments.get(str(deployment.id))
    if kept is None:
        return (
            f"the deployment {deployment.name} ({deployment.entrypoint}) was not registered by `darkroom up`:"
            f" workers refuse its runs; put it into prefect.yaml, or remove it by"
            f" `prefect deployment delete --id {deployment.id}`"
        )
    if kept != deployment_digest(deployment):
        return (
            f"the deployment {deployment.name} was changed since `darkroom up`: workers refuse its runs;"
            f" {REGISTERED_BY_UP}"
        )
    return None


def wrong_pools(pools: Iterable[WorkPool], registered: Registered) -> Iterator[str]:
    """Why workers run nothing of a pool."""
    for pool in pools:
        if registered.pools.get(pool.name) != pool_digest(pool):
            yield (
                f"the work pool {pool.name} was changed since `darkroom up`: its worker refuses all runs;"
                f" {REGISTERED_BY_UP}"
            )


def refusal_of_run(
    run: FlowRun, deployment: DeploymentResponse | None, pool: WorkPool, registered: Registered, root: Path
) -> str | None:
    """Why a worker of the project at `root` must not execute the run; None: it may."""
    if deployment is None:
        return "it is of no deployment, and workers run only those that `darkroom up` registered"
    if why := wrong_deployment(deployment, registered, root) or next(wrong_pools([pool], registered), None):
        return why
    own, wanted = deployment.job_variables, run.job_variables or {}
    if other := sorted(name for name in wanted if name not in own or own[name] != wanted[name]):
        return f"it sets job variables of its own ({', '.join(other)}); only prefect.yaml may"
    return None
