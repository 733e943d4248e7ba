"""What the trained networks say about pictures: where something is, and what it is."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torchvision.ops import box_iou

from stages.classifier.network import Classifier, predict
from stages.core.packed import DetectionSplit
from stages.detector.average_precision import average_precision, precision
from stages.detector.network import Detection, detect
from stages.fusion.activity import as_trained_on
from stages.fusion.pixels import Pictures
from stages.networks.compute import Compute

Labels = npt.NDArray[np.int64]
Box = tuple[int, int, int, int]
"""xyxy, in pixels."""


def accuracy(
    network: Classifier, pictures: Pictures, labels: Labels, compute: Compute, batch_size: int
) -> float:
    """Share of the pictures [N, H, W, C] in which the network sees what they show."""
    images = as_trained_on(network, pictures)
    found = predict(network, images, compute=compute, batch_size=batch_size).argmax(dim=1)
    return float((found.numpy() == labels).mean())


def map50(
    network: nn.Module,
    pictures: npt.NDArray[np.uint8],
    scenes: DetectionSplit,
    compute: Compute,
    batch_size: int,
) -> float:
    """COCO's average precision at IoU .50 of what is found in pictures [N, H, W, C] of the first N scenes."""
    found = detect(network, pictures, compute, batch_size)
    boxes, labels = scenes.boxes[: len(pictures)], scenes.labels[: len(pictures)]
    return average_precision(precision(found, boxes, labels, scenes.classes)).map50


def found_at(
    detections: Sequence[Detection], boxes: Sequence[Box], *, overlap_min: float, score_min: float
) -> Labels:
    """The class [N] of the surest detection on the box of each picture; -1 where there is none.

    A detection is on a box if their IoU is at least `overlap_min`, and counts if its score is at least
    `score_min`.
    """
    labels = []
    for (found, classes, scores), box in zip(detections, boxes, strict=True):
        overlap = box_iou(torch.tensor([box], dtype=torch.float32), torch.from_numpy(found))[0].numpy()
        there = classes[(overlap >= overlap_min) & (scores >= score_min)]  # the surest come first
        labels.append(int(there[0]) if len(there) else -1)
    return np.array(labels, dtype=np.int64)
