"""How strongly a detector contradicts the boxes that each picture is labelled with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torchvision.ops import box_iou

from stages.detector.network import Detection

Boxes = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

PLACED, NEAR = 0.5, 0.1  # IoU: on a box, and near it
BoxKind = Literal["missing", "spurious", "another_class", "badly_placed"]
"""What is wrong with the labels if the detector is right: a box is missing; there is nothing in a box; it has
another class; its thing is beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxDoubt:
    """The strongest contradiction to the boxes of one picture."""

    contradiction: float
    """From 0 to 1."""
    kind: BoxKind | None
    """None: there is neither a box nor a detection."""
    box: int | None
    """The number of the labelled box; None: it is missing."""
    detection: int | None
    """The number of the detection that speaks against it; None: nothing was found."""


def doubted_boxes(
    detections: Sequence[Detection], boxes: Sequence[Boxes], labels: Sequence[Labels], *, classes: int
) -> list[BoxDoubt]:
    """Hold each picture's detections against its labelled boxes [M, 4] and their labels [M].

    A detection that lies on no labelled box contradicts by its score. A labelled box is contradicted by as
    much as the score of the best detection of its class on it falls short: of that of another class on it, of
    that of its class beside it, or of what is usual for its class in these pictures. So a class that the
    detector often misses is no error wherever it is missed.
    """
    pictures = [_Picture(*one) for one in zip(detections, boxes, labels, strict=True)]
    found = np.concatenate([one.found for one in pictures])
    of_class = np.concatenate([*labels, np.empty(0, np.int64)])
    counts = np.maximum(np.bincount(of_class, minlength=classes), 1)
    usual = np.bincount(of_class, found, minlength=classes) / counts
    return [one.strongest(usual) for one in pictures]


class _Picture:
    """One picture: overlaps of D detections and M boxes, and how well each box is found."""

    def __init__(self, detection: Detection, boxes: Boxes, labels: Labels) -> None:
        found_boxes, self.found_labels, scores = detection
        self.labels, self.scores = labels, scores.astype(np.float64)
        overlap = box_iou(torch.from_numpy(boxes), torch.from_numpy(found_boxes))
        self.overlap = overlap.double().numpy()  # [M, D]
        self.same = labels[:, None] == self.found_labels
        self.found = self._best(self.same & (self.overlap >= PLACED))[0]

    def _best(self, allowed: Flags) -> tuple[Floats, Labels]:
        """The best score among the `allowed` [M, D] detections of each box, 0 without, and whose it is."""
        if not allowed.shape[1]:
            return np.zeros(len(allowed)), np.zeros(len(allowed), np.int64)
        scores = np.where(allowed, self.scores, 0.0)
        return scores.max(axis=1), scores.argmax(axis=1)

    def strongest(self, usual: Floats) -> BoxDoubt:
        """The strongest contradiction, given the `usual` score [K] of each class's boxes."""
        doubts = [*self._of_boxes(usual), *self._missing()]
        nothing = BoxDoubt(contradiction=0.0, kind=None, box=None, detection=None)
        return max(doubts, key=lambda doubt: doubt.contradiction, default=nothing)

    def _of_boxes(self, usual: Floats) -> list[BoxDoubt]:
        other, whose_other = self._best(~self.same & (self.overlap >= PLACED))
        beside, whose_beside = self._best(self._beside())
        doubts = []
        for box, label in enumerate(self.labels.tolist()):
            kind: BoxKind = "spurious"
            detection = None
            if other[box] > max(self.found[box], beside[box]):
                kind, detection = "another_class", int(whose_other[box])
            elif beside[box] > self.found[box]:
                kind, detection = "badly_placed", int(whose_beside[box])
            against = max(other[box], beside[box], usual[label])
            strength = max(0.0, float(against - self.found[box]))
            doubts.append(BoxDoubt(contradiction=strength, kind=kind, box=box, detection=detection))
        return doubts

    def _beside(self) -> Flags:
        """Detections [M, D] near a box of their class that is not found, and on no other box."""
        lost = (self.found <= 0)[:, None]
        beside: Flags = self.same & lost & (self.overlap >= NEAR) & ~self._on_a_box()
        return beside

    def _on_a_box(self) -> Flags:
        """Detections [D] that lie on a labelled box."""
        on_one: Flags = (self.overlap >= PLACED).any(axis=0)
        return on_one

    def _missing(self) -> list[BoxDoubt]:
        explained = self._on_a_box() | self._beside().any(axis=0)
        return [
            BoxDoubt(contradiction=float(self.scores[row]), kind="missing", box=None, detection=int(row))
            for row in np.flatnonzero(~explained)
        ]
