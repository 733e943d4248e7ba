"""A trained detector as a graph of fixed shapes, for other runtimes.

torchvision's own code processes one picture after the other, and cuts tensors to the number of boxes found.
Here a whole batch is processed at once, and unused rows get a score of 0. The results are the same except for
the last digits: the layers, the candidates and the non-maximum suppression are the same.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

from stages.core.errors import ModelError
from stages.detector.network import Detector
from stages.detector.proposals import GivenProposals, LearntProposals, TrainedProposals
from stages.detector.roi_heads import Crops, SeparableRoIAlign
from stages.networks.calibration import CERTAIN, LogisticCalibration

_SMALLEST = 1e-2
"""The least side of a detection, in pixels; torchvision's."""

_NONE = -1.0
"""The score of what is no candidate: below all others."""


class ExportedDetector(nn.Module):
    """Pictures [N, H, W, C] in uint8 to boxes [N, D, 4] (xyxy, pixels), labels [N, D] and scores [N, D].

    The surest come first; labels are indices into the classes. Where fewer than D are found, the rest has the
    score 0.
    """

    def __init__(self, network: Detector, size: tuple[int, int]) -> None:
        """`network` is in evaluation mode on the CPU; pictures are of `size`: height, width.

        Raises:
            ModelError: Its proposals come from code outside of the network.

        """
        super().__init__()
        config = cast("dict[str, Any]", network.config)
        self.calibration = LogisticCalibration(**config.get("calibration", {}))
        self.size = size
        blank = torch.zeros(1, config["channels"], *size)
        self.detector: nn.Module = (
            _SingleShot(network, blank) if isinstance(network, SSD) else _TwoStage(network, blank)
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The detections of each picture."""
        images = (pictures.permute(0, 3, 1, 2).to(torch.float32) / 255 - 0.5) * 4
        boxes, labels, scores = self.detector(images)
        if self.calibration != LogisticCalibration():
            sure = scores.clamp(CERTAIN, 1 - CERTAIN).logit()
            calibrated = (self.calibration.slope * sure + self.calibration.offset).sigmoid()
            scores = torch.where(scores > 0, calibrated, scores)
        return boxes, labels, scores


class _TwoStage(nn.Module):
    """The R-CNN family: proposals, and heads that name and mend them."""

    def __init__(self, network: GeneralizedRCNN, blank: Tensor) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.proposals = _proposals_of(network, blank)
        self.heads = network.roi_heads
        self.size = tuple(blank.shape[-2:])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.backbone(images)
        proposals, proposed = self.proposals(images, maps)  # [N, P, 4], [N, P]
        pictures, count = proposals.shape[:2]
        hidden = self.heads.box_head(_pooled(self.heads.box_roi_pool, maps, proposals))
        logits, deltas = self.heads.box_predictor(hidden)  # [N * P, K + 1], [N * P, 4 (K + 1)]
        boxes = self.heads.box_coder.decode_single(deltas, proposals.reshape(-1, 4))
        boxes = _clipped(boxes.reshape(pictures, count, -1, 4)[:, :, 1:].transpose(1, 2), self.size)
        scores = logits.softmax(-1).reshape(pictures, count, -1)[:, :, 1:].transpose(1, 2)  # [N, K, P]
        possible = proposed[:, None] & (scores > self.heads.score_thresh) & _large(boxes, _SMALLEST)
        candidates = torch.where(possible, scores, _NONE)
        return _detections(boxes, candidates, count, self.heads.nms_thresh, self.heads.detections_per_img)


class _SingleShot(nn.Module):
    """SSD: classes and boxes at every anchor."""

    anchors: Tensor

    def __init__(self, network: SSD, blank: Tensor) -> None:
        super().__init__()
        self.backbone, self.head, self.coder = network.backbone, network.head, network.box_coder
        self.size = tuple(blank.shape[-2:])
        maps = list(network.backbone(blank).values())
        (anchors,) = network.anchor_generator(ImageList(blank, [self.size]), maps)
        self.register_buffer("anchors", anchors)
        self.candidates = min(network.topk_candidates, len(anchors))
        self.least, self.overlap = network.score_thresh, network.nms_thresh
        self.count = network.detections_per_img
        _without_hooks(self.head)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.head(list(self.backbone(images).values()))
        deltas, logits = found["bbox_regression"], found["cls_logits"]  # [N, A, 4], [N, A, K + 1]
        boxes = self.coder.decode_single(
            deltas.reshape(-1, 4), self.anchors.repeat(images.shape[0], 1)
        )  # [N * A, 4]
        boxes = _clipped(boxes.reshape(images.shape[0], 1, -1, 4), self.size)
        scores = logits.softmax(-1)[:, :, 1:].transpose(1, 2)  # [N, K, A]
        candidates = torch.where(scores > self.least, scores, _NONE)
        every = boxes.expand(-1, scores.shape[1], -1, -1)
        return _detections(every, candidates, self.candidates, self.overlap, self.count)


class _Learnt(nn.Module):
    """A region proposal network."""

    anchors: Tensor

    def __init__(self, rpn: LearntProposals, maps: dict[str, Tensor], blank: Tensor, count: int) -> None:
        super().__init__()
        self.head, self.coder, self.stride = rpn.head, rpn.box_coder, rpn.stride
        self.size = tuple(blank.shape[-2:])
        (anchors,) = rpn.anchor_generator(ImageList(blank, [self.size]), [maps[rpn.stride]])
        self.register_buffer("anchors", anchors)
        self.candidates = min(rpn.pre_nms_top_n(), len(anchors))
        self.count = min(rpn.post_nms_top_n(), count, self.candidates)
        self.overlap, self.smallest = rpn.nms_thresh, rpn.min_size
        _without_hooks(self.head)

    def forward(self, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        (objectness,), (deltas,) = self.head([maps[self.stride]])  # [N, a, h, w], [N, 4 a, h, w]
        pictures = objectness.shape[0]
        likely, rows = objectness.permute(0, 2, 3, 1).reshape(pictures, -1).topk(self.candidates)
        of_cells = deltas.reshape(pictures, -1, 4, *deltas.shape[-2:]).permute(0, 3, 4, 1, 2)
        chosen = _rows(of_cells.reshape(pictures, -1, 4), rows)
        boxes = self.coder.decode_single(chosen.reshape(-1, 4), self.anchors[rows.reshape(-1)])
        boxes = _clipped(boxes.reshape(pictures, -1, 4), self.size)
        scores = torch.where(_large(boxes, self.smallest), likely.sigmoid(), _NONE)
        scores, order = scores.topk(self.candidates)
        boxes = _rows(boxes, order)
        scores = torch.where(_kept(boxes, self.overlap), scores, _NONE)
        scores, order = scores.topk(self.count)
        return _rows(boxes, order), scores >= 0


class _OfMaps(nn.Module):
    """Proposals from the detector's own maps."""

    def __init__(self, learnt: _Learnt) -> None:
        super().__init__()
        self.learnt = learnt

    def forward(self, _images: Tensor, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.learnt(maps)
        return found


class _OfAnother(nn.Module):
    """Proposals of another detector, which has maps of its own."""

    def __init__(self, backbone: nn.Module, learnt: _Learnt) -> None:
        super().__init__()
        self.backbone, self.learnt = backbone, learnt

    def forward(self, images: Tensor, _maps: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.learnt(self.backbone(images))
        return found


def _proposals_of(network: GeneralizedRCNN, blank: Tensor) -> nn.Module:
    """What makes boxes [N, P, 4] of pictures and maps, and says which of them are proposed, [N, P].

    Raises:
        ModelError: They come from code outside of the network.

    """
    _without_hooks(network.roi_heads.box_predictor)
    rpn = network.rpn
    if isinstance(rpn, LearntProposals):
        return _OfMaps(_Learnt(rpn, network.backbone(blank), blank, rpn.post_nms_top_n()))
    if isinstance(rpn, GivenProposals) and isinstance(rpn.method, TrainedProposals):
        other = rpn.method
        return _OfAnother(other.backbone, _Learnt(other.rpn, other.backbone(blank), blank, other.count))
    raise ModelError(
        "its proposals come from OpenCV or from a file, which no exported network can hold; export a"
        " faster-rcnn, an ssd, or a model whose proposals have the source `detector`"
    )


def _without_hooks(layer: nn.Module) -> None:
    """Without the check of `in_float32`: a graph raises no error, and here all is float32 anyway."""
    layer._forward_hooks.clear()


def _pooled(pool: nn.Module, maps: dict[str, Tensor], proposals: Tensor) -> Tensor:
    """What the heads read of proposals [N, P, 4]: [N * P, F, R, R]."""
    if isinstance(pool, SeparableRoIAlign):
        return pool.pool_equally(maps, proposals)
    assert isinstance(pool, Crops)
    pictures, count = proposals.shape[:2]
    numbers = torch.arange(pictures, dtype=proposals.dtype)[:, None, None].expand(-1, count, 1)
    rows = torch.cat([numbers, proposals], dim=2).reshape(-1, 5)
    align = torch.ops.torchvision.roi_align
    cropped: Tensor = align(maps["picture"], rows, 1.0, *pool.size, 2, True)
    return cropped


def _detections(
    boxes: Tensor, scores: Tensor, candidates: int, overlap: float, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The surest of boxes [N, K, P, 4] of each class, none of which overlaps a surer one too much."""
    pictures, classes = scores.shape[:2]
    scores, order = scores.topk(candidates)
    boxes = _rows(boxes, order)
    scores = torch.where(_kept(boxes, overlap), scores, _NONE).reshape(pictures, -1)
    best, places = scores.topk(min(count, classes * candidates))
    labels = torch.where(best > 0, places // candidates, 0)
    return _rows(boxes.reshape(pictures, -1, 4), places), labels, best.clamp(min=0)


def _rows(boxes: Tensor, rows: Tensor) -> Tensor:
    """Boxes [..., P, 4] at places [..., Q]: [..., Q, 4]."""
    return boxes.gather(-2, rows[..., None].expand(*rows.shape, 4))


def _clipped(boxes: Tensor, size: tuple[int, ...]) -> Tensor:
    """Boxes [..., 4] cut to pictures of `size`: height, width."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], -1)


def _large(boxes: Tensor, least: float) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x2 - x1 >= least) & (y2 - y1 >= least)


def _shared(low: Tensor, high: Tensor) -> Tensor:
    """How much of spans [..., P] each two have in common: [..., P, P]."""
    ends = torch.minimum(high[..., :, None], high[..., None, :])
    return (ends - torch.maximum(low[..., :, None], low[..., None, :])).clamp(min=0)


def _kept(boxes: Tensor, overlap: float) -> Tensor:
    """Which boxes [..., P, 4], the surest first, greedy non-maximum suppression keeps: [..., P].

    A box stays unless a surer one that stays overlaps it by more (IoU). All are looked at together, again and
    again until nothing changes: the first n are right after n rounds, and a few are enough nearly always.
    """
    count = boxes.shape[-2]
    x1, y1, x2, y2 = boxes.unbind(-1)
    area = (x2 - x1) * (y2 - y1)
    shared = _shared(x1, x2) * _shared(y1, y2)
    surer = torch.ones(count, count, dtype=torch.bool).triu(1)
    beats = (shared / (area[..., :, None] + area[..., None, :] - shared) > overlap) & surer  # [..., P, P]

    def changes(_kept: Tensor, changed: Tensor) -> Tensor:
        return changed.clone()

    def look_again(kept: Tensor, _changed: Tensor) -> tuple[Tensor, Tensor]:
        now = ~(beats & kept[..., None]).any(-2)
        return now, torch.logical_xor(now, kept).any()

    start = torch.ones_like(area, dtype=torch.bool), torch.tensor(True)
    kept: Tensor = while_loop(changes, look_again, start)[0]  # type: ignore[no-untyped-call]
    return kept
