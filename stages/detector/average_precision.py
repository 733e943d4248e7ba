"""COCO's average precision of detections, by pycocotools.

Lin et al., "Microsoft COCO: Common Objects in Context", 2014; https://cocodataset.org/#detection-eval.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stages.core.errors import DataError

Boxes = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


AREAS = ("all", "small", "medium", "large")
"""COCO's: of a box under 32^2 pixels, up to 96^2, and above."""
MOST = (1, 10, 100)
"""Detections a picture that count, the surest: COCO's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassPrecision:
    """COCO's figures of one class."""

    map: float
    map50: float
    recall: float
    """The highest recall, a mean over the IoU thresholds."""
    boxes: int
    """How many boxes of the class the truth has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragePrecision:
    """COCO's twelve figures: means over the classes that have boxes, -1 where no class has."""

    map: float
    """Mean over the IoU thresholds .50, .55, ... .95: COCO's mAP."""
    map50: float
    """Mean average precision at IoU .50."""
    map75: float
    """Mean average precision at IoU .75."""
    map_small: float
    """Mean average precision of boxes under 32^2 pixels."""
    map_medium: float
    """Mean average precision of boxes from 32^2 to 96^2 pixels; `map_large` is that of larger ones."""
    map_large: float
    recall_1: float
    """The highest recall where one detection a picture counts, a mean over the IoU thresholds."""
    recall_10: float
    recall_100: float
    recall_small: float
    recall_medium: float
    recall_large: float
    by_class: dict[str, ClassPrecision]
    """Figures of each class that has boxes, by its name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What became of a class's detections, the surest first."""

    picture: npt.NDArray[np.int64]
    """[D]: the picture that each detection is in."""
    scores: npt.NDArray[np.float64]
    """[D]: the scores, falling."""
    right: npt.NDArray[np.bool_]
    """[10 IoU thresholds, D]: whether each detection takes an item at that threshold."""
    boxes: npt.NDArray[np.int64]
    """How many the truth has in each picture: [N]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """COCO's precision of detections, from which all figures are read; -1 where there are no boxes."""

    values: npt.NDArray[np.float64]
    """[10 IoU thresholds, 101 recalls, classes, areas, detections a picture]."""
    recalls: npt.NDArray[np.float64]
    """The highest recalls: [10 IoU thresholds, classes, areas, detections a picture]."""
    boxes: list[int]
    """How many boxes each class has."""
    classes: Sequence[str]
    """Names of all classes."""
    found: list[Found]
    """Detections of each class."""

    @property
    def present(self) -> list[int]:
        """Labels of the classes that have boxes."""
        return [label for label, count in enumerate(self.boxes) if count]


def precision(
    detections: Sequence[tuple[Boxes, Labels, Scores]],
    boxes: Sequence[Boxes],
    labels: Sequence[Labels],
    classes: Sequence[str],
) -> Precision:
    """Measure how well the detections of each picture find its boxes.

    A picture's detections are boxes [K, 4], labels [K] and scores [K]; its truth is boxes [M, 4] and
    labels [M]. All boxes are xyxy in pixels, all labels indices into `classes`.

    Raises:
        DataError: No picture has a box, so that no precision is defined; or what was found is not finite.

    """
    for picture, found in enumerate(detections):
        if not all(np.isfinite(values).all() for values in found):
            raise DataError(
                f"picture {picture}: a box or score found is NaN or infinite; train the detector again"
            )
    counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *labels]), minlength=len(classes))
    if not counts.any():
        raise DataError("no picture of the split has a box: average precision is undefined; add annotations")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation = COCOeval(_truth(boxes, labels, classes), _found(detections, classes), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return Precision(
        values=evaluation.eval["precision"],
        recalls=evaluation.eval["recall"],
        boxes=counts.tolist(),
        classes=classes,
        found=[_found_of(evaluation, label, labels) for label in range(len(classes))],
    )


def average_precision(measured: Precision) -> AveragePrecision:
    """Average the precision over recalls, classes and thresholds."""
    values, recalls, everything, most = measured.values, measured.recalls, 0, len(MOST) - 1
    small, medium, large = range(1, len(AREAS))
    return AveragePrecision(
        map=_mean(values[..., everything, most]),
        map50=_mean(values[0, ..., everything, most]),
        map75=_mean(values[5, ..., everything, most]),
        map_small=_mean(values[..., small, most]),
        map_medium=_mean(values[..., medium, most]),
        map_large=_mean(values[..., large, most]),
        recall_1=_mean(recalls[..., everything, 0]),
        recall_10=_mean(recalls[..., everything, 1]),
        recall_100=_mean(recalls[..., everything, 2]),
        recall_small=_mean(recalls[..., small, most]),
        recall_medium=_mean(recalls[..., medium, most]),
        recall_large=_mean(recalls[..., large, most]),
        by_class={
            measured.classes[label]: ClassPrecision(
                map=_mean(values[:, :, label, everything, most]),
                map50=_mean(values[0, :, label, everything, most]),
                recall=_mean(recalls[:, label, everything, most]),
                boxes=measured.boxes[label],
            )
            for label in measured.present
        },
    )


def _found_of(evaluation: COCOeval, label: int, labels: Sequence[Labels]) -> Found:
    """Read detections from pycocotools' matches of one class, with boxes of all areas."""
    pictures = len(labels)
    start = label * len(AREAS) * pictures  # by class, area, picture; the first area is all
    matches = evaluation.evalImgs[start : start + pictures]
    scores = [np.array(match["dtScores"] if match else []) for match in matches]
    right = [
        match["dtMatches"] > 0 if match else np.zeros((len(evaluation.params.iouThrs), 0), bool)
        for match in matches
    ]
    order = np.argsort(-np.concatenate(scores), kind="mergesort")  # pycocotools' own
    return Found(
        picture=np.repeat(np.arange(pictures), list(map(len, scores)))[order],
        scores=np.concatenate(scores)[order],
        right=np.concatenate(right, axis=1)[:, order],
        boxes=np.array([(picture_labels == label).sum() for picture_labels in labels], dtype=np.int64),
    )


def _mean(values: npt.NDArray[np.float64]) -> float:
    """The mean of the values that are defined; -1 where none is, as COCO has it."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0


def _truth(boxes: Sequence[Boxes], labels: Sequence[Labels], classes: Sequence[str]) -> COCO:
    annotations = [
        {"image_id": image, "category_id": int(label), "bbox": _xywh(box)}
        for image, (picture_boxes, picture_labels) in enumerate(zip(boxes, labels, strict=True))
        for box, label in zip(picture_boxes, picture_labels, strict=True)
    ]
    return _coco(annotations, len(boxes), classes)


def _found(detections: Sequence[tuple[Boxes, Labels, Scores]], classes: Sequence[str]) -> COCO:
    """Detections as COCO has them. Its own COCO.loadRes refuses an empty list."""
    annotations = [
        {"image_id": image, "category_id": int(label), "bbox": _xywh(box), "score": float(score)}
        for image, found in enumerate(detections)
        for box, label, score in zip(*found, strict=True)
    ]
    return _coco(annotations, len(detections), classes)


def _coco(annotations: Sequence[dict[str, Any]], images: int, classes: Sequence[str]) -> COCO:
    made = COCO()
    made.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": label, "name": name} for label, name in enumerate(classes)],
        "annotations": [
            # pycocotools takes id 0 for "not matched"
            annotation | {"id": number, "iscrowd": 0, "area": annotation["bbox"][2] * annotation["bbox"][3]}
            for number, annotation in enumerate(annotations, start=1)
        ],
    }
    made.createIndex()
    return made


def _xywh(box: Boxes) -> list[float]:
    x0, y0, x1, y1 = map(float, box)
    return [x0, y0, x1 - x0, y1 - y0]
