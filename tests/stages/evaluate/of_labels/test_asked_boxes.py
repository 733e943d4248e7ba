"""Boxes that a detector is given."""

from typing import Any

import numpy as np
import pytest

from stages.core.params import ComputeParams
from stages.detector.network import build_detector
from stages.evaluate.of_labels.asked_boxes import class_probabilities
from stages.networks.compute import prepare
from tests.stages.detector.detector_networks import NETWORKS, SSD
from tests.stages.param_files import COMPUTE


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_boxes_that_are_given_are_told_apart_by_heads_alone(network: dict[str, Any]) -> None:
    compute = prepare(ComputeParams(**COMPUTE))
    config = {"classes": ["cat", "dog", "bird"], "channels": 1, "network": network}
    detector = build_detector(config)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), dtype=np.uint8)
    box = np.array([[4, 4, 20, 30]], np.float32)
    asked = [np.zeros((0, 4), np.float32), box, np.vstack([box, box + 20])]
    found = class_probabilities(detector, images, asked, compute, batch_size=1)
    if network is SSD:
        assert found is None
        return
    assert found is not None
    assert [one.shape for one in found] == [(0, 4), (1, 4), (2, 4)]  # nothing, and three classes
    np.testing.assert_allclose(np.concatenate(found).sum(axis=1), 1, rtol=1e-5)
    together = class_probabilities(detector, images, asked, compute, batch_size=3)
    assert together is not None
    for one, other in zip(found, together, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)
