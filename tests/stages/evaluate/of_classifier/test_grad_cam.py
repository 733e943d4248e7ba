"""Grad-CAM on networks whose answer is known."""

from typing import Any

import numpy as np
import pytest
import torch

from stages.classifier.network import Classifier, build_classifier
from stages.core.params import ComputeParams
from stages.evaluate.of_classifier.grad_cam import grad_cam, overlaid
from stages.evaluate.size import network_size
from stages.networks.compute import prepare

COMPUTE = ComputeParams(seed=0, threads=1, precision="float32", deterministic=True)


def network_that_sees() -> Classifier:
    """The first class looks at what is bright, the second at what is dark, in maps of half the size."""
    config: dict[str, Any] = {
        "classes": ["a", "b"],
        "mean": [0.0],
        "std": [1.0],
        "size": [16, 16],
        "views": 1,
    }
    network = {"model": "simple-cnn", "widths": [2], "dense": 2, "dropout": 0.0}
    built = build_classifier(config | {"size": [16, 16], "network": network}).eval()
    with torch.no_grad():
        for weight in built.parameters():
            weight.zero_()
        built.stages[0][0].weight[:, 0, 1, 1] = torch.tensor([1.0, -1.0])
        built.stages[0][0].bias[1] = 1.0  # the second map is the negative
        for unit in range(2):
            built.features_of[1].weight[unit, unit * 64 : (unit + 1) * 64] = 1.0
            built.head.weight[unit, unit] = 1.0
    return built


@pytest.mark.parametrize("target", [0, 1])
def test_the_heat_is_where_the_class_is_seen(target: int) -> None:
    compute = prepare(COMPUTE)
    image = np.zeros((1, 16, 16, 1), dtype=np.uint8)
    image[:, 4:8, 8:12] = 255
    (heat,) = grad_cam(
        compute.network(network_that_sees()), image, np.array([target]), compute=compute, batch_size=4
    )
    assert heat.shape == (16, 16)
    assert heat.min() == 0
    assert heat.max() == 1
    assert heat[5:7, 9:11].mean() == pytest.approx(1 - target, abs=0.01)
    assert heat[12:, :4].mean() == pytest.approx(target, abs=0.01)


def test_heat_lies_over_the_picture_in_grey() -> None:
    picture = np.full((1, 2, 3), [0, 90, 180], dtype=np.uint8)
    drawn = overlaid(picture, np.array([[0.0, 1.0]], dtype=np.float32))
    assert drawn.tolist() == [[[90, 90, 90], [182, 93, 22]]]  # a quarter of 90, three of 213, 94, 0


def test_size_by_hand() -> None:
    """16 x 16 pixels: a convolution 1-2 of 3 x 3, 128 -> 2, 2 -> 2; a multiply-add counts as two."""
    size = network_size(network_that_sees(), (16, 16))
    assert size.parameters == 2 * 9 + 2 + 128 * 2 + 2 + 4 + 2
    assert size.megabytes == pytest.approx(4e-6 * size.parameters)
    assert size.megaflops == pytest.approx(2e-6 * (16 * 16 * 9 * 2 + 128 * 2 + 4))
