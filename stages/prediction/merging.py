"""Boxes that a detector finds in several views of one picture, merged into one answer.

Weighted boxes fusion: R. Solovyev, W. Wang, T. Gabruseva 2019, "Weighted boxes fusion: Ensembling boxes from
different object detection models", https://arxiv.org/abs/1910.13302.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torchvision.ops import box_iou

from stages.detector.network import Detection

SAME_ITEM = 0.55
"""Overlap (IoU) from which on boxes of one class count as those of one item: the paper's."""

Boxes = npt.NDArray[np.float64]


def fuse_boxes(views: Sequence[Detection], same_item: float = SAME_ITEM) -> Detection:
    """One detection of what was found in several views of a picture, the surest first.

    Each view has boxes [K, 4] (xyxy, in pixels of the picture), labels [K] and scores [K]. Boxes of one class
    that overlap are one item: its box is their mean, weighted by their scores. Its score is their mean, times
    the share of the views in which it was found.
    """
    boxes = np.concatenate([found[0] for found in views]).astype(np.float64)
    labels = np.concatenate([found[1] for found in views])
    scores = np.concatenate([found[2] for found in views]).astype(np.float64)
    items = [
        (*item, label)
        for label in np.unique(labels).tolist()
        for item in _items(boxes[labels == label], scores[labels == label], len(views), same_item)
    ]
    items.sort(key=lambda item: -item[1])
    return (
        np.array([box for box, _, _ in items], dtype=np.float32).reshape(-1, 4),
        np.array([label for _, _, label in items], dtype=np.int64),
        np.array([score for _, score, _ in items], dtype=np.float32),
    )


def _items(
    boxes: Boxes, scores: npt.NDArray[np.float64], views: int, same_item: float
) -> list[tuple[Boxes, float]]:
    """Box and score of each item, of boxes [K, 4] and scores [K] of one class."""
    fused, weights, counts = np.empty((len(boxes), 4)), np.zeros(len(boxes)), np.zeros(len(boxes))
    known = 0
    for number in np.argsort(-scores, kind="stable"):
        box, score = boxes[number], scores[number]
        overlaps = overlaps_of(box[None], fused[:known])[0]
        item = int(overlaps.argmax()) if known else 0
        if not known or overlaps[item] <= same_item:
            item, known = known, known + 1
            fused[item] = box
        else:
            fused[item] = (fused[item] * weights[item] + box * score) / (weights[item] + score)
        weights[item] += score
        counts[item] += 1
    shares = np.minimum(counts, views) / views
    return [(fused[item], float(weights[item] / counts[item] * shares[item])) for item in range(known)]


def overlaps_of(ours: npt.NDArray[np.floating], theirs: npt.NDArray[np.floating]) -> Boxes:
    """The overlap (IoU) [K, M] of each of the boxes [K, 4] with each of the boxes [M, 4], all xyxy.

    Boxes without an area overlap with nothing.
    """
    overlaps = box_iou(torch.as_tensor(ours).double(), torch.as_tensor(theirs).double())
    return np.asarray(np.nan_to_num(overlaps.numpy()), dtype=np.float64)


def mirrored(boxes: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
    """Boxes [K, 4] xyxy of a picture so wide, where they lie in its mirror image."""
    left, right = width - boxes[:, 2], width - boxes[:, 0]
    return np.stack([left, boxes[:, 1], right, boxes[:, 3]], axis=1)
