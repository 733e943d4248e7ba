"""The last result of each deployment, as a real server knows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Cancelled, Completed, Crashed, Failed

from darkroom.service.flow_runs import last_ended
from darkroom.service.status import bad_ends

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_server")]


def test_the_last_run_of_each_deployment_decides_and_a_bad_one_says_why(tmp_path: Path) -> None:
    reason = "darkroom run: exit code 1\nerror: train: d.csv: no such file\n1 stage failed"
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="p", type="process"))
        flow = client.create_flow_from_name("any")
        ends = {
            "mended": [Failed(message=reason), Completed()],
            "failed": [Completed(), Failed(message=reason), Cancelled()],
            "crashed": [Crashed(message="no sign of life")],
            "new": [],
        }
        names = {client.create_deployment(flow, name, work_pool_name="p"): name for name in ends}
        for deployment, name in names.items():
            for state in ends[name]:
                run = client.create_flow_run_from_deployment(deployment)
                client.set_flow_run_state(run.id, state, force=True)
        found = last_ended(client, names)
    assert [(names[run.deployment_id], run.state_name) for run in found if run.deployment_id] == [
        ("mended", "Completed"),
        ("failed", "Failed"),
        ("crashed", "Crashed"),
    ]
    failed, crashed = bad_ends(found, names, tmp_path)
    log = tmp_path / "worker-p.log"
    assert failed == f"failed: {found[1].name}: failed: error: train: d.csv: no such file; see {log}"
    assert crashed == f"crashed: {found[2].name}: crashed: no sign of life; see {log}"
