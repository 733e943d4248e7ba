from hashlib import sha256

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from stages.core.errors import DataError, ModelError
from stages.core.packed import DetectionSplit
from stages.core.params import WeightsParams
from stages.detector.network import build_detector
from stages.detector.params import network_params
from stages.networks.model_files import save_model
from stages.train_detector.start import clusters, detector_config, load_weights, set_training
from tests.stages.detector.detector_networks import FASTER, NETWORKS

RESNET = FASTER | {"backbone": {"model": "resnet", "depth": 18, "stages": 2}}


def split_of(boxes):
    return DetectionSplit(
        images=np.zeros((1, 32, 32, 1), np.uint8),
        boxes=[np.array(boxes, np.float32).reshape(-1, 4)],
        labels=[np.zeros(len(boxes), np.int64)],
        classes=["cat", "dog"],
    )


def fresh(network, classes=2):
    return build_detector({"classes": ["x"] * classes, "channels": 1, "network": network})


def named(path):
    return WeightsParams(file=str(path), sha256=sha256(path.read_bytes()).hexdigest())


def test_clusters_are_found_where_the_values_are():
    values = np.concatenate([centre * np.array([0.95, 1, 1 / 0.95]) for centre in (8, 30, 90)])
    assert clusters(values, 3) == pytest.approx([8, 30, 90])


def test_fewer_values_than_clusters():
    assert clusters(np.array([10.0, 10.0]), 3) == [10.0]


def test_anchors_are_fitted_to_the_boxes():
    boxes = [[0, 0, 10, 10], [0, 0, 20, 5], [0, 0, 30, 30], [0, 0, 60, 15]]
    params = network_params(FASTER | {"anchor_sizes": {"fitted": 2}, "anchor_ratios": {"fitted": 2}})
    network = detector_config(params, split_of(boxes))["network"]
    assert network["anchor_sizes"] == [10.0, 30.0]
    assert network["anchor_ratios"] == [0.25, 1.0]


def test_no_box_to_fit_to():
    with pytest.raises(DataError, match="no training picture has a box to fit anchors to"):
        detector_config(network_params(FASTER | {"anchor_sizes": {"fitted": 2}}), split_of([]))


@pytest.mark.parametrize("model", NETWORKS)
def test_weights_of_a_detector_of_other_classes(model, tmp_path):
    network = NETWORKS[model]
    before, after = fresh(network, classes=5), fresh(network)
    save_model(tmp_path / "m.safetensors", before, kind="detector", config={})
    load_weights(after, network_params(network), named(tmp_path / "m.safetensors"))
    shared = [
        name for name, weight in after.state_dict().items() if torch.equal(weight, before.state_dict()[name])
    ]
    others = set(after.state_dict()) - set(shared)
    assert all("predictor" in name or "classification_head" in name for name in others)
    assert others


@pytest.mark.slow
def test_weights_of_torchvisions_resnet(tmp_path):
    torch.manual_seed(0)
    pretrained, path = resnet18(), tmp_path / "r.pth"
    torch.save(pretrained.state_dict(), path)
    network = fresh(RESNET)
    load_weights(network, network_params(RESNET), named(path))
    assert torch.equal(network.backbone.stages[1][0].conv1.weight, pretrained.layer2[0].conv1.weight)
    grey = pretrained.conv1.weight.sum(dim=1, keepdim=True)
    torch.testing.assert_close(network.backbone.stem[0].weight, grey)


def test_weights_of_another_network_are_refused(tmp_path):
    save_model(tmp_path / "m.safetensors", fresh(NETWORKS["ssd"]), kind="detector", config={})
    with pytest.raises(ModelError, match="of another network: lacks"):
        load_weights(fresh(FASTER), network_params(FASTER), named(tmp_path / "m.safetensors"))
    wide = FASTER | {"roi_hidden": 8}
    save_model(tmp_path / "w.safetensors", fresh(wide), kind="detector", config={})
    with pytest.raises(ModelError, match=r"box_head\.items\.0\.weight is \[8, 144\], where this one has"):
        load_weights(fresh(FASTER), network_params(FASTER), named(tmp_path / "w.safetensors"))


def test_frozen_normalisations_stay_what_they_are():
    network = fresh(FASTER)
    set_training(network, 2)
    assert not network.backbone.stem.training
    assert not network.backbone.stages[0].training
    assert network.backbone.stages[1].training
    assert not any(weight.requires_grad for weight in network.backbone.stem.parameters())
