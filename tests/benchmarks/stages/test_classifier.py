"""Settings that are compared, and those that the documentation shows, are such as the stage takes."""

import re
from typing import Any

import pytest
import yaml

from benchmarks.stages.classifier import SETTINGS
from benchmarks.stages.training import ROOT, params, spread
from stages.train_classifier.params import TrainClassifierParams

PARAMS: dict[str, Any] = params()["train-classifier"]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/classifier.md").read_text(), re.DOTALL)
NETWORKS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("network:")]


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_compared(name: str) -> None:
    TrainClassifierParams.model_validate(PARAMS | SETTINGS[name])


@pytest.mark.parametrize("line", NETWORKS)
def test_networks_in_the_documentation(line: str) -> None:
    TrainClassifierParams.model_validate(PARAMS | yaml.safe_load(line))


def test_augmentations_in_the_documentation() -> None:
    (block,) = [block for block in BLOCKS if block.startswith("augmentations:")]
    settings = TrainClassifierParams.model_validate(PARAMS | yaml.safe_load(block))
    assert len(settings.augmentations) == 2


def test_spread_by_hand() -> None:
    assert spread([1.0, 2.0, 4.5], ".1f") == "2.5 (1.0 to 4.5)"
    assert spread([3, 3], ",.0f") == "3"
