import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from stages.core.errors import ModelError, ParamsError
from stages.core.params import ComputeParams
from stages.detector.network import build_detector, detect, load_detector, to_targets
from stages.detector.roi_heads import SeparableRoIAlign
from stages.evaluate.size import detector_size
from stages.networks.compute import prepare, to_unit
from stages.networks.model_files import save_model
from tests.stages.detector.detector_networks import FASTER, NETWORKS

CONFIG = {
    "classes": ["cat", "dog", "bird"],
    "channels": 1,
    "network": FASTER
    | {"backbone": {"model": "residual", "widths": [8, 12, 16, 16], "blocks": [1, 2, 1]}, "rpn_stride": 16},
}
LOSSES = {
    "faster-rcnn": {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"},
    "fast-rcnn": {"loss_classifier", "loss_box_reg"},
    "r-cnn": {"loss_classifier", "loss_box_reg"},
    "ssd": {"classification", "bbox_regression"},
}


def config_of(model, channels=1):
    """Every score is kept, so that an untrained network finds something."""
    return CONFIG | {"channels": channels, "network": NETWORKS[model] | {"score_min": 0.0}}


@pytest.fixture(params=NETWORKS)
def model(request):
    return request.param


@pytest.fixture
def compute():
    return prepare(ComputeParams(seed=1, threads=1, precision="float32", deterministic=True))


@pytest.fixture
def network(compute, model):
    return compute.network(build_detector(config_of(model)))


def test_cost_is_that_of_the_proposals_which_are_given(compute):
    network = compute.network(build_detector(config_of("fast-rcnn")))
    boxes = np.array([[4, 4, 20, 20]] * 5, dtype=np.float32)
    one, three, five = (
        detector_size(network, pictures(1)[0], compute, boxes[:count]).megaflops for count in (1, 3, 5)
    )
    assert 0 < three - one == pytest.approx(five - three)


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
    pooled = SeparableRoIAlign(5)({"4": maps}, boxes, None)
    expected = roi_align(maps, boxes, 5, spatial_scale=1 / 4, sampling_ratio=2, aligned=False)
    torch.testing.assert_close(pooled, expected)


def test_pooling_of_no_boxes():
    maps = torch.randn(2, 5, 16, 16)
    assert SeparableRoIAlign(5)({"4": maps}, [torch.zeros(0, 4)] * 2, None).shape == (0, 5, 5, 5)


def test_a_batch_of_two_equals_two_batches_of_one(network, compute):
    together, apart = (detect(network, pictures(2), compute, batch_size) for batch_size in (2, 1))
    for (boxes, labels, scores), (other_boxes, other_labels, other_scores) in zip(
        together, apart, strict=True
    ):
        np.testing.assert_allclose(boxes, other_boxes, atol=1e-3)
        assert np.array_equal(labels, other_labels)
        atol = 1e-4 if compute.device.type == "cuda" else 1e-5  # its kernels differ with the batch
        np.testing.assert_allclose(scores, other_scores, atol=atol)


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


def test_empty_targets_train(network, compute, model):
    network.train()
    losses = network(list(compute.images(to_unit(pictures(2)))), empty_targets(2, compute))
    assert set(losses) == LOSSES[model]
    assert all(loss == 0 for name, loss in losses.items() if "reg" in name)
    torch.stack(list(losses.values())).sum().backward()
    assert all(torch.isfinite(w.grad).all() for w in network.parameters() if w.grad is not None)


def test_color_pictures_of_odd_sizes(compute, model):
    network = compute.network(build_detector(config_of(model, channels=3)))
    found = detect(network, pictures(1, size=70, channels=3), compute, 1)
    assert np.all(found[0][0] <= 70)


def test_no_pictures(network, compute):
    assert detect(network, pictures(0), compute, 4) == []


def test_saved_and_loaded_it_finds_the_same(network, compute, tmp_path):
    save_model(tmp_path / "detector.safetensors", network, kind="detector", config=network.config)
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
    widths = {"backbone": {"model": "residual", "widths": [8, 12, 16], "blocks": [1, 1]}, "rpn_stride": 8}
    shallow = build_detector(CONFIG | {"network": CONFIG["network"] | widths})
    assert sum(w.numel() for w in shallow.parameters()) < sum(w.numel() for w in deep.parameters())


def test_a_stride_that_the_backbone_has_not_is_named():
    with pytest.raises(ParamsError, match=r"no map of stride 32: the backbone's 3 stages have 4, 8, 16"):
        build_detector(CONFIG | {"network": CONFIG["network"] | {"rpn_stride": 32}})


def test_every_map_of_ssd_needs_an_anchor():
    with pytest.raises(ParamsError, match=r"anchor_sizes: 1 sizes for 2 strides"):
        build_detector(CONFIG | {"network": NETWORKS["ssd"] | {"anchor_sizes": [12.0]}})


def test_torchvisions_resnet_as_a_backbone(compute):
    network = NETWORKS["faster-rcnn"] | {"backbone": {"model": "resnet", "depth": 18, "stages": 2}}
    built = compute.network(build_detector(CONFIG | {"network": network}))
    assert len(detect(built, pictures(2), compute, 2)) == 2


def test_blocks_deepen_a_stage_and_are_as_many_as_stages():
    def weights(blocks):
        body = {"backbone": {"model": "residual", "widths": [8, 12, 16], "blocks": blocks}, "rpn_stride": 8}
        network = build_detector(CONFIG | {"network": CONFIG["network"] | body})
        return sum(weight.numel() for weight in network.parameters())

    a_block = 2 * (12 * 12 * 9 + 2 * 12)  # two convolutions with their normalisations
    assert weights([3, 1]) - weights([1, 1]) == 2 * a_block
    with pytest.raises(ValueError, match="1 numbers in `blocks` for 2 stages"):
        weights([1])
