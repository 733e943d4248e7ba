"""COCO's average precision of detections, by pycocotools.

Lin et al., "Microsoft COCO: Common Objects in Context", 2014; https://cocodataset.org/#detection-eval.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stages.errors import DataError

Boxes = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragePrecision:
    """Means over the classes that have boxes."""

    map: float
    """Mean over the IoU thresholds .50, .55, ... .95: COCO's mAP."""
    map50: float
    """At IoU .50."""
    map75: float
    """At IoU .75."""
    map50_by_class: dict[str, float]
    """Of each class that has boxes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """COCO's precision of detections, from which all figures are read."""

    values: npt.NDArray[np.float64]
    """[10 IoU thresholds, 101 recalls, classes]; -1 of a class without boxes."""
    present: list[int]
    """The classes with boxes."""
    classes: Sequence[str]
    """Names of all classes."""


def precision(
    detections: Sequence[tuple[Boxes, Labels, Scores]],
    boxes: Sequence[Boxes],
    labels: Sequence[Labels],
    classes: Sequence[str],
) -> Precision:
    """How well the detections of each picture find its boxes.

    A picture's detections are boxes [K, 4], labels [K] and scores [K]; its truth is boxes [M, 4] and
    labels [M]. All boxes are xyxy in pixels, all labels indices into `classes`.

    Raises:
        DataError: no picture has a box, so that no precision is defined.

    """
    present = sorted({int(label) for picture in labels for label in picture})
    if not present:
        raise DataError("no picture of the split has a box: average precision is undefined; add annotations")
    if not any(len(found) for found, _, _ in detections):
        return Precision(values=np.zeros((10, 101, len(classes))), present=present, classes=classes)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth = _truth(boxes, labels, classes)
        evaluation = COCOeval(truth, truth.loadRes(_results(detections)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # [IoU thresholds, recalls, classes, areas, detections a picture]: all areas, most detections
    values = evaluation.eval["precision"][:, :, :, 0, -1]
    return Precision(values=values, present=present, classes=classes)


def average_precision(measured: Precision) -> AveragePrecision:
    """The means over recall, and of them over classes and thresholds."""
    averages = measured.values.mean(axis=1)  # [10 IoU thresholds, classes]
    present = measured.present
    return AveragePrecision(
        map=float(averages[:, present].mean()),
        map50=float(averages[0, present].mean()),
        map75=float(averages[5, present].mean()),
        map50_by_class={measured.classes[label]: float(averages[0, label]) for label in present},
    )


def precision_by_recall(measured: Precision) -> npt.NDArray[np.float64]:
    """Precision at IoU .50 where recall is 0, .01, ... 1: [101], means over the classes with boxes.

    Their own mean is `map50`.
    """
    mean: npt.NDArray[np.float64] = measured.values[0][:, measured.present].mean(axis=1)
    return mean


def _truth(boxes: Sequence[Boxes], labels: Sequence[Labels], classes: Sequence[str]) -> COCO:
    truth = COCO()
    annotations = [
        {"image_id": image, "category_id": int(label), "bbox": _xywh(box), "area": _area(box), "iscrowd": 0}
        for image, (picture_boxes, picture_labels) in enumerate(zip(boxes, labels, strict=True))
        for box, label in zip(picture_boxes, picture_labels, strict=True)
    ]
    truth.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(len(boxes))],
        "categories": [{"id": label, "name": name} for label, name in enumerate(classes)],
        # pycocotools takes id 0 for "not matched"
        "annotations": [annotation | {"id": i} for i, annotation in enumerate(annotations, start=1)],
    }
    truth.createIndex()
    return truth


def _results(detections: Sequence[tuple[Boxes, Labels, Scores]]) -> list[dict[str, object]]:
    return [
        {"image_id": image, "category_id": int(label), "bbox": _xywh(box), "score": float(score)}
        for image, found in enumerate(detections)
        for box, label, score in zip(*found, strict=True)
    ]


def _xywh(box: Boxes) -> list[float]:
    x0, y0, x1, y1 = map(float, box)
    return [x0, y0, x1 - x0, y1 - y0]


def _area(box: Boxes) -> float:
    _, _, width, height = _xywh(box)
    return width * height
