"""Who got something into the server's database gets no command executed by it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.workers.process import ProcessWorker

from darkroom.server.clients import client_of
from tests.darkroom.server.processes.pages_process import pages_process
from tests.darkroom.service.project import Project, make_project
from tests.leftovers import shared_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LONG = 240  # seconds: for what takes a few on a machine with nothing else to do
TICK = "tick/tick"


@dataclass(frozen=True, slots=True)
class Attacked:
    """A project that is up, what was planted in it before, what pages were answered and what `up` said."""

    project: Project
    planted: list[UUID]
    codes: set[int]
    said: str


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """First by a page, in vain; then by who has got the string. Only after that `darkroom up` is given."""
    project = make_project(tmp_path_factory.mktemp("attacked"))
    with pages_process(project.root, environ=shared_environment()) as pages:
        some_id = str(UUID(int=0))
        evil = {"name": "evil", "flow_id": some_id, "work_pool_name": "small"}
        codes = {
            as_a_page_would(pages.url, "/work_pools/", {"name": "small", "type": "process"}),
            as_a_page_would(pages.url, "/flows/", {"name": "steal"}),
            as_a_page_would(pages.url, "/deployments/", evil),
            as_a_page_would(pages.url, f"/deployments/{some_id}/create_flow_run", {}),
        }
        with client_of(project.prefect, pages.url), get_client(sync_client=True) as client:
            found = (client.read_flows(), client.read_work_pools(), client.read_deployments())
            assert found == ([], [], [])
            planted = plant(client, project)
    try:
        yield Attacked(project, planted, codes, project.up())
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


def ended(client: SyncPrefectClient, run: UUID) -> FlowRun:
    end = time.monotonic() + LONG
    over = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)
    while (seen := client.read_flow_run(run)).state_type not in over and time.monotonic() < end:
        time.sleep(0.5)
    return seen


def assert_refused(client: SyncPrefectClient, run: UUID, why: str) -> None:
    seen = ended(client, run)
    assert seen.state is not None
    assert (seen.state.type, str(seen.state.message)[:9]) == (StateType.FAILED, "refused: ")
    assert why in str(seen.state.message)
    assert "\n" not in str(seen.state.message)


def assert_done(client: SyncPrefectClient, run: UUID) -> None:
    assert ended(client, run).state_type is StateType.COMPLETED


def plant(client: SyncPrefectClient, project: Project) -> list[UUID]:
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
            runs.append(client.create_flow_run_from_deployment(deployment).id)
    return runs


def wrong(project: Project) -> list[str]:
    """What `status` says of deployments and pools, but for the planted ones."""
    code, found = project.status()
    assert code == 1  # these are there all the time
    told = (line for line in found["stuck"] if "was not registered by" not in line)
    return [line for line in told if line.startswith(("the deployment ", "the work pool "))]


def test_a_page_changes_nothing_and_what_was_planted_is_never_executed(attacked: Attacked) -> None:
    project = attacked.project
    assert attacked.codes == {403}
    assert "the work pool small had another template of jobs" in attacked.said
    with project.client() as client:
        for run in attacked.planted:
            assert_refused(client, run, "was not registered by `darkroom up`")
    assert not owned(project).exists()
    _, found = project.status()
    for name in ("evil", "tick"):
        assert any(
            line.startswith(f"the deployment {name} (ticking.py:tick) was not registered by `darkroom up`")
            for line in found["stuck"]
        )


def test_what_up_registers_is_free_of_what_was_planted_under_its_name(attacked: Attacked) -> None:
    with attacked.project.client() as client:
        tick = client.read_deployment_by_name(TICK)
        assert tick.job_variables == {}
        assert_done(client, client.create_flow_run_from_deployment(tick.id).id)
    assert not owned(attacked.project).exists()


def test_job_variables_of_a_run_are_refused(attacked: Attacked) -> None:
    with attacked.project.client() as client:
        tick = client.read_deployment_by_name(TICK).id
        commands = {"command": f"touch {owned(attacked.project)}"}
        for variables in (commands, {"env": {"PYTHONSTARTUP": "evil.py"}}):
            run = client.create_flow_run_from_deployment(tick, job_variables=variables)
            assert_refused(client, run.id, "it sets job variables of its own")
    assert not owned(attacked.project).exists()


def test_a_deployment_that_was_changed_is_refused_until_up(attacked: Attacked) -> None:
    project = attacked.project
    with project.client() as client:
        tick = client.read_deployment_by_name(TICK).id
        client.update_deployment(tick, DeploymentUpdate(pull_steps=shell_step(project)))
        said = "the deployment tick was changed since `darkroom up`"
        assert_refused(client, client.create_flow_run_from_deployment(tick).id, said)
        (line,) = wrong(project)
        assert line.startswith(said)
        project.up()
        assert wrong(project) == []
        assert_done(client, client.create_flow_run_from_deployment(tick).id)
    assert not owned(project).exists()


def test_a_work_pool_that_was_changed_is_refused_until_up(attacked: Attacked) -> None:
    project = attacked.project
    with project.client() as client:
        tick = client.read_deployment_by_name(TICK).id
        client.update_work_pool("small", WorkPoolUpdate(base_job_template=evil_template(project)))
        said = "the work pool small was changed since `darkroom up`"
        assert_refused(client, client.create_flow_run_from_deployment(tick).id, said)
        (line,) = wrong(project)
        assert line.startswith(said)
        project.up()
        assert wrong(project) == []
        assert_done(client, client.create_flow_run_from_deployment(tick).id)
    assert not owned(project).exists()
