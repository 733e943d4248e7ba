"""SSD: torchvision's, on maps of our own backbones and anchors in pixels."""

from typing import cast

import numpy as np
from torch import nn
from torchvision.models.detection.ssd import SSD, SSDHead

from stages.core.errors import ParamsError
from stages.detector.anchors import Anchors
from stages.detector.backbones import Backbone
from stages.detector.float32 import in_float32
from stages.detector.params import SsdParams


def build_ssd(channels: int, classes: int, params: SsdParams, transform: nn.Module) -> SSD:
    """Build a fresh SSD; `transform` replaces torchvision's own, and `params` have fitted anchors.

    Raises:
        ParamsError: There are fewer anchor sizes than maps.

    """
    backbone = Backbone(channels, params.backbone, params.features, params.strides)
    sizes = sorted(cast("list[float]", params.anchor_sizes))
    if len(sizes) < len(params.strides):
        raise ParamsError(
            f"train-detector.network.anchor_sizes: {len(sizes)} sizes for {len(params.strides)} strides; "
            "each needs one"
        )
    by_map = [map_sizes.tolist() for map_sizes in np.array_split(sizes, len(params.strides))]
    anchors = Anchors(by_map, cast("list[float]", params.anchor_ratios), params.strides)
    widths = [params.features] * len(by_map)
    network = SSD(
        backbone,
        anchors,
        size=(1, 1),  # of torchvision's transform alone
        num_classes=classes + 1,
        head=in_float32(SSDHead(widths, anchors.num_anchors_per_location(), classes + 1)),
        score_thresh=params.score_min,
        nms_thresh=params.overlap_max,
        detections_per_img=params.detections_max,
        topk_candidates=params.candidates,
    )
    network.transform = transform
    return network
