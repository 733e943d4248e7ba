"""What names and mends proposals: torchvision's RoI heads on features pooled from a map, or on crops."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads

from stages.classifier.network import build_classifier
from stages.detector.float32 import in_float32
from stages.detector.params import HeadsParams, PooledParams


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
        maps = features[str(self.stride)]  # [N, F, H, W]
        channels, _, width = maps.shape[1:]
        down, across = self._down_and_across(torch.cat(boxes), maps)
        by_row = maps.permute(0, 2, 3, 1).flatten(2)  # [N, H, W * F]
        of_picture = torch.split(down, [len(picture_boxes) for picture_boxes in boxes])
        pairs = zip(of_picture, by_row, strict=True)
        rows = [weights.flatten(0, 1) @ row_features for weights, row_features in pairs]  # [P * R, W * F]
        cells = torch.cat(rows).view(-1, self.size, width, channels)  # [P, R, W, F]
        return (across.unsqueeze(1) @ cells).permute(0, 3, 1, 2)  # [P, R, R, F] -> [P, F, R, R]

    def pool_equally(self, features: dict[str, Tensor], boxes: Tensor) -> Tensor:
        """Pool equally many boxes of each picture, [N, P, 4], without a loop over the pictures."""
        maps = features[str(self.stride)]
        channels, height, width = maps.shape[1:]
        down, across = self._down_and_across(boxes.reshape(-1, 4), maps)
        rows = down.reshape(maps.shape[0], -1, height) @ maps.permute(0, 2, 3, 1).flatten(
            2
        )  # [N, P * R, W * F]
        cells = rows.reshape(-1, self.size, width, channels)
        return (across.unsqueeze(1) @ cells).permute(0, 3, 1, 2)

    def _down_and_across(self, boxes: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of the maps' rows and columns in boxes [P, 4]: [P, R, H] and [P, R, W]."""
        height, width = maps.shape[-2:]
        x0, y0, x1, y1 = (boxes / self.stride).unbind(1)
        # torchvision pools a whole cell at least.
        x1, y1 = torch.maximum(x1, x0 + 1), torch.maximum(y1, y0 + 1)
        return self._weights(y0, y1, height), self._weights(x0, x1, width)

    def _weights(self, low: Tensor, high: Tensor, cells: int) -> Tensor:
        """How much each of the map's `cells` counts in each of the grid's: [P, size, cells]."""
        points = self.size * self.samples
        steps = (torch.arange(points, device=low.device) + 0.5) / points
        centres = low[:, None] + (high - low)[:, None] * steps  # [P, size * samples]
        distance = centres.clamp(0, cells - 1)[..., None] - torch.arange(cells, device=low.device)
        off_the_map = (centres < -1) | (centres > cells)  # where torchvision reads zeros
        weights = F.relu(1 - distance.abs()).masked_fill(
            off_the_map[..., None], 0
        )  # [P, size * samples, cells]
        return weights.view(low.shape[0], self.size, self.samples, cells).mean(dim=2)


class PooledHead(nn.Module):
    """Pooled features [P, F, R, R] to [P, hidden]: a layer on patches of 2 x 2 cells, and one on all of them.

    Pooling has brought items to one size: a layer that is the same for every patch learns their parts from
    fewer items than one over all cells does. It is a convolution with stride 2, written as the matrix product
    that it is: several times quicker on a CPU.
    """

    def __init__(self, params: PooledParams) -> None:
        super().__init__()
        self.halved = params.roi_size // 2
        self.patches = nn.Sequential(
            nn.Linear(4 * params.features, params.roi_width, bias=False),
            nn.BatchNorm1d(params.roi_width),
            nn.ReLU(),
        )
        self.items = nn.Sequential(nn.Linear(params.roi_width * self.halved**2, params.roi_hidden), nn.ReLU())

    def forward(self, pooled: Tensor) -> Tensor:
        """The features [P, hidden] that the predictors of class and box read."""
        (count, features), halved = pooled.shape[:2], self.halved
        cells = pooled.permute(0, 2, 3, 1).reshape(count, halved, 2, halved, 2, features)
        patches = cells.transpose(2, 3).reshape(-1, 4 * features)  # [P * halved * halved, 4 F]
        hidden: Tensor = self.items(self.patches(patches).view(count, -1))
        return hidden


class Crops(nn.Module):
    """Proposals cropped from the picture itself and scaled to one size."""

    def __init__(self, size: list[int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], _image_sizes: object) -> Tensor:
        """Boxes [P, 4] (xyxy, pixels) of each picture to pictures [sum of P, C, *size]."""
        rows = [F.pad(own, (1, 0), value=number) for number, own in enumerate(boxes)]  # [P, 5]: picture, box
        # torchvision's `roi_align` itself: what wraps it compiles another on CUDA where only algorithms that
        # repeat themselves are allowed, since backward it adds in any order. No gradient goes to a picture.
        align = torch.ops.torchvision.roi_align
        cropped: Tensor = align(features["picture"], torch.cat(rows), 1.0, *self.size, 2, True)
        return cropped.contiguous(memory_format=torch.channels_last)


class CropHead(nn.Module):
    """The classifier without its head: crops [P, C, h, w] with values from -2 to 2 to features [P, F]."""

    def __init__(self, config: dict[str, Any]) -> None:
        """`config` is the classifier's."""
        super().__init__()
        self.classifier = build_classifier(config)
        self.features = self.classifier.head.in_features
        del self.classifier.head

    def forward(self, crops: Tensor) -> Tensor:
        """The features [P, hidden] that the predictors of class and box read."""
        return self.classifier.features(crops / 4 + 0.5)


def pooled_heads(classes: int, params: PooledParams) -> RoIHeads:
    """Heads on features that are pooled from the map of stride `roi_stride`."""
    pool = SeparableRoIAlign(params.roi_size, stride=params.roi_stride)
    return _heads(pool, PooledHead(params), params.roi_hidden, classes, params)


def crop_heads(classes: int, params: HeadsParams, classifier: dict[str, Any]) -> RoIHeads:
    """Heads on crops, by a classifier of this config."""
    head = CropHead(classifier)
    return _heads(Crops(classifier["size"]), head, head.features, classes, params)


def _heads(pool: nn.Module, head: nn.Module, width: int, classes: int, params: HeadsParams) -> RoIHeads:
    return RoIHeads(
        pool,
        head,
        in_float32(FastRCNNPredictor(width, classes + 1)),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=params.roi_batch,
        positive_fraction=params.roi_positive,
        bbox_reg_weights=None,  # torchvision's own
        score_thresh=params.score_min,
        nms_thresh=params.overlap_max,
        detections_per_img=params.detections_max,
    )
