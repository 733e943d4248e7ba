"""Average precision as COCO's paper and its page of definitions have it, without pycocotools.

Lin et al., "Microsoft COCO" (2014); https://cocodataset.org/#detection-eval; precision at 101 recalls.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.stages.audit.table import Row, compared
from stages.core.packed import DetectionSplit
from stages.detector.network import Detection

Floats = npt.NDArray[np.float64]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100


def audit_detector(
    figures: Mapping[str, Any], detections: Sequence[Detection], test: DetectionSplit
) -> list[Row]:
    """Compare the figures of evaluate.json with those of the same detections."""
    by_class = {
        name: _of_class(detections, test, label)
        for label, name in enumerate(test.classes)
        if any((labels == label).any() for labels in test.labels)
    }
    precisions = np.stack([precision for precision, _ in by_class.values()])  # [classes, 10]
    recalls = np.stack([recall for _, recall in by_class.values()])
    independent = {
        "map": precisions.mean(),
        "map50": precisions[:, 0].mean(),
        "map75": precisions[:, 5].mean(),
        "recall_100": recalls.mean(),
    }
    rows = compared("detector", figures, independent, "COCO's definition")
    for name, (precision, recall) in by_class.items():
        of_class = {"map": precision.mean(), "map50": precision[0], "recall": recall.mean()}
        rows += compared(
            f"detector.by_class.{name}", figures["by_class"][name], of_class, "COCO's definition"
        )
    return rows


def _of_class(detections: Sequence[Detection], test: DetectionSplit, label: int) -> tuple[Floats, Floats]:
    """Average precision and the highest recall at each threshold, [10] both."""
    scores: list[float] = []
    right: list[npt.NDArray[np.bool_]] = []  # [10] each
    total = 0
    for (boxes, labels, sure), truth, true_labels in zip(detections, test.boxes, test.labels, strict=True):
        wanted = truth[true_labels == label]
        total += len(wanted)
        order = np.argsort(-sure[labels == label], kind="stable")[:MOST]
        found, found_sure = boxes[labels == label][order], sure[labels == label][order]
        free = np.ones((len(THRESHOLDS), len(wanted)), dtype=bool)
        for box, score in zip(found, found_sure, strict=True):
            overlap = np.array([_overlap(box, other) for other in wanted])
            hits = np.zeros(len(THRESHOLDS), dtype=bool)
            for number, threshold in enumerate(THRESHOLDS):
                fitting = np.where(free[number], overlap, -1.0) if len(wanted) else np.zeros(0)
                if fitting.size and fitting.max() >= threshold:
                    free[number, fitting.argmax()] = False
                    hits[number] = True
            scores.append(float(score))
            right.append(hits)
    if not scores:
        return np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    ranked = np.stack(right)[np.argsort(-np.array(scores), kind="stable")].T  # [10, D]
    hits = ranked.cumsum(axis=1)
    precision, recall = hits / np.arange(1, hits.shape[1] + 1), hits / total
    read = [
        [p[r >= wanted].max(initial=0.0) for wanted in RECALLS]
        for p, r in zip(precision, recall, strict=True)
    ]
    return np.mean(read, axis=1), recall[:, -1]


def _overlap(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Intersection over union of two boxes, xyxy."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    inside = sides.prod()
    return float(inside / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inside))
