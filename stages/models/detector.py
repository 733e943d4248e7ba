"""Faster R-CNN on a small residual backbone: torchvision's RPN and RoI heads, lean enough for a CPU.

Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", 2015.
The head on top-down features: Lin et al., "Feature Pyramid Networks for Object Detection", 2017.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from stages.checkpoints import load_model
from stages.compute import Compute
from stages.datasets import to_unit
from stages.params import StageParams

Targets = list[dict[str, Tensor]]
Detection = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]


class DetectorParams(StageParams):
    """The network's shape: what is needed beside the classes to build it again."""

    widths: list[int] = Field(min_length=3, max_length=4)
    """Channels after the stem (stride 2) and after each residual stage (strides 4, 8 and perhaps 16)."""

    features: int = Field(ge=8)
    """Channels of the feature maps that proposals (stride 8) and RoI heads (stride 4) read."""

    anchor_sizes: list[float] = Field(min_length=1)
    """Sides of the square anchors, in pixels."""

    anchor_ratios: list[float] = Field(min_length=1)
    """Height over width."""

    proposals_train: int = Field(ge=1)
    """Proposals kept a picture after non-maximum suppression; twice as many go into it."""
    proposals_test: int = Field(ge=1)

    rpn_batch: int = Field(ge=1)
    """Anchors a picture in the proposals' loss."""

    roi_batch: int = Field(ge=1)
    """Proposals a picture in the heads' loss."""

    roi_positive: float = Field(gt=0, le=1)
    """Share of the proposals in the heads' loss that may be items."""

    roi_size: int = Field(ge=1)
    """Side of the grid that a proposal's features are pooled to."""

    roi_width: int = Field(ge=1)
    """Channels of the heads' convolution."""

    roi_hidden: int = Field(ge=1)
    """Width of the heads' linear layer."""

    score_min: float = Field(ge=0, lt=1)
    """Detections with lower scores are dropped."""

    overlap_max: float = Field(gt=0, le=1)
    """Of two detections of one class that overlap more than this (IoU) the weaker is dropped."""

    detections_max: int = Field(ge=1)
    """Detections kept a picture."""


class _Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016), halving the resolution where `stride` is 2."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.first = _conv(width_in, width_out, 3, stride)
        self.second = _conv(width_out, width_out, 3, 1)
        plain = width_in == width_out and stride == 1
        self.shortcut = nn.Identity() if plain else _conv(width_in, width_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.second(F.relu(self.first(x)))
        return F.relu(residual + self.shortcut(x))


def _conv(width_in: int, width_out: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width_out),
    )


class Backbone(nn.Module):
    """Pictures [N, C, H, W] to a fine map [N, F, H/4, W/4] and a coarse one [N, F, H/8, W/8].

    The coarse map is enough to find items; telling them apart asks for the fine one.
    """

    def __init__(self, channels: int, params: DetectorParams) -> None:
        super().__init__()
        widths = params.widths
        self.stem = nn.Sequential(_conv(channels, widths[0], 3, 2), nn.ReLU())
        self.stages = nn.ModuleList(_Residual(narrow, wide, stride=2) for narrow, wide in pairwise(widths))
        self.laterals = nn.ModuleList(nn.Conv2d(width, params.features, 1) for width in widths[1:])
        self.normalise = nn.Sequential(nn.BatchNorm2d(params.features), nn.ReLU())
        self.out_channels = params.features

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Each map is its stage's with the coarser ones added, from the top down."""
        x, maps = self.stem(images), []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            x = stage(x)
            maps.append(lateral(x))
        merged = maps.pop()
        while len(maps) > 0:
            coarse, fine = merged, maps.pop()
            merged = fine + F.interpolate(coarse, size=fine.shape[-2:])
        return {"coarse": coarse, "fine": self.normalise(merged)}


class Proposals(RegionProposalNetwork):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's proposals, from the coarse map alone."""

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: Targets | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals [P, 4] of each picture, and the losses in training."""
        found: tuple[list[Tensor], dict[str, Tensor]]
        found = super().forward(images, {"coarse": features["coarse"]}, targets)
        return found


class SeparableRoIAlign(nn.Module):
    """RoIAlign (He et al., "Mask R-CNN", 2017) of one feature map, as matrix products.

    Bilinear weights are a product of one along y and one along x, and so is their mean over the sampled
    points of a cell. The values are torchvision's `roi_align(aligned=False)`, whose backward pass scatters
    value by value: slow on a CPU, and not repeatable on a GPU.
    """

    def __init__(self, size: int, *, stride: int = 4, samples: int = 2) -> None:
        super().__init__()
        self.size = size
        self.stride = stride
        self.samples = samples

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], _image_sizes: object) -> Tensor:
        """Boxes [P, 4] (xyxy, pixels) of each picture to features [sum of P, F, size, size]."""
        maps = features["fine"]  # [N, F, H, W]
        pooled = []
        for feature_map, picture_boxes in zip(maps, boxes, strict=True):
            channels, height, width = feature_map.shape
            x0, y0, x1, y1 = (picture_boxes / self.stride).unbind(1)
            down = self._weights(y0, y1, height)  # [P, R, H]
            across = self._weights(x0, x1, width)  # [P, R, W]
            rows = down.flatten(0, 1) @ feature_map.permute(1, 2, 0).flatten(1)  # [P * R, W * F]
            rows = rows.view(len(picture_boxes), self.size, width, channels)
            pooled.append(across.unsqueeze(1) @ rows)  # [P, R, R, F]
        return torch.cat(pooled).permute(0, 3, 1, 2)

    def _weights(self, low: Tensor, high: Tensor, cells: int) -> Tensor:
        """How much each of the map's `cells` counts in each of the grid's: [P, size, cells]."""
        points = self.size * self.samples
        steps = (torch.arange(points, device=low.device) + 0.5) / points
        centres = low[:, None] + (high - low)[:, None] * steps  # [P, size * samples]
        distance = centres.clamp(0, cells - 1)[..., None] - torch.arange(cells, device=low.device)
        weights = F.relu(1 - distance.abs())  # [P, size * samples, cells]
        return weights.view(len(low), self.size, self.samples, cells).mean(dim=2)


class RoIHead(nn.Module):
    """Pooled features [P, F, R, R] to [P, hidden]: a convolution that halves them, and a linear layer.

    Pooling has brought items to one size: a convolution here learns their parts from fewer items than
    a linear layer over all cells does.
    """

    def __init__(self, features: int, params: DetectorParams) -> None:
        super().__init__()
        halved = (params.roi_size + 1) // 2
        self.layers = nn.Sequential(
            _conv(features, params.roi_width, 3, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(params.roi_width * halved**2, params.roi_hidden),
            nn.ReLU(),
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """What the predictors of class and box read."""
        hidden: Tensor = self.layers(pooled)
        return hidden


class _Stack(nn.Module):
    """In place of torchvision's transform, which resizes picture by picture: all here are of one size.

    Pictures [C, H, W] with values from 0 to 1 become one batch with values from -2 to 2.
    """

    def forward(self, images: list[Tensor], targets: Targets | None) -> tuple[ImageList, Targets | None]:
        batch = torch.stack(images).sub(0.5).mul(4).contiguous(memory_format=torch.channels_last)
        return ImageList(batch, [(batch.shape[-2], batch.shape[-1])] * len(images)), targets

    def postprocess(self, detections: Targets, _sizes: object, _original_sizes: object) -> Targets:
        """Boxes are in the pictures' own pixels already."""
        return detections


def build_detector(config: dict[str, Any]) -> GeneralizedRCNN:
    """A detector with fresh weights.

    `config` has `classes` (names; a label is an index into them), `channels` and `network`
    (a dumped `DetectorParams`). torchvision counts the background as class 0, so inside the network
    labels are one higher; `detect` and `targets` translate.
    """
    params = DetectorParams.model_validate(config["network"])
    backbone = Backbone(config["channels"], params)
    return GeneralizedRCNN(
        backbone,
        _proposals(backbone.out_channels, params),
        _heads(backbone.out_channels, len(config["classes"]), params),
        _Stack(),
    )


def _proposals(features: int, params: DetectorParams) -> Proposals:
    anchors = AnchorGenerator((tuple(params.anchor_sizes),), (tuple(params.anchor_ratios),))
    return Proposals(
        anchors,
        RPNHead(features, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=params.rpn_batch,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2 * params.proposals_train, "testing": 2 * params.proposals_test},
        post_nms_top_n={"training": params.proposals_train, "testing": params.proposals_test},
        nms_thresh=0.7,
    )


def _heads(features: int, classes: int, params: DetectorParams) -> RoIHeads:
    return RoIHeads(
        SeparableRoIAlign(params.roi_size),
        RoIHead(features, params),
        FastRCNNPredictor(params.roi_hidden, classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=params.roi_batch,
        positive_fraction=params.roi_positive,
        bbox_reg_weights=None,  # torchvision's own
        score_thresh=params.score_min,
        nms_thresh=params.overlap_max,
        detections_per_img=params.detections_max,
    )


def load_detector(path: Path) -> GeneralizedRCNN:
    """The detector that train-detector wrote, in evaluation mode, on the CPU.

    Raises:
        ModelError: no such file, or no detector.

    """
    return load_model(path, kind="detector", build=build_detector)


def to_targets(
    boxes: list[npt.NDArray[np.float32]], labels: list[npt.NDArray[np.int64]], compute: Compute
) -> Targets:
    """Boxes [K, 4] (xyxy, pixels) and labels [K] of each picture as the network takes them."""
    return [
        {
            "boxes": torch.from_numpy(picture_boxes).to(compute.device),
            "labels": torch.from_numpy(picture_labels).to(compute.device) + 1,
        }
        for picture_boxes, picture_labels in zip(boxes, labels, strict=True)
    ]


@torch.inference_mode()
def detect(
    network: nn.Module, images: npt.NDArray[np.uint8], compute: Compute, batch_size: int
) -> list[Detection]:
    """Items found in each of the pictures [N, H, W, C], the surest first.

    A picture's detections are boxes [K, 4] (xyxy, pixels), labels [K] (indices into the classes) and
    scores [K]. The network is left in evaluation mode.
    """
    network.eval()
    found: list[Detection] = []
    for start in range(0, len(images), batch_size):
        batch = compute.images(to_unit(images[start : start + batch_size]))
        with compute.autocast():
            results = network(list(batch))
        found += [_to_arrays(result) for result in results]
    return found


def _to_arrays(result: dict[str, Tensor]) -> Detection:
    return (
        result["boxes"].float().cpu().numpy(),
        (result["labels"] - 1).cpu().numpy(),
        result["scores"].float().cpu().numpy(),
    )
