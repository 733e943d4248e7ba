"""Average precision as COCO's paper and its page of definitions have it, without pycocotools; kinds of error.

Lin et al., "Microsoft COCO" (2014); https://cocodataset.org/#detection-eval; precision at 101 recalls. Bolya
et al., "TIDE" (2020).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.functional.classification import binary_calibration_error

from benchmarks.stages.audit.table import Row, compared
from stages.core.packed import DetectionSplit
from stages.detector.network import Detection

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100
AREAS = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
ALL = (0.0, 1e10)
NONE = -1.0
"""COCO's figure where there is no box."""


def audit_precision(
    prefix: str, figures: Mapping[str, Any], detections: Sequence[Detection], test: DetectionSplit
) -> list[Row]:
    """Compare COCO's twelve figures, and those of each class, with those of the same detections."""

    @cache
    def of_class(label: int, area: tuple[float, float], most: int) -> tuple[Floats, Floats] | None:
        """Several figures are means of the same."""
        return _of_class(detections, test, label, area, most)

    def mean_of(
        what: int, *, area: tuple[float, float] = ALL, most: int = MOST, at: int | None = None
    ) -> float:
        """The mean of what is defined: 0 precision, 1 recall; at one threshold or at all."""
        each = [of_class(label, area, most) for label in range(len(test.classes))]
        defined = [one[what] if at is None else one[what][[at]] for one in each if one]
        values = np.concatenate([np.zeros(0), *defined])
        return float(values.mean()) if len(values) else NONE

    independent = {
        "map": mean_of(0),
        "map50": mean_of(0, at=0),
        "map75": mean_of(0, at=5),
        **{f"map_{name}": mean_of(0, area=area) for name, area in AREAS.items()},
        **{f"recall_{most}": mean_of(1, most=most) for most in (1, 10, 100)},
        **{f"recall_{name}": mean_of(1, area=area) for name, area in AREAS.items()},
    }
    rows = compared(prefix, figures, independent, "COCO's definition")
    for label, name in enumerate(test.classes):
        found = of_class(label, ALL, MOST)
        if found:
            independent = {
                "map": found[0].mean(),
                "map50": found[0][0],
                "recall": found[1].mean(),
                "boxes": sum(int((labels == label).sum()) for labels in test.labels),
            }
            rows += compared(
                f"{prefix}.by_class.{name}", figures["by_class"][name], independent, "COCO's definition"
            )
    return rows


def map50(detections: Sequence[Detection], scenes: DetectionSplit) -> float:
    """COCO's average precision at IoU .50 of detections in the first of the scenes."""
    number = len(detections)
    first = DetectionSplit(
        images=scenes.images[:number],
        boxes=scenes.boxes[:number],
        labels=scenes.labels[:number],
        classes=scenes.classes,
    )
    each = [_of_class(detections, first, label, ALL, MOST) for label in range(len(scenes.classes))]
    return float(np.mean([one[0][0] for one in each if one]))


def audit_errors(
    figures: Mapping[str, Any],
    detections: Sequence[Detection],
    test: DetectionSplit,
    *,
    score_min: float,
    bins: int,
) -> list[Row]:
    """Compare the counts of each kind of error, and the calibration error of the scores."""
    counts: Counter[str] = Counter()
    scores: list[float] = []
    right: list[int] = []
    for (boxes, labels, sure), truth, true_labels in zip(detections, test.boxes, test.labels, strict=True):
        taken: set[int] = set()
        meant: set[int] = set()
        for number in np.argsort(-sure, kind="stable"):
            if sure[number] < score_min:
                continue
            overlap = np.array([_overlap(boxes[number], other) for other in truth])
            kind, item = _kind(overlap, true_labels == labels[number], taken)
            counts[kind] += 1
            if kind == "right":
                taken.add(item)
            elif item >= 0:
                meant.add(item)
            scores.append(float(sure[number]))
            right.append(int(kind == "right"))
        counts["missed"] += len(truth) - len(taken | meant)
    kinds = (
        "right",
        "wrong_class",
        "badly_placed",
        "wrong_class_and_place",
        "double",
        "background",
        "missed",
    )
    rows = compared(
        "detector.found", figures["found"], {name: counts[name] for name in kinds}, "its definition"
    )
    gap = 0.0
    if scores:
        as_tensors = torch.tensor(scores, dtype=torch.float64), torch.tensor(right)
        gap = float(binary_calibration_error(*as_tensors, n_bins=bins, norm="l1"))
    return rows + compared("detector", figures, {"calibration_error": gap}, "torchmetrics")


def _kind(overlap: Floats, same: Bools, taken: set[int]) -> tuple[str, int]:
    """What a detection is, and the item that it takes or is meant for; -1 where there is none."""
    free = [item for item in range(len(overlap)) if item not in taken and same[item] and overlap[item] >= 0.5]
    if free:
        return "right", max(free, key=lambda item: overlap[item])
    for name, allowed, least in (
        ("double", same, 0.5),
        ("wrong_class", ~same, 0.5),
        ("badly_placed", same, 0.1),
        ("wrong_class_and_place", ~same, 0.1),
    ):
        near = [item for item in range(len(overlap)) if allowed[item] and overlap[item] >= least]
        if near:
            return name, -1 if name == "double" else max(near, key=lambda item: overlap[item])
    return "background", -1


def _of_class(
    detections: Sequence[Detection],
    test: DetectionSplit,
    label: int,
    area: tuple[float, float],
    most: int,
) -> tuple[Floats, Floats] | None:
    """Average precision and the highest recall at each threshold, [10] both; None without a box in `area`.

    Boxes of other areas count neither as found nor as missed, nor do the detections on them, nor detections
    of other areas that are on nothing.
    """
    scores: list[float] = []
    right: list[Bools] = []  # [10] each
    counted: list[Bools] = []  # [10] each
    total = 0
    for (boxes, labels, sure), truth, true_labels in zip(detections, test.boxes, test.labels, strict=True):
        wanted = truth[true_labels == label]
        inside = np.array([area[0] <= _area(box) <= area[1] for box in wanted], dtype=bool)
        total += int(inside.sum())
        order = np.argsort(-sure[labels == label], kind="stable")[:most]
        found, found_sure = boxes[labels == label][order], sure[labels == label][order]
        free = np.ones((len(THRESHOLDS), len(wanted)), dtype=bool)
        for box, score in zip(found, found_sure, strict=True):
            overlap = np.array([_overlap(box, other) for other in wanted])
            hits = np.zeros(len(THRESHOLDS), dtype=bool)
            counts = np.full(len(THRESHOLDS), area[0] <= _area(box) <= area[1])
            for number, threshold in enumerate(THRESHOLDS):
                for among in (inside, ~inside):  # a box of this area is taken before any other
                    fitting = np.where(free[number] & among, overlap, -1.0) if len(wanted) else np.zeros(0)
                    if fitting.size and fitting.max() >= threshold:
                        taken = int(fitting.argmax())
                        free[number, taken] = False
                        hits[number] = counts[number] = inside[taken]
                        break
            scores.append(float(score))
            right.append(hits)
            counted.append(counts)
    if not total:
        return None
    if not scores:
        return np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    order = np.argsort(-np.array(scores), kind="stable")
    read, highest = [], []
    for hits, counts in zip(np.stack(right)[order].T, np.stack(counted)[order].T, strict=True):
        so_far = hits[counts].cumsum()
        precision, recall = so_far / np.arange(1, len(so_far) + 1), so_far / total
        read.append(np.mean([precision[recall >= wanted].max(initial=0.0) for wanted in RECALLS]))
        highest.append(recall[-1] if len(recall) else 0.0)
    return np.array(read), np.array(highest)


def _area(box: npt.NDArray[np.float32]) -> float:
    return float(np.prod(box[2:].astype(np.float64) - box[:2].astype(np.float64)))


def _overlap(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Intersection over union of two boxes, xyxy."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    inside = sides.prod()
    return float(inside / (_area(first) + _area(second) - inside))
