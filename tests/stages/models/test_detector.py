import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from stages.checkpoints import save_model
from stages.compute import prepare
from stages.datasets import to_unit
from stages.errors import ModelError
from stages.models.detector import (
    DetectorParams,
    SeparableRoIAlign,
    build_detector,
    detect,
    load_detector,
    to_targets,
)
from stages.params import ComputeParams

CONFIG = {
    "classes": ["cat", "dog", "bird"],
    "channels": 1,
    "network": {
        "widths": [8, 12, 16, 16],
        "features": 16,
        "anchor_sizes": [12.0, 24.0],
        "anchor_ratios": [1.0],
        "proposals_train": 20,
        "proposals_test": 20,
        "rpn_batch": 32,
        "roi_batch": 16,
        "roi_positive": 0.5,
        "roi_size": 5,
        "roi_width": 16,
        "roi_hidden": 32,
        "score_min": 0.0,
        "overlap_max": 0.5,
        "detections_max": 10,
    },
}


@pytest.fixture
def compute():
    return prepare(ComputeParams(seed=1, threads=1, precision="float32", deterministic=True))


@pytest.fixture
def network(compute):
    return compute.network(build_detector(CONFIG))


def pictures(number, size=64, channels=1):
    return np.random.default_rng(1).integers(0, 256, (number, size, size, channels), dtype=np.uint8)


def empty_targets(number, compute):
    nothing = (np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.int64))
    return to_targets([nothing[0]] * number, [nothing[1]] * number, compute)


@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
def test_pooling_is_torchvisions(size):
    torch.manual_seed(1)
    maps = torch.randn(2, 5, size[0] // 4, size[1] // 4).contiguous(memory_format=torch.channels_last)
    corners = [torch.rand(count, 2) * 30 for count in (7, 3)]
    boxes = [torch.cat([corner, corner + 5 + torch.rand_like(corner) * 29], dim=1) for corner in corners]
    pooled = SeparableRoIAlign(5)({"fine": maps}, boxes, None)
    expected = roi_align(maps, boxes, 5, spatial_scale=1 / 4, sampling_ratio=2, aligned=False)
    torch.testing.assert_close(pooled, expected)


def test_pooling_of_no_boxes():
    maps = torch.randn(2, 5, 16, 16)
    assert SeparableRoIAlign(5)({"fine": maps}, [torch.zeros(0, 4)] * 2, None).shape == (0, 5, 5, 5)


def test_a_batch_of_two_equals_two_batches_of_one(network, compute):
    together, apart = (detect(network, pictures(2), compute, batch_size) for batch_size in (2, 1))
    for (boxes, labels, scores), (other_boxes, other_labels, other_scores) in zip(
        together, apart, strict=True
    ):
        np.testing.assert_allclose(boxes, other_boxes, atol=1e-3)
        assert np.array_equal(labels, other_labels)
        np.testing.assert_allclose(scores, other_scores, atol=1e-5)


def test_detections_are_well_formed(network, compute):
    found = detect(network, pictures(3), compute, 2)
    assert len(found) == 3
    for boxes, labels, scores in found:
        assert len(boxes) == len(labels) == len(scores) == 10
        assert (boxes.dtype, labels.dtype, scores.dtype) == (np.float32, np.int64, np.float32)
        assert np.all(boxes >= 0)
        assert np.all(boxes <= 64)
        assert np.all(boxes[:, 2:] > boxes[:, :2])
        assert set(labels) <= {0, 1, 2}
        assert np.all(np.diff(scores) <= 0)


def test_empty_targets_train(network, compute):
    network.train()
    losses = network(list(compute.images(to_unit(pictures(2)))), empty_targets(2, compute))
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == 0
    torch.stack(list(losses.values())).sum().backward()
    assert all(torch.isfinite(w.grad).all() for w in network.parameters() if w.grad is not None)


def test_color_pictures_of_odd_sizes(compute):
    network = compute.network(build_detector(CONFIG | {"channels": 3}))
    found = detect(network, pictures(1, size=70, channels=3), compute, 1)
    assert np.all(found[0][0] <= 70)


def test_no_pictures(network, compute):
    assert detect(network, pictures(0), compute, 4) == []


def test_saved_and_loaded_it_finds_the_same(network, compute, tmp_path):
    save_model(tmp_path / "detector.safetensors", network, kind="detector", config=CONFIG)
    loaded = compute.network(load_detector(tmp_path / "detector.safetensors"))
    for ours, theirs in zip(
        detect(network, pictures(2), compute, 2), detect(loaded, pictures(2), compute, 2), strict=True
    ):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_another_kind_of_model_is_refused(tmp_path):
    save_model(tmp_path / "m.safetensors", torch.nn.Linear(1, 1), kind="classifier", config={})
    with pytest.raises(ModelError, match="holds a classifier, a detector was asked for"):
        load_detector(tmp_path / "m.safetensors")


def test_three_widths_make_a_shallower_network():
    deep = build_detector(CONFIG)
    shallow = build_detector(CONFIG | {"network": CONFIG["network"] | {"widths": [8, 12, 16]}})
    assert sum(w.numel() for w in shallow.parameters()) < sum(w.numel() for w in deep.parameters())
    assert DetectorParams.model_validate(CONFIG["network"]).widths == [8, 12, 16, 16]
