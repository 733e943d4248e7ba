"""The templates of Prefect's work pools, by the schemas of Prefect's own workers; no cluster is asked."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tests.places import ROOT

FOLDER = ROOT / "deploy" / "work_pools"
NAMES = ("docker", "ecs", "kubernetes")
VALUES = {
    "image": "registry.example/vision:1",
    "cluster": "gpus",
    "env": {"A": "b"},
    "command": "prefect flow-run",
}

pytestmark = pytest.mark.slow  # Prefect's workers take seconds to import


def template(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def configuration(name: str, **values: Any) -> Any:
    """What Prefect's worker makes of the template and a deployment's values; it asks no server."""
    match name:
        case "docker":
            from prefect_docker.worker import DockerWorkerJobConfiguration as Configuration
        case "ecs":
            from prefect_aws.workers.ecs_worker import ECSJobConfiguration as Configuration
        case _:
            from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration as Configuration
    from prefect.utilities.templating import apply_values

    read = template(name)
    known = {key: one["default"] for key, one in read["variables"]["properties"].items() if "default" in one}
    return Configuration(**apply_values(read["job_configuration"], {**known, **VALUES, **values}))


def test_each_template_is_here() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_variables_are_a_schema_whose_defaults_fit(name: str) -> None:
    variables = template(name)["variables"]
    jsonschema.Draft202012Validator.check_schema(variables)
    for key, one in variables["properties"].items():
        assert one["description"].endswith("."), key
        if "default" in one:
            jsonschema.validate(one["default"], one)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_used_is_a_variable_and_each_is_used(name: str) -> None:
    used = {
        part.partition(" }}")[0] for part in json.dumps(template(name)["job_configuration"]).split("{{ ")[1:]
    }
    assert used - {"task_definition_arn"} == set(template(name)["variables"]["properties"])


def test_kubernetes() -> None:
    made = configuration("kubernetes", gpu=2, memory="32Gi")
    (container,) = made.job_manifest["spec"]["template"]["spec"]["containers"]
    assert container["image"] == VALUES["image"]
    assert container["resources"]["limits"] == {"memory": "32Gi", "nvidia.com/gpu": 2}
    assert made.env["A"] == "b"


def test_docker() -> None:
    made = configuration("docker", gpu=1, volumes=["/shared:/shared"])
    assert (made.image, made.mem_limit, made.volumes) == (VALUES["image"], "16g", ["/shared:/shared"])
    assert made.container_create_kwargs["device_requests"][0]["Count"] == 1


def test_ecs() -> None:
    made = configuration("ecs", gpu="2")
    (container,) = made.task_definition["containerDefinitions"]
    assert container["resourceRequirements"] == [{"type": "GPU", "value": "2"}]
    assert made.task_run_request["launchType"] == "EC2"
    assert made.cluster == "gpus"
