"""Artifacts as requests to Prefect's server, each told once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, FlowRunCreate, TaskRunCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact

from darkroom.tracking.delivery_queue import Message, ServerObject


def publication(run: ServerObject, key: str, kind: str, data: str, description: str) -> Message:
    """The request that makes an artifact of `run`; `kind` is Prefect's type, `markdown` or `table` (JSON)."""

    def publish(to: SyncPrefectClient) -> None:
        artifact = ArtifactCreate(key=key, type=kind, data=data, description=description, flow_run_id=run.id)
        created_id(to, "/artifacts/", artifact)  # the client's own way also opens a websocket for an event

    return Message(f"the artifact {key}", publish, lambda to: bool(artifacts_of(to, run, key)))


def created_id(
    to: SyncPrefectClient, path: Any, wanted: FlowRunCreate | TaskRunCreate | ArtifactCreate
) -> UUID:
    """The identifier of what the API at `path` made."""
    answer = to.request("POST", path, json=wanted.model_dump(mode="json", exclude_unset=True))
    return UUID(answer.json()["id"])


def artifacts_of(to: SyncPrefectClient, run: ServerObject, key: str) -> list[Artifact]:
    """The run's artifacts of that key."""
    of_run = ArtifactFilterFlowRunId(any_=[run.id])
    wanted = ArtifactFilter(flow_run_id=of_run, key=ArtifactFilterKey(any_=[key]))
    return to.read_artifacts(artifact_filter=wanted, limit=1)
