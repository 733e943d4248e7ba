"""Scheduled flow runs are named after what they do."""

import inspect
from typing import Any

import pytest

from darkroom.deployments import retrain, retrain_on_data, score, sweep


@pytest.mark.parametrize(
    ("flow", "given", "name"),
    [
        (retrain.retrain, {}, "retrain to darkroom/retrain"),
        (
            retrain_on_data.retrain_on_data,
            {"imports": ["a.dvc"]},
            "look for new data, retrain to darkroom/retrain",
        ),
        (score.score, {"inbox": "data/inbox", "out": "data/scored"}, "score data/inbox"),
        (sweep.sweep, {"params": ["a=1,2"], "metric": "m.json:loss"}, "sweep: m.json:loss"),
    ],
)
def test_a_flow_run_says_what_it_does(flow: Any, given: dict[str, Any], name: str) -> None:
    call = inspect.signature(flow.fn).bind(**given)
    call.apply_defaults()  # as Prefect does
    assert flow.flow_run_name.format(**call.arguments) == name
