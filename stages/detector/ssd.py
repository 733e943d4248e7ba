"""SSD: torchvision's, on maps of our own backbones and anchors in pixels."""

from typing import cast

import numpy as np
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.ssd import SSD, SSDHead

from stages.core.errors import ParamsError
from stages.detector.backbones import Backbone
from stages.detector.params import SsdParams


def build_ssd(channels: int, classes: int, params: SsdParams, transform: nn.Module) -> SSD:
    """A fresh one; `transform` stands in place of torchvision's, and `params` have fitted anchors.

    Raises:
        ParamsError: There are fewer anchor sizes than maps.

    """
    backbone = Backbone(channels, params.backbone, params.features, params.strides)
    sizes, ratios = sorted(cast("list[float]", params.anchor_sizes)), tuple(params.anchor_ratios)
    if len(sizes) < len(params.strides):
        raise ParamsError(
            f"train-detector.network.anchor_sizes: {len(sizes)} sizes for {len(params.strides)} strides; "
            "each needs one"
        )
    by_map = [tuple(map_sizes.tolist()) for map_sizes in np.array_split(sizes, len(params.strides))]
    anchors = AnchorGenerator(tuple(by_map), (ratios,) * len(by_map))
    widths = [params.features] * len(by_map)
    network = SSD(
        backbone,
        anchors,
        size=(1, 1),  # of torchvision's transform alone
        num_classes=classes + 1,
        head=SSDHead(widths, anchors.num_anchors_per_location(), classes + 1),
        score_thresh=params.score_min,
        nms_thresh=params.overlap_max,
        detections_per_img=params.detections_max,
        topk_candidates=params.candidates,
    )
    network.transform = transform
    return network
