import numpy as np
import pytest
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import roi_align

from stages.core.errors import ModelError, ParamsError
from stages.core.params import ComputeParams
from stages.detector.anchors import Anchors
from stages.detector.average_precision import average_precision, precision
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
WIDE = {"faster-rcnn": CONFIG["network"]}  # whose proposals lie 16 pixels apart
BOX_LOSSES = {
    "faster-rcnn": {"loss_rpn_box_reg"},
    "fast-rcnn": {"loss_box_reg"},
    "r-cnn": {"loss_box_reg"},
    "ssd": {"bbox_regression"},
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


def test_boxes_smaller_than_a_cell_and_at_the_margin_are_pooled_as_torchvision_pools_them():
    torch.manual_seed(1)
    maps = torch.randn(1, 5, 16, 24)
    corners = torch.rand(200, 2) * torch.tensor([96.0, 64.0])
    ends = torch.minimum(corners + torch.rand(200, 2) * 6, torch.tensor([96.0, 64.0]))
    boxes = [torch.cat([corners, ends], dim=1)]
    pooled = SeparableRoIAlign(5)({"4": maps}, boxes, None)
    expected = roi_align(maps, boxes, 5, spatial_scale=1 / 4, sampling_ratio=2, aligned=False)
    torch.testing.assert_close(pooled, expected, atol=1e-4, rtol=1e-4)


FAR = 960  # pixels from the left, in pictures 1,024 pixels wide: bfloat16 has every fourth number there


def every_box(model):
    """Nothing is suppressed, so that boxes can be compared one by one."""
    kept = {"score_min": 0.0, "overlap_max": 1.0, "detections_max": 20000, "proposal_overlap_max": 1.0}
    kept |= {"proposal_candidates": 5000, "proposals_test": 5000, "candidates": 5000}
    kept |= {"anchor_sizes": [20.0, 30.0], "anchor_ratios": [1.0]}  # a few boxes are enough
    network = {name: kept.get(name, value) for name, value in (NETWORKS | WIDE)[model].items()}
    return CONFIG | {"network": network}


def strip(at):
    """A picture of 1,024 x 64 pixels with something in it at `at`."""
    picture = np.full((1, 64, 1024, 1), 128, dtype=np.uint8)
    picture[:, :, at : at + 64] = pictures(1)
    return picture


def given_to(model, boxes):
    return [boxes] if model in {"fast-rcnn", "r-cnn"} else None


def in_precision(precision):
    return prepare(ComputeParams(seed=1, threads=1, precision=precision, deterministic=True))


@pytest.mark.slow
def test_boxes_far_from_the_corner_are_exact_in_bfloat16(model):
    exact, rough = in_precision("float32"), in_precision("bfloat16")
    network = exact.network(build_detector(every_box(model)))
    near = np.array([[3, 5, 40, 44], [20, 10, 61, 50]], dtype=np.float32)
    proposals = given_to(model, near + np.array([FAR, 0, FAR, 0], dtype=np.float32))
    [(boxes, labels, _)] = detect(network, strip(FAR), exact, 1, proposals)
    [(found, named, _)] = detect(network, strip(FAR), rough, 1, proposals)
    inner = np.flatnonzero(boxes[:, 0] > 512)[::20]
    assert len(inner)
    assert np.mean(found[:, [0, 2]] * 4 % 1 == 0) < 0.5  # not on a grid of quarters; margins are
    for box, label in zip(boxes[inner], labels[inner], strict=True):
        assert np.abs(found[named == label] - box).max(axis=1).min() < 0.5


def test_targets_far_from_the_corner_are_exact_in_bfloat16(model):
    def losses(at, compute):
        torch.manual_seed(1)
        network = compute.network(build_detector(every_box(model))).train()
        box = np.array([[at + 3.3, 5.2, at + 40.7, 44.9]], dtype=np.float32)
        targets = to_targets([box], [np.array([1])], compute, given_to(model, box + 1))
        torch.manual_seed(1)  # draws which proposals count
        with compute.autocast():
            found = network(list(compute.images(to_unit(strip(at)))), targets)
        [of_boxes] = [loss.item() for name, loss in found.items() if name in BOX_LOSSES[model]]
        return of_boxes

    exact, rough = (losses(FAR, in_precision(precision)) for precision in ("float32", "bfloat16"))
    assert rough == pytest.approx(exact, rel=0.02)


def test_anchors_lie_at_the_maps_strides_in_pictures_of_any_size():
    features = [torch.zeros(1, 8, 25, 25, dtype=torch.bfloat16), torch.zeros(1, 8, 13, 13)]
    images = ImageList(torch.zeros(2, 1, 100, 100), [(100, 100)] * 2)
    first, second = Anchors([[10.0], [20.0]], [1.0], [4, 8])(images, features)
    assert first.dtype == torch.float32
    assert torch.equal(first, second)
    fine, coarse = first[: 25 * 25], first[25 * 25 :]
    assert fine[0].tolist() == [-5, -5, 5, 5]
    assert fine[-1].tolist() == [24 * 4 - 5, 24 * 4 - 5, 24 * 4 + 5, 24 * 4 + 5]
    assert coarse[-1].tolist() == [12 * 8 - 10, 12 * 8 - 10, 12 * 8 + 10, 12 * 8 + 10]


def scene(draw, at=0, width=64):
    """A dark and a bright rectangle between `at` and 64 pixels on, in a grey picture; boxes and labels."""
    picture, boxes, labels = np.full((64, width, 1), 128, dtype=np.uint8), [], []
    for left in (at, at + 32):
        wide, high = draw.integers(10, 26, 2)
        x, y, label = left + draw.integers(0, 32 - wide), draw.integers(0, 64 - high), draw.integers(0, 2)
        picture[y : y + high, x : x + wide] = (30, 220)[label]
        boxes.append([x, y, x + wide, y + high])
        labels.append(label)
    return picture, np.array(boxes, dtype=np.float32), np.array(labels)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["faster-rcnn", "ssd"])  # whose boxes are their own from the beginning
def test_map_in_bfloat16_is_the_same_wherever_in_a_large_picture_the_objects_are(compute, model):
    network, draw = build_detector(CONFIG | {"network": NETWORKS[model]}).train(), np.random.default_rng(1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    for _ in range(120):
        images, boxes, labels = zip(*(scene(draw) for _ in range(8)), strict=True)
        losses = network(list(to_unit(np.stack(images))), to_targets(boxes, labels, compute))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()

    def mean_precision(at, precision_of):
        draw = np.random.default_rng(2)
        images, boxes, labels = zip(*(scene(draw, at, 1024) for _ in range(12)), strict=True)
        found = detect(network, np.stack(images), in_precision(precision_of), 4)
        return average_precision(precision(found, boxes, labels, CONFIG["classes"])).map

    exact, near, far = mean_precision(896, "float32"), *(mean_precision(at, "bfloat16") for at in (192, 896))
    assert exact > 0.6
    assert far == pytest.approx(exact, abs=0.02)
    assert far == pytest.approx(near, abs=0.03)


def test_one_weight_that_is_not_finite_is_refused_when_it_is_asked(network, compute):
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(ModelError, match="predicts scores or boxes that are not finite"):
        detect(network, pictures(2), compute, 2)
