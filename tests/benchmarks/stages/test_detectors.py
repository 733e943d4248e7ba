"""Settings that are compared, and those that the documentation shows, are such as the stage takes."""

import re

import pytest
import yaml

from benchmarks.stages.detectors import BCCD, bccd_settings
from benchmarks.stages.training import ROOT, params
from stages.detector.params import FasterRcnnParams, FastRcnnParams, RCnnParams
from stages.train_detector.params import TrainDetectorParams

SHOWN = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/detector.md").read_text(), re.DOTALL)
OWNERS = {
    "backbone": FasterRcnnParams,
    "anchor_sizes": FasterRcnnParams,
    "anchor_ratios": FasterRcnnParams,
    "proposals": FastRcnnParams,
    "classifier": RCnnParams,
}


@pytest.mark.parametrize("model", BCCD["models"])
def test_settings_that_are_compared(model):
    settings = bccd_settings([model])[model]
    assert TrainDetectorParams.model_validate(params()["train-detector"] | settings).network.model == model


LINES = [line for block in SHOWN for line in block.splitlines()]


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_settings_that_the_documentation_shows(line):
    (key, value) = next(iter(yaml.safe_load(line.replace("...", "a" * 64)).items()))
    networks = [BCCD["models"][model] for model in BCCD["models"]]
    owner = OWNERS[key]
    name = owner.model_fields["model"].annotation.__args__[0]
    network = next(network for network in networks if network["model"] == name)
    section = params()["train-detector"] | {"network": network | {key: value}}
    assert getattr(TrainDetectorParams.model_validate(section).network, key)
