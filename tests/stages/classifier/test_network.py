"""The classifier through its public doors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.classifier.network import Classifier, build_classifier, load_classifier, predict
from stages.classifier.trunks import GridMeans
from stages.core.errors import ModelError
from stages.core.params import ComputeParams
from stages.networks.compute import Compute, prepare, to_unit
from stages.networks.model_files import save_model

CONFIG: dict[str, Any] = {
    "classes": ["a", "b", "c"],
    "mean": [0.2, 0.4, 0.6],
    "std": [0.1, 0.2, 0.3],
    "size": [20, 12],
    "network": {"model": "compact", "widths": [[8], [12, 16]], "grid": 3, "features": 10},
    "views": 6,
}


@pytest.fixture
def compute() -> Compute:
    return prepare(ComputeParams(seed=0, threads=1, precision="float32", deterministic=True))


@pytest.fixture
def network(compute: Compute) -> Classifier:
    """In evaluation mode, with the normalisations' statistics moved off their start."""
    network = build_classifier(CONFIG)
    with torch.no_grad():
        network(torch.rand(32, 3, 20, 12))
    return compute.network(network.eval())


def pictures(count: int, height: int = 20, width: int = 12) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_shapes(network: Classifier) -> None:
    images = torch.rand(5, 3, 20, 12)
    assert network(images).shape == (5, 3)
    assert network.features(images).shape == (5, 10)
    assert network.feature_maps(images).shape == (5, 8, 10, 6)
    assert network.feature_maps(images, stages=2).shape == (5, 16, 5, 3)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (7, 31), (33, 16)])
def test_pictures_of_any_size(network: Classifier, height: int, width: int) -> None:
    assert network(torch.rand(2, 3, height, width)).shape == (2, 3)


def test_the_grid_is_adaptive_average_pooling() -> None:
    maps = torch.rand(2, 5, 7, 4)
    for size in (1, 2, 3, 4):
        assert torch.allclose(GridMeans(size)(maps), torch.nn.AdaptiveAvgPool2d(size)(maps), atol=1e-6)
    assert torch.equal(GridMeans(4)(maps[:, :, :4]), maps[:, :, :4])  # a cell a field: nothing is added


def test_logits_are_the_head_on_the_features_and_on_the_last_maps(network: Classifier) -> None:
    images = torch.rand(4, 3, 20, 12)
    assert torch.equal(network.head(network.features(images)), network(images))
    assert torch.equal(network.logits_of(network.feature_maps(images, stages=2)), network(images))


def test_normalisation_is_inside(network: Classifier) -> None:
    """Pictures of another mean and deviation, told so, give the same logits."""
    told = build_classifier(CONFIG | {"mean": [0.1, 0.2, 0.3], "std": [0.05, 0.1, 0.15]})
    told.load_state_dict(network.state_dict())
    images = torch.rand(4, 3, 20, 12)
    torch.testing.assert_close(told.eval()(images / 2), network(images))


def test_a_batch_of_two_is_two_batches_of_one(network: Classifier) -> None:
    first, second = images = torch.rand(2, 3, 20, 12)
    alone = torch.cat([network(first[None]), network(second[None])])
    torch.testing.assert_close(network(images), alone)


def test_a_model_file_gives_the_same_network(network: Classifier, compute: Compute, tmp_path: Path) -> None:
    save_model(tmp_path / "c.safetensors", network, kind="classifier", config=network.config)
    loaded = compute.network(load_classifier(tmp_path / "c.safetensors"))
    images = torch.rand(3, 3, 20, 12)
    assert torch.equal(loaded(images), network(images))
    assert loaded.config == CONFIG
    assert not loaded.training


def test_a_model_of_another_kind_is_refused(network: Classifier, tmp_path: Path) -> None:
    save_model(tmp_path / "c.safetensors", network, kind="detector", config=CONFIG)
    with pytest.raises(ModelError, match="holds a detector, a classifier was asked for"):
        load_classifier(tmp_path / "c.safetensors")


def test_predictions_are_probabilities_whatever_the_batch(network: Classifier, compute: Compute) -> None:
    images = pictures(7)
    probabilities = predict(network, images, compute=compute, batch_size=3)
    assert probabilities.shape == (7, 3)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(7))
    torch.testing.assert_close(probabilities, predict(network, images, compute=compute, batch_size=7))


def test_one_view_is_the_network_alone(network: Classifier, compute: Compute) -> None:
    images = pictures(4)
    with torch.inference_mode():
        expected = network(compute.images(to_unit(images))).softmax(dim=1).cpu()
    torch.testing.assert_close(predict(network, images, compute=compute, views=1), expected)


@pytest.mark.parametrize("views", [2, 6])
def test_with_mirrored_views_a_mirrored_picture_is_predicted_alike(
    network: Classifier, compute: Compute, views: int
) -> None:
    images = pictures(4, height=20, width=20)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    plain = predict(network, images, compute=compute, views=1)
    assert not torch.allclose(plain, predict(network, mirrored, compute=compute, views=1))
    if views == 2:
        torch.testing.assert_close(
            predict(network, images, compute=compute, views=views),
            predict(network, mirrored, compute=compute, views=views),
        )
    else:
        assert not torch.allclose(predict(network, images, compute=compute), plain)


def test_to_unit_scales_and_puts_channels_first() -> None:
    images = np.array([[[[0, 51], [102, 153]]]], dtype=np.uint8)  # 1 picture, 1 x 2 pixels, 2 channels
    torch.testing.assert_close(to_unit(images), torch.tensor([[[[0.0, 0.4]], [[0.2, 0.6]]]]))


def test_one_weight_that_is_not_finite_is_refused_when_it_is_asked(network: Classifier) -> None:
    compute = prepare(ComputeParams(seed=1, threads=1, precision="float32", deterministic=True))
    with torch.no_grad():
        network.head.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="logits are not finite for 3 of 3 pictures, first for number 0"):
        predict(network, np.zeros((3, 20, 12, 3), dtype=np.uint8), compute=compute)
