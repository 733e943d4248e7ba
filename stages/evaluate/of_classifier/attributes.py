"""How well a classifier tells attributes: figures, a table, a sheet of right and wrong ones."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from stages.core.packed import Targets
from stages.drawing.sheets import CLASSES_MOST, RIGHT, WRONG, Picture, blank_like, image_grid
from stages.evaluate.drawing import evaluation_scale
from stages.evaluate.of_classifier.metrics import calibration_error, reliability
from stages.evaluate.resampling import DrawCounts, Resampled
from stages.networks.calibration import average_precisions, counts_at

Floats = npt.NDArray[np.floating]

ATTRIBUTE_COLUMNS = ("picture", "attribute", "actual", "predicted", "probability")
"""Columns of the table of all answers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttributeOutcomes:
    """What a classifier said of the A attributes of N pictures."""

    names: Sequence[str]
    probabilities: Floats
    """[N, A]."""
    targets: Targets
    """[N, A]: 1, 0, or NaN where unknown."""
    thresholds: Floats
    """[A]: from which probability on a picture counts as having it."""

    def subset(self, rows: npt.NDArray[np.bool_]) -> "AttributeOutcomes":
        """Take the outcomes of the pictures that a mask [N] names."""
        return AttributeOutcomes(
            names=self.names,
            probabilities=self.probabilities[rows],
            targets=self.targets[rows],
            thresholds=self.thresholds,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AttributeFigures:
    """Figures of one attribute, over the pictures of which it is known."""

    average_precision: float
    """scikit-learn's; what tells nothing reaches the share of pictures that have it."""
    precision: float
    recall: float
    f1: float
    """In these three a picture is found if its probability reaches the threshold; 0 / 0 counts as 0."""
    calibration_error: float
    """The mean gap between the probability and how often the attribute is there."""
    threshold: float
    pictures: int
    share: float
    """The share of these pictures that have the attribute."""


def attribute_figures(found: AttributeOutcomes, *, bins: int) -> dict[str, Any]:
    """The means over the attributes, and `by_attribute` the figures of each that a picture is known to have.

    `attribute_map` is the mean of average precisions and `attribute_macro_f1` that of F1;
    `attribute_calibration_error` is that of all answers together.
    """
    precisions = average_precisions(found.probabilities, found.targets)
    by_attribute = {
        name: _figures_of(found, place, float(precisions[place]), bins)
        for place, name in enumerate(found.names)
        if not np.isnan(precisions[place])
    }
    if not by_attribute:
        return {"by_attribute": {}}
    known = ~np.isnan(found.targets)
    return {
        "attribute_map": float(np.nanmean(precisions)),
        "attribute_macro_f1": float(np.mean([one.f1 for one in by_attribute.values()])),
        "attribute_calibration_error": _gap(found.probabilities[known], found.targets[known], bins),
        "by_attribute": {name: asdict(one) for name, one in by_attribute.items()},
    }


def _figures_of(found: AttributeOutcomes, place: int, precision: float, bins: int) -> AttributeFigures:
    known = ~np.isnan(found.targets[:, place])
    scores, truth = found.probabilities[known, place], found.targets[known, place]
    column = slice(place, place + 1)
    right, said, there = (
        int(count[0])
        for count in counts_at(
            found.probabilities[:, column], found.targets[:, column], found.thresholds[column]
        )
    )
    return AttributeFigures(
        average_precision=precision,
        precision=right / max(1, said),
        recall=right / max(1, there),
        f1=2 * right / max(1, said + there),
        calibration_error=_gap(scores, truth, bins),
        threshold=float(found.thresholds[place]),
        pictures=int(known.sum()),
        share=float(truth.mean()),
    )


def _gap(scores: Floats, truth: Floats, bins: int) -> float:
    steps = reliability(scores.astype(np.float64), truth == 1, bins=bins)
    return calibration_error(steps, steps["count"])


def resampled_attributes(found: AttributeOutcomes, drawn: Iterable[DrawCounts]) -> Resampled:
    """`attribute_map` and `attribute_macro_f1` in halves of the pictures [N]: [R] each.

    In a half, an attribute that no picture of it has counts for neither.
    """
    rows = []
    for counts in drawn:
        half = found.subset(counts > 0)
        precisions = average_precisions(half.probabilities, half.targets)
        right, said, there = counts_at(half.probabilities, half.targets, half.thresholds)
        f1 = 2 * right / np.maximum(1, said + there)
        present = there > 0
        means = (precisions[present].mean(), f1[present].mean()) if present.any() else (np.nan, np.nan)
        rows.append(means)
    return dict(zip(("attribute_map", "attribute_macro_f1"), np.array(rows).T, strict=True))


def attribute_table(found: AttributeOutcomes) -> pd.DataFrame:
    """A row for each picture and attribute, in their order; `actual` is empty where it is unknown."""
    pictures, attributes = found.targets.shape
    words = np.array(["no", "yes"])
    actual = np.where(np.isnan(found.targets), "", words[(found.targets == 1).astype(int)])
    predicted = words[(found.probabilities >= found.thresholds).astype(int)]
    columns = (
        np.repeat(np.arange(pictures), attributes),
        np.tile(np.array(found.names, dtype=object), pictures),
        actual.ravel(),
        predicted.ravel(),
        found.probabilities.ravel(),
    )
    return pd.DataFrame(dict(zip(ATTRIBUTE_COLUMNS, columns, strict=True)))


def attribute_sheet(images: npt.NDArray[np.uint8], found: AttributeOutcomes, columns: int) -> Image.Image:
    """Draw a row for each attribute: the surest that were rightly found, and the surest wrong answers.

    There are at most half as many of either as there are columns. Of many attributes the ones with the least
    average precision are drawn.
    """
    precisions = average_precisions(found.probabilities, found.targets)
    measured = np.flatnonzero(~np.isnan(precisions))
    shown = np.sort(measured[np.argsort(precisions[measured], kind="stable")][:CLASSES_MOST])
    blank, half = blank_like(np.asarray(images[0])), columns // 2
    cells: list[Picture] = []
    titles: list[str] = []
    frames = []
    for place in shown:
        for rows, frame in zip(_right_and_wrong(found, place, half), (RIGHT, WRONG), strict=True):
            empty = half - len(rows)
            cells += [*(np.asarray(images[row]) for row in rows), *[blank] * empty]
            titles += [*(f"{found.probabilities[row, place]:.2f}" for row in rows), *[""] * empty]
            frames += [*[frame] * len(rows), *[None] * empty]
    return image_grid(
        cells,
        2 * half,
        titles,
        scale=evaluation_scale(images),
        rows=[found.names[place] for place in shown],
        note=f"The hardest {len(shown)} of {len(measured)} attributes" if len(shown) < len(measured) else "",
        title="What the classifier said of attributes, surest first: green frames have them and were found, "
        "orange answers are wrong",
        frames=frames,
    )


def _right_and_wrong(found: AttributeOutcomes, place: int, most: int) -> tuple[list[int], list[int]]:
    scores, truth, least = found.probabilities[:, place], found.targets[:, place], found.thresholds[place]
    said, known = scores >= least, ~np.isnan(truth)
    right = np.flatnonzero(known & said & (truth == 1))
    wrong = np.flatnonzero(known & (said != (truth == 1)))
    return (
        right[np.argsort(-scores[right], kind="stable")][:most].tolist(),
        wrong[np.argsort(-np.abs(scores[wrong] - least), kind="stable")][:most].tolist(),
    )
