"""Average precision on resampled pictures: how sure the figure is."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from stages.detector.average_precision import Found, Precision
from stages.evaluate.resampling import DrawCounts, Floats, Resampled

RECALLS = np.linspace(0, 1, 101)
"""The values of recall at which precision is read, those of COCO."""


def resampled_precision(measured: Precision, drawn: Iterable[DrawCounts]) -> Resampled:
    """COCO's `map`, `map50` and `map75` of the pictures in every draw; nan where it has no box.

    A draw tells of each of the N pictures how often it is in it.
    """
    rows = [
        _mean_precision(np.stack([_precision_in(found, counts) for found in measured.found]))
        for counts in drawn
    ]
    means = np.stack(rows)  # [R, 10]
    return {"map": means.mean(axis=1), "map50": means[:, 0], "map75": means[:, 5]}


def _mean_precision(by_class: Floats) -> Floats:
    """The mean over the classes with boxes: [classes, 10] to [10]."""
    defined = by_class[np.isfinite(by_class[:, 0])]
    return defined.mean(axis=0) if len(defined) else np.full(by_class.shape[1], np.nan)


def _precision_in(found: Found, counts: DrawCounts) -> Floats:
    """A class's average precision in a draw, at each threshold [10]; nan where it has no box.

    A picture drawn twice counts twice in the running sums: between the two the curve has no other corner that
    precision, made to fall, or recall could be read from.
    """
    boxes, of_each = counts @ found.boxes, counts[found.picture]  # [D]
    result = np.full(len(found.right), 0.0 if boxes else np.nan)
    if not boxes or not len(of_each):
        return result
    so_far = np.maximum(of_each.cumsum(), 1)
    hits = (of_each * found.right).cumsum(axis=1)  # [10, D]
    falling = np.maximum.accumulate((hits / so_far)[:, ::-1], axis=1)[:, ::-1]
    for threshold, (recalls, precisions) in enumerate(zip(hits / boxes, falling, strict=True)):
        places = np.searchsorted(recalls, RECALLS)
        result[threshold] = precisions[places[places < len(recalls)]].sum() / len(RECALLS)
    return result


def precision_by_recall(measured: Precision) -> dict[str, npt.NDArray[np.float64]]:
    """Columns of a table: precision at IoU .50 where `recall` is 0, .01, ... 1, each [101].

    Under `precision` is the mean over the classes with boxes, whose own mean is `map50`; under each class's
    name its own.
    """
    at50 = measured.values[0, :, :, 0, -1]  # [101, classes]
    by_class = {f"precision of {measured.classes[label]}": at50[:, label] for label in measured.present}
    mean = at50[:, measured.present].mean(axis=1)
    return {"recall": np.linspace(0, 1, len(at50)), "precision": mean, **by_class}
