"""What becomes of detections: right, or wrong in which way; what is taken for what; what scores are worth.

D. Bolya et al. 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors",
https://arxiv.org/abs/2008.08115; F. Küppers et al. 2020, "Multivariate Confidence Calibration for Object
Detection", https://arxiv.org/abs/2004.13546.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torchvision.ops import box_iou

from stages.evaluate.of_classifier.metrics import calibration_error, reliability

Boxes = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

PLACED = 0.5  # IoU from which on a box is in the right place
NEAR = 0.1  # IoU from which on it is meant for an item at all
KINDS = ("right", "wrong_class", "badly_placed", "wrong_class_and_place", "double", "background")
_RIGHT, _WRONG_CLASS, _BACKGROUND = map(KINDS.index, ("right", "wrong_class", "background"))


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionOutcomes:
    """What became of the detections with a score of at least `score_min`."""

    scores: npt.NDArray[np.float64]
    """[D], of all pictures one after the other, each picture's surest first."""
    kinds: Labels
    """[D], indices into `KINDS`."""
    missed: int
    """Items that no detection matches, neither rightly nor with a wrong class or place."""
    confusion: Labels
    """[K + 1, K + 1]: how often items of class r were taken for class c; the last class is the ground.

    The diagonal adds up to what is right, the rest to `wrong_class`, the last row to `background` and the
    last column to `missed`; doubles, and detections that are only near an item, stand in no cell.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionErrors:
    """Detections and items by what became of them; the first six add up to all detections."""

    right: int
    """Detections on an item of their class (IoU at least .50) that no surer detection is on."""
    wrong_class: int
    """Detections on an item of another class."""
    badly_placed: int
    """Detections near an item of their class (IoU from .10 to .50)."""
    wrong_class_and_place: int
    """Detections near an item of another class."""
    double: int
    """Detections on an item of their class that a surer detection is on."""
    background: int
    """Detections that are not near any item."""
    missed: int
    """Items that no detection of the first four kinds matches."""


def detection_outcomes(
    detections: Sequence[tuple[Boxes, Labels, Scores]],
    boxes: Sequence[Boxes],
    labels: Sequence[Labels],
    *,
    classes: int,
    score_min: float,
) -> DetectionOutcomes:
    """Judge the detections with a score of at least `score_min`.

    A picture's detections are boxes [D, 4], labels [D] and scores [D]; its truth is boxes [M, 4] and labels
    [M].
    """
    confusion = np.zeros((classes + 1, classes + 1), np.int64)
    scores, kinds, missed = [np.zeros(0)], [np.zeros(0, np.int64)], 0
    for (found, found_labels, sure), true_boxes, true_labels in zip(detections, boxes, labels, strict=True):
        order = np.argsort(-sure, kind="stable")
        order = order[sure[order] >= score_min]
        overlap = box_iou(torch.from_numpy(found[order]), torch.from_numpy(true_boxes)).double().numpy()
        same = found_labels[order][:, None] == true_labels  # [D, M]
        taken = matched(overlap, same)
        kinds.append(kinds_of(overlap, same, taken))
        scores.append(sure[order].astype(np.float64))
        lost = _unmentioned(overlap, same, taken, kinds[-1])
        missed += int(lost.sum())
        nearest = np.where(kinds[-1] == _WRONG_CLASS, _most_overlapped(overlap, ~same), taken)
        on_item = np.isin(kinds[-1], (_RIGHT, _WRONG_CLASS))
        np.add.at(confusion, (true_labels[nearest[on_item]], found_labels[order][on_item]), 1)
        np.add.at(confusion[classes], found_labels[order][kinds[-1] == _BACKGROUND], 1)
        np.add.at(confusion[:, classes], true_labels[lost], 1)
    return DetectionOutcomes(
        scores=np.concatenate(scores), kinds=np.concatenate(kinds), missed=missed, confusion=confusion
    )


def matched(overlap: npt.NDArray[np.float64], allowed: npt.NDArray[np.bool_]) -> Labels:
    """Match detections, the surest first, to items: the number of the item that each takes, or -1, [D].

    A detection takes the item that it overlaps most, by an IoU [D, M] of at least `PLACED`, of those that are
    `allowed` [D, M] and that no detection before it took.
    """
    taken = np.full(len(overlap), -1, np.int64)
    free = np.ones(overlap.shape[1], bool)
    for detection, row in enumerate(np.where(allowed & (overlap >= PLACED), overlap, -1.0)):
        left = np.where(free, row, -1.0)
        if left.size and left.max() >= PLACED:
            taken[detection] = left.argmax()
            free[taken[detection]] = False
    return taken


def kinds_of(overlap: npt.NDArray[np.float64], same: npt.NDArray[np.bool_], taken: Labels) -> Labels:
    """The kind of each detection, [D], as an index into `KINDS`: the first that holds."""
    of_same = np.where(same, overlap, 0.0).max(axis=1, initial=0.0)
    of_other = np.where(same, 0.0, overlap).max(axis=1, initial=0.0)
    holds = {
        "right": taken >= 0,
        "double": of_same >= PLACED,
        "wrong_class": of_other >= PLACED,
        "badly_placed": of_same >= NEAR,
        "wrong_class_and_place": of_other >= NEAR,
    }
    kinds: Labels = np.select(list(holds.values()), list(map(KINDS.index, holds)), KINDS.index("background"))
    return kinds


def detection_errors(found: DetectionOutcomes) -> DetectionErrors:
    """Count the detections of each kind, and the missed items."""
    counts = np.bincount(found.kinds, minlength=len(KINDS)).tolist()
    return DetectionErrors(**dict(zip(KINDS, counts, strict=True)), missed=found.missed)


def score_reliability(found: DetectionOutcomes, *, bins: int) -> pd.DataFrame:
    """Mean `confidence` (score), `accuracy` (share that is right) and `count` by steps of the score."""
    return reliability(found.scores, found.kinds == KINDS.index("right"), bins=bins)


def score_calibration(steps: pd.DataFrame) -> float:
    """The mean gap between score and share that is right; 0 where there is no detection."""
    return calibration_error(steps, steps["count"])


def _unmentioned(
    overlap: npt.NDArray[np.float64], same: npt.NDArray[np.bool_], taken: Labels, kinds: Labels
) -> npt.NDArray[np.bool_]:
    """Items [M] that no detection took, and that none which is wrong in class or place is nearest to."""
    free = np.ones(overlap.shape[1], bool)
    free[taken[taken >= 0]] = False
    for name, allowed in (
        ("wrong_class", ~same),
        ("badly_placed", same),
        ("wrong_class_and_place", ~same),
    ):
        for row in np.where(allowed, overlap, -1.0)[kinds == KINDS.index(name)]:
            free[row.argmax()] = False
    return free


def _most_overlapped(overlap: npt.NDArray[np.float64], allowed: npt.NDArray[np.bool_]) -> Labels:
    """The number of the `allowed` item that each detection overlaps most, [D]; 0 where there is none."""
    if not overlap.shape[1]:
        return np.zeros(len(overlap), np.int64)
    nearest: Labels = np.where(allowed, overlap, -1.0).argmax(axis=1)
    return nearest
