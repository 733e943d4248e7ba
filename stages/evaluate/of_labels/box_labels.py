"""How strongly a detector contradicts the boxes that each picture is labelled with.

Two questions are asked of each picture, as ObjectLab does (Tkachenko, Thyagarajan and Mueller 2023,
https://arxiv.org/abs/2309.00832): is there a detection where no box is, and is there a box in which the
detector does not see what its label says? ObjectLab compares scores with thresholds that suit strong
detectors, such as .95, and pools what is left. Here pictures are ordered by each question alone, and a
picture stands where the question that speaks against it most puts it: nothing depends on how sure a detector
usually is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torchvision.ops import box_iou

from stages.detector.network import Detection

Boxes = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

PLACED = 0.5  # IoU: on a box
NEAR = 0.1
"""IoU below which a detection has nothing to do with a box. With .5 in its place a part of a thing that is
labelled, found beside the whole, would count as one that is not. Chosen on errors planted in val."""
BoxKind = Literal["missing", "spurious", "another_class", "badly_placed"]
"""What is wrong with the labels if the detector is right: a box is missing; there is nothing in a box; it has
another class; its thing is beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxDoubt:
    """The strongest contradiction to the boxes of one picture."""

    contradiction: float
    """0 to 1: the share of the pictures that are contradicted less in the same way, by a missing box or
    by one that is there."""
    kind: BoxKind | None
    """How the boxes are contradicted; None: there is neither a box nor a detection."""
    box: int | None
    """The number of the labelled box; None: it is missing."""
    detection: int | None
    """The number of the detection that speaks against it; None: nothing was found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """What one question gives of one picture."""

    strength: float
    kind: BoxKind | None = None
    box: int | None = None
    detection: int | None = None


def doubted_boxes(
    detections: Sequence[Detection],
    boxes: Sequence[Boxes],
    labels: Sequence[Labels],
    believed: Sequence[Floats],
) -> list[BoxDoubt]:
    """Hold each picture's detections against its labelled boxes [M, 4] and their labels [M].

    `believed` [M] is how probable the detector finds each box's class in that very box. A missing box is as
    likely as the best score of a detection that lies near no labelled box, and a labelled box as doubtful as
    its class is improbable.
    """
    pictures = [_LabelledPicture(*one) for one in zip(detections, boxes, labels, believed, strict=True)]
    missing, doubtful = [one.missing() for one in pictures], [one.doubtful() for one in pictures]
    shares = (_contradicted_less([one.strength for one in answers]) for answers in (missing, doubtful))
    doubts = []
    for one, other, first, second in zip(missing, doubtful, *shares, strict=True):
        answer = one if first > second or other.kind is None else other
        doubts.append(
            BoxDoubt(
                contradiction=max(first, second), kind=answer.kind, box=answer.box, detection=answer.detection
            )
        )
    return doubts


def _contradicted_less(strengths: Sequence[float]) -> list[float]:
    """The share, for each strength, of all that are less strong; equal ones count half."""
    below: list[float] = ((rankdata(strengths) - 0.5) / max(len(strengths), 1)).tolist()
    return below


def found_scores(detection: Detection, boxes: Boxes, labels: Labels) -> Floats:
    """The best score [M] of a detection of its class on each box, 0 without one.

    In place of a probability, where the detector cannot be asked what it sees in a box.
    """
    overlap, same = _overlap_and_same(detection, boxes, labels)
    scores = np.where(same & (overlap >= PLACED), detection[2].astype(np.float64), 0.0)
    best: Floats = scores.max(axis=1, initial=0.0)
    return best


def _overlap_and_same(detection: Detection, boxes: Boxes, labels: Labels) -> tuple[Floats, Flags]:
    """IoU [M, D] of labelled boxes and detections, and whether they have the same class."""
    found_boxes, found_labels, _ = detection
    overlap = box_iou(torch.from_numpy(boxes), torch.from_numpy(found_boxes))
    return overlap.double().numpy(), labels[:, None] == found_labels


class _LabelledPicture:
    """One picture: overlaps of D detections and M boxes, and how far each box is believed."""

    def __init__(self, detection: Detection, boxes: Boxes, labels: Labels, believed: Floats) -> None:
        self.scores, self.believed = detection[2].astype(np.float64), believed
        self.overlap, self.same = _overlap_and_same(detection, boxes, labels)

    def missing(self) -> _Answer:
        """The surest detection that lies near no labelled box."""
        free = np.where((self.overlap < NEAR).all(axis=0), self.scores, 0.0)
        if not free.any():
            return _Answer(strength=0.0)
        surest = int(free.argmax())
        return _Answer(strength=float(free[surest]), kind="missing", detection=surest)

    def doubtful(self) -> _Answer:
        """The labelled box that is believed least, and what is found in its place."""
        if not len(self.believed):
            return _Answer(strength=0.0)
        least = int(self.believed.argmin())
        kind, detection = self._in_place_of(least)
        return _Answer(strength=1 - float(self.believed[least]), kind=kind, box=least, detection=detection)

    def _in_place_of(self, box: int) -> tuple[BoxKind, int | None]:
        """What would be wrong with a box, and the detection that says so."""
        overlap, same = self.overlap[box], self.same[box]
        on_it = overlap >= PLACED
        others = np.where(~same & on_it, self.scores, 0.0)
        beside = np.where(same & ~on_it & (overlap >= NEAR), self.scores, 0.0)
        found = self.scores[same & on_it].max(initial=0.0)
        if others.max(initial=0.0) > max(found, beside.max(initial=0.0)):
            return "another_class", int(others.argmax())
        if beside.max(initial=0.0) > found:
            return "badly_placed", int(beside.argmax())
        return "spurious", None
