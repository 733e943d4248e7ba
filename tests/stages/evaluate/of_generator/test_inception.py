"""Inception's features by weights from a file: here random ones, in the form of torchvision's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stages.core.errors import ModelError
from stages.core.params import ComputeParams, WeightsParams
from stages.evaluate.of_generator.inception import inception_features, load_inception
from stages.networks.compute import Compute, prepare
from tests.stages.evaluate.of_generator.inception_weights import named, random_weights


@pytest.fixture(scope="module")
def compute() -> Compute:
    return prepare(ComputeParams(seed=0, threads=1, precision="float32", deterministic=True))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> WeightsParams:
    return random_weights(tmp_path_factory.mktemp("inception"))


@pytest.mark.slow
def test_features_are_the_pooled_ones_of_grey_as_of_colour(weights: WeightsParams, compute: Compute) -> None:
    network = load_inception(weights)
    grey = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)
    features = inception_features(network, grey, compute, batch_size=2)
    assert features.shape == (3, 2048)
    assert features.dtype == np.float32
    assert not np.allclose(features[0], features[1])
    colour = inception_features(network, grey[:1].repeat(3, axis=3), compute, batch_size=1)
    np.testing.assert_allclose(colour, features[:1], rtol=1e-3, atol=1e-4)
    assert not any(weight.requires_grad for weight in network.parameters())


@pytest.mark.slow
def test_weights_of_another_hash_or_network_or_none_at_all_are_refused(
    weights: WeightsParams, tmp_path: Path
) -> None:
    save_file({"conv1.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    other = weights.model_copy(update={"sha256": "0" * 64})
    refused = {
        f"its sha256 is {weights.sha256}, params.yaml asks for 0000": other,
        "other.safetensors: not of torchvision's inception_v3": named(tmp_path / "other.safetensors"),
        "No such file or directory; params.yaml names it": WeightsParams(file="absent.pth", sha256="0" * 64),
    }
    for said, params in refused.items():
        with pytest.raises(ModelError) as error:
            load_inception(params)
        assert said in str(error.value)
        assert "\n" not in str(error.value)
