"""What a worker refuses, of deployments and runs worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, WorkPool
from prefect.client.schemas.responses import DeploymentResponse

from darkroom.service import registered
from darkroom.service.registered import Registered, refusal_of_run

ID = UUID(int=1)
STEPS = [{"prefect.deployments.steps.set_working_directory": {"directory": "/project"}}]
SHELL = [{"prefect.deployments.steps.run_shell_script": {"script": "touch owned"}}]


ROOT = Path("/project")


def deployment(**changed: Any) -> DeploymentResponse:
    values = {
        "id": ID,
        "name": "retrain",
        "flow_id": UUID(int=2),
        "entrypoint": "darkroom.deployments.retrain.retrain",
        "pull_steps": STEPS,
        "job_variables": {"env": {"A": "1"}},
        "work_pool_name": "p",
    }
    return DeploymentResponse.model_validate(values | changed)


def pool(**changed: Any) -> WorkPool:
    values = {"name": "p", "type": "process", "base_job_template": {}, "default_queue_id": UUID(int=3)}
    return WorkPool.model_validate(values | changed)


def run(**changed: Any) -> FlowRun:
    return FlowRun.model_validate({"flow_id": UUID(int=2), "deployment_id": ID, "name": "nightly"} | changed)


@pytest.fixture
def known(tmp_path: Path) -> Registered:
    registered.keep_registered(tmp_path, [deployment()], [pool()])
    assert (tmp_path / "registered.json").stat().st_mode & 0o777 == 0o600
    return registered.read_registered(tmp_path)


def test_what_was_registered_runs_with_any_parameters_and_at_any_time(known: Registered) -> None:
    assert refusal_of_run(run(), deployment(), pool(), known, ROOT) is None
    assert (
        refusal_of_run(run(parameters={"targets": ["evaluate"]}), deployment(), pool(), known, ROOT) is None
    )
    changed = deployment(parameters={"fetch": False}, paused=True, tags=["x"], description="d")
    assert refusal_of_run(run(), changed, pool(concurrency_limit=1, is_paused=True), known, ROOT) is None


def test_a_run_that_says_what_its_deployment_says_is_no_override(known: Registered) -> None:
    assert refusal_of_run(run(job_variables={"env": {"A": "1"}}), deployment(), pool(), known, ROOT) is None


@pytest.mark.parametrize(
    "variables",
    [{"command": "touch owned"}, {"env": {"A": "2"}}, {"env.PYTHONSTARTUP": "x"}, {"working_dir": "/tmp"}],
)
def test_job_variables_of_a_run_are_refused(known: Registered, variables: dict[str, Any]) -> None:
    said = refusal_of_run(run(job_variables=variables), deployment(), pool(), known, ROOT)
    assert said == f"it sets job variables of its own ({next(iter(variables))}); only prefect.yaml may"


@pytest.mark.parametrize(
    "changed",
    [
        {"entrypoint": "evil.py:steal"},
        {"pull_steps": SHELL + STEPS},
        {"pull_steps": None},
        {"path": "/tmp"},
        {"job_variables": {}},
        {"job_variables": {"env": {"A": "1"}, "command": "touch owned"}},
        {"storage_document_id": uuid4()},
        {"infrastructure_document_id": uuid4()},
        {"work_pool_name": "other"},
    ],
)
def test_what_decides_the_command_must_be_as_it_was(known: Registered, changed: dict[str, Any]) -> None:
    said = refusal_of_run(run(), deployment(**changed), pool(), known, ROOT)
    assert said == (
        "the deployment retrain was changed since `darkroom up`: workers refuse its runs;"
        " `darkroom up` registers it again"
    )


def test_another_deployment_is_refused_and_how_to_mend_it_is_said(known: Registered) -> None:
    other = deployment(id=UUID(int=9))
    said = refusal_of_run(run(deployment_id=other.id), other, pool(), known, ROOT)
    assert said is not None
    assert said.startswith(
        "the deployment retrain (darkroom.deployments.retrain.retrain) was not registered by"
    )
    assert f"prefect deployment delete --id {other.id}" in said
    said = refusal_of_run(run(deployment_id=None), None, pool(), known, ROOT)
    assert said is not None
    assert said.startswith("it is of no deployment")


@pytest.mark.parametrize(
    "changed", [{"base_job_template": {"job_configuration": {"command": "x"}}}, {"type": "d"}]
)
def test_another_template_of_the_pool_is_refused(known: Registered, changed: dict[str, Any]) -> None:
    said = refusal_of_run(run(), deployment(), pool(**changed), known, ROOT)
    assert said is not None
    assert said.startswith("the work pool p was changed since `darkroom up`: its worker refuses all runs")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"deployments": 1', '{"others": {}}'])
def test_without_the_file_nothing_runs(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "registered.json").write_text(content)
    assert refusal_of_run(run(), deployment(), pool(), registered.read_registered(tmp_path), ROOT) is not None


def test_a_flow_of_ours_under_its_old_name_is_refused_with_its_new_one(tmp_path: Path) -> None:
    old = deployment(entrypoint="flows.deployments.retrain.retrain")
    registered.keep_registered(tmp_path, [old], [pool()])
    known = registered.read_registered(tmp_path)
    assert refusal_of_run(run(), old, pool(), known, tmp_path) == (
        "the deployment retrain: the entrypoint flows.deployments.retrain.retrain is called"
        " darkroom.deployments.retrain.retrain now; write that in prefect.yaml,"
        " and `darkroom up` registers it again"
    )
    own = tmp_path / "flows" / "deployments" / "retrain.py"
    own.parent.mkdir(parents=True)
    own.touch()
    assert refusal_of_run(run(), old, pool(), known, tmp_path) is None
