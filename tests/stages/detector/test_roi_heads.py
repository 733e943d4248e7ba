"""What the heads read of a proposal: pooled like torchvision's, or cropped from the picture."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from stages.classifier.network import build_classifier
from stages.detector.network import build_detector
from stages.detector.params import network_params
from stages.detector.roi_heads import CropHead, Crops, PooledHead, SeparableRoIAlign, crop_heads
from tests.stages.detector.detector_networks import COMPACT, FAST, R_CNN

CLASSIFIER = {
    "classes": ["a", "b"],
    "mean": [0.4],
    "std": [0.2],
    "size": [16, 12],
    "network": COMPACT,
    "views": 1,
}


def maps_of(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def expected(
    maps: torch.Tensor, boxes: list[torch.Tensor], size: int, *, stride: int, samples: int
) -> torch.Tensor:
    return roi_align(maps, boxes, size, spatial_scale=1 / stride, sampling_ratio=samples, aligned=False)


def test_any_stride_and_number_of_samples_pools_as_torchvision_does() -> None:
    maps = maps_of(7, 9)
    boxes = [torch.tensor([[3.0, 5, 50, 40], [0, 0, 9, 70]]), torch.tensor([[20.0, 1, 33, 44]])]
    for samples in (1, 2, 3):
        pooled = SeparableRoIAlign(4, stride=8, samples=samples)({"8": maps, "4": maps[:1]}, boxes, None)
        torch.testing.assert_close(pooled, expected(maps, boxes, 4, stride=8, samples=samples))


def test_what_lies_off_the_map_counts_as_torchvision_counts_it() -> None:
    """Points up to a cell outside have the values of the margin, those farther out none."""
    maps = maps_of(6, 6)
    # In cells: points at -1 and 1, at 6 and 8, at -1.5 and .5, and at -9 and -7.
    places = [[-8.0, -8, 8, 8], [20, 20, 36, 36], [-10, -10, 6, 6], [-40, 0, -24, 24], [0, -40, 24, -24]]
    boxes = [torch.tensor(places)] * 2
    pooled = SeparableRoIAlign(1)({"4": maps}, boxes, None)
    torch.testing.assert_close(pooled, expected(maps, boxes, 1, stride=4, samples=2))
    assert pooled[3:5].abs().sum() == 0


def test_as_many_boxes_in_each_picture_are_pooled_the_same_without_a_loop() -> None:
    maps = maps_of(6, 10)
    boxes = torch.tensor([[[0.0, 0, 12, 20], [3, 4, 39, 22]], [[8, 8, 9, 9], [-4, 2, 30, 28]]])
    pool = SeparableRoIAlign(5)
    equally = pool.pool_equally({"4": maps}, boxes)
    assert equally.shape == (4, 3, 5, 5)
    torch.testing.assert_close(equally, pool({"4": maps}, list(boxes), None))


def test_the_head_on_pooled_features_is_a_convolution_of_stride_two_and_a_layer() -> None:
    params = network_params(FAST)
    torch.manual_seed(2)
    head = PooledHead(params).eval()  # type: ignore[arg-type]
    linear, norm, _ = head.patches
    assert isinstance(linear, nn.Linear)
    nn.init.normal_(norm.weight)
    pooled = torch.randn(3, 16, 6, 6)
    kernel = linear.weight.view(16, 2, 2, 16).permute(0, 3, 1, 2)
    patches = F.relu(norm(F.conv2d(pooled, kernel, stride=2).permute(0, 2, 3, 1).reshape(-1, 16)))
    layer = head.items[0]
    wanted = F.relu(F.linear(patches.reshape(3, -1), layer.weight, layer.bias))
    torch.testing.assert_close(head(pooled), wanted)
    assert wanted.shape == (3, 32)


def test_crops_are_cut_from_their_own_picture_and_scaled() -> None:
    pictures = maps_of(30, 40)
    boxes = [torch.tensor([[2.0, 3, 20, 29]]), torch.tensor([[0.0, 0, 40, 30], [10, 10, 14, 12]])]
    crops = Crops([16, 12])({"picture": pictures}, boxes, None)
    wanted = roi_align(pictures, boxes, (16, 12), spatial_scale=1.0, sampling_ratio=2, aligned=True)
    torch.testing.assert_close(crops, wanted)
    assert crops.shape == (3, 3, 16, 12)
    assert crops.is_contiguous(memory_format=torch.channels_last)


def test_the_head_on_crops_is_the_classifier_without_its_own() -> None:
    torch.manual_seed(4)
    whole = build_classifier(CLASSIFIER).eval()
    torch.manual_seed(4)
    head = CropHead(CLASSIFIER).eval()
    unit = torch.rand(2, 1, 16, 12)
    torch.testing.assert_close(head((unit - 0.5) * 4), whole.features(unit))
    assert head.features == 16 == whole.head.in_features
    assert not hasattr(head.classifier, "head")


def test_heads_are_told_what_params_say() -> None:
    told = {"roi_batch": 12, "roi_positive": 0.25, "score_min": 0.1, "overlap_max": 0.4, "detections_max": 7}
    config = {"classes": ["a", "b", "c"], "channels": 1, "network": FAST | told | {"roi_stride": 8}}
    pooled = build_detector(config).roi_heads
    cropped = crop_heads(3, network_params(R_CNN | told), CLASSIFIER)  # type: ignore[arg-type]
    for heads, width in ((pooled, 32), (cropped, 16)):
        matcher, sampler = heads.proposal_matcher, heads.fg_bg_sampler
        assert (matcher.high_threshold, matcher.low_threshold) == (0.5, 0.5)
        assert (sampler.batch_size_per_image, sampler.positive_fraction) == (12, 0.25)
        assert heads.box_coder.weights == (10, 10, 5, 5)
        assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.1, 0.4, 7)
        scores, boxes = heads.box_predictor(torch.zeros(2, width))
        assert (scores.shape, boxes.shape) == ((2, 4), (2, 16))  # the ground is a class, too
    assert (pooled.box_roi_pool.size, pooled.box_roi_pool.stride) == (6, 8)
    assert cropped.box_roi_pool.size == [16, 12]


def test_boxes_of_another_number_of_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        SeparableRoIAlign(2)({"4": maps_of(6, 6)}, [torch.tensor([[0.0, 0, 9, 9]])], None)
