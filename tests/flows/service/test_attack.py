"""Who got something into the server's database gets no command executed by it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.workers.process import ProcessWorker

from flows import server
from tests.flows.service.pages_process import pages_process
from tests.flows.service.project import Project, make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LONG = 240  # seconds: for what takes a few on a machine with nothing else to do
TICK = "tick/tick"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """What was planted in it is there before the first `darkroom up`."""
    project = make_project(tmp_path_factory.mktemp("attacked"))
    try:
        yield project
    finally:
        project.down()


def owned(project: Project) -> Path:
    """Made by the attacker's commands alone."""
    return project.root.parent / "owned"


def shell_step(project: Project) -> list[dict[str, Any]]:
    stay = {"prefect.deployments.steps.set_working_directory": {"directory": str(project.root)}}
    return [
        {"prefect.deployments.steps.run_shell_script": {"script": f"touch {owned(project)}"}},
        stay,
    ]


def evil_template(project: Project) -> dict[str, Any]:
    template = ProcessWorker.get_default_base_job_template()
    template["job_configuration"]["command"] = f"touch {owned(project)}"
    return template


def as_a_page_would(url: str, path: str, body: dict[str, Any]) -> int:
    """A request with another page's origin and without credentials; the answer's code."""
    headers = {"Content-Type": "text/plain", "Origin": "http://evil.example"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def ended(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    end = time.monotonic() + LONG
    over = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)
    while (seen := client.read_flow_run(run.id)).state_type not in over and time.monotonic() < end:
        time.sleep(0.5)
    return seen


def assert_refused(client: SyncPrefectClient, run: FlowRun, why: str) -> None:
    seen = ended(client, run)
    assert seen.state is not None
    assert (seen.state.type, str(seen.state.message)[:9]) == (StateType.FAILED, "refused: ")
    assert why in str(seen.state.message)
    assert "\n" not in str(seen.state.message)


def assert_done(client: SyncPrefectClient, run: FlowRun) -> None:
    assert ended(client, run).state_type is StateType.COMPLETED


def plant(client: SyncPrefectClient, project: Project) -> list[FlowRun]:
    """All of it before `up`: a pool by the name of the project's, a deployment, one by the project's name."""
    client.create_work_pool(
        WorkPoolCreate(name="small", type="process", base_job_template=evil_template(project))
    )
    runs = []
    for flow, name in (("steal", "evil"), ("tick", "tick"), ("steal", "tick")):
        deployment = client.create_deployment(
            client.create_flow_from_name(flow),
            name,
            entrypoint="ticking.py:tick",
            path=str(project.root),
            work_pool_name="small",
            pull_steps=shell_step(project),
            job_variables={"command": f"touch {owned(project)}"},
        )
        if flow == "steal":
            runs.append(client.create_flow_run_from_deployment(deployment))
    return runs


def test_a_page_changes_nothing_and_what_was_planted_is_never_executed(project: Project) -> None:
    with pages_process(project.root) as pages:
        some_id = str(UUID(int=0))
        assert as_a_page_would(pages.url, "/work_pools/", {"name": "small", "type": "process"}) == 403
        assert as_a_page_would(pages.url, "/flows/", {"name": "steal"}) == 403
        evil = {"name": "evil", "flow_id": some_id, "work_pool_name": "small"}
        assert as_a_page_would(pages.url, "/deployments/", evil) == 403
        assert as_a_page_would(pages.url, f"/deployments/{some_id}/create_flow_run", {}) == 403
        with server.client_of(project.prefect, pages.url), get_client(sync_client=True) as client:
            assert (client.read_flows(), client.read_work_pools(), client.read_deployments()) == ([], [], [])
            planted = plant(client, project)

    said = project.up()
    assert "the work pool small had another template of jobs" in said
    with project.client() as client:
        for run in planted:
            assert_refused(client, run, "was not registered by `darkroom up`")
        tick = client.read_deployment_by_name(TICK)
        assert tick.job_variables == {}
        assert (
            ended(client, client.create_flow_run_from_deployment(tick.id)).state_type is StateType.COMPLETED
        )
    assert not owned(project).exists()
    code, found = project.status()
    assert code == 1
    for name in ("evil", "tick"):
        assert any(
            line.startswith(f"the deployment {name} (ticking.py:tick) was not registered by `darkroom up`")
            for line in found["stuck"]
        )


def test_runs_changes_and_templates_that_up_did_not_register_are_refused(project: Project) -> None:
    project.up()
    with project.client() as client:
        for name in ("steal/evil", "steal/tick"):
            client.delete_deployment(client.read_deployment_by_name(name).id)
        tick = client.read_deployment_by_name(TICK).id
        assert project.status()[0] == 0

        for variables in ({"command": f"touch {owned(project)}"}, {"env": {"PYTHONSTARTUP": "evil.py"}}):
            run = client.create_flow_run_from_deployment(tick, job_variables=variables)
            assert_refused(client, run, "it sets job variables of its own")

        client.update_deployment(tick, DeploymentUpdate(pull_steps=shell_step(project)))
        assert_refused(
            client, client.create_flow_run_from_deployment(tick), "was changed since `darkroom up`"
        )
        (line,) = project.status()[1]["stuck"]
        assert line.startswith("the deployment tick was changed since `darkroom up`")
        project.up()

        client.update_work_pool("small", WorkPoolUpdate(base_job_template=evil_template(project)))
        assert_refused(
            client, client.create_flow_run_from_deployment(tick), "the work pool small was changed"
        )
        (line,) = project.status()[1]["stuck"]
        assert line.startswith("the work pool small was changed since `darkroom up`")
        project.up()

        assert project.status()[0] == 0
        assert_done(client, client.create_flow_run_from_deployment(tick))
    assert not owned(project).exists()
