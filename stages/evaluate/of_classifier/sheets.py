"""What evaluation shows of a classifier: right and wrong pictures, Grad-CAM, worst losses."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.core.packed import ClassificationSplit
from stages.drawing.sheets import RIGHT, WRONG, Picture, blank_like, image_grid
from stages.evaluate.drawing import evaluation_scale, most_confused_note
from stages.evaluate.of_classifier.grad_cam import overlaid
from stages.evaluate.of_classifier.metrics import ClassificationOutcomes

FRAMED = "a row for each true class, green frames are right, orange ones wrong"

RightAndWrong = dict[int, tuple[list[int], list[int]]]
"""Rows of pictures by their label: those that were right, and those that were not."""


def right_and_wrong(outcomes: ClassificationOutcomes, labels: Sequence[int], columns: int) -> RightAndWrong:
    """Choose for each class the surest pictures that were right, and the surest that were wrong.

    There are at most half as many of either as there are columns.
    """
    surest = np.argsort(-outcomes.confidence, kind="stable")
    right, actual = (outcomes.rank == 1)[surest], outcomes.labels[surest]
    return {
        label: (
            surest[(actual == label) & right][: columns // 2].tolist(),
            surest[(actual == label) & ~right][: columns // 2].tolist(),
        )
        for label in labels
    }


def pictures_in(rows: RightAndWrong) -> list[int]:
    """The rows of all pictures that `right_and_wrong` chose, one after the other."""
    return [row for halves in rows.values() for row in chain(*halves)]


def predictions_sheet(
    test: ClassificationSplit, outcomes: ClassificationOutcomes, rows: RightAndWrong, columns: int
) -> Image.Image:
    """Draw a row for each class with the chosen pictures, what they were taken for, and how surely."""
    pictures = {row: test.images[row] for row in pictures_in(rows)}
    title = f"What the classifier said of test pictures, surest first: {FRAMED}"
    return _by_class(test, outcomes, rows, columns, pictures, title)


def cams_sheet(
    test: ClassificationSplit,
    outcomes: ClassificationOutcomes,
    rows: RightAndWrong,
    columns: int,
    heat: npt.NDArray[np.float32],
) -> Image.Image:
    """Draw the chosen pictures under `heat` [N, H, W], which shows what speaks for the predicted class."""
    shown = zip(pictures_in(rows), heat, strict=True)
    pictures = {row: overlaid(test.images[row], on) for row, on in shown}
    title = f"Where the classifier looked for the class that it said: {FRAMED}"
    return _by_class(test, outcomes, rows, columns, pictures, title)


def worst_sheet(test: ClassificationSplit, outcomes: ClassificationOutcomes, columns: int) -> Image.Image:
    """Draw the pictures with the greatest loss, with the predicted class and the right one.

    There are half as many rows as columns.
    """
    worst = np.argsort(-outcomes.loss, kind="stable")[: columns * (columns // 2)]
    names = test.classes
    titles = [
        f"{outcomes.loss[row]:.1f} {names[outcomes.predicted[row]]}, not {names[outcomes.labels[row]]}"
        if outcomes.rank[row] > 1
        else f"{outcomes.loss[row]:.1f} {names[outcomes.labels[row]]}"
        for row in worst
    ]
    return image_grid(
        [test.images[row] for row in worst],
        columns,
        titles,
        scale=2 * evaluation_scale(test.images),
        title="The test pictures with the greatest loss: the loss, what was said, and what is true",
        frames=[RIGHT if outcomes.rank[row] == 1 else WRONG for row in worst],
    )


def _by_class(
    test: ClassificationSplit,
    outcomes: ClassificationOutcomes,
    rows: RightAndWrong,
    columns: int,
    pictures: dict[int, Picture],
    title: str,
) -> Image.Image:
    """A row a class of the pictures by their rows; half of the columns right, half wrong."""
    blank = blank_like(next(iter(pictures.values())))
    cells = [row for half in chain(*rows.values()) for row in [*half, *[None] * (columns // 2 - len(half))]]
    return image_grid(
        [blank if row is None else pictures[row] for row in cells],
        2 * (columns // 2),
        [
            "" if row is None else f"{outcomes.confidence[row]:.2f} {test.classes[outcomes.predicted[row]]}"
            for row in cells
        ],
        scale=evaluation_scale(test.images),
        rows=[test.classes[label] for label in rows],
        note=most_confused_note(len(rows), len(test.classes)),
        title=title,
        frames=[None if row is None else RIGHT if outcomes.rank[row] == 1 else WRONG for row in cells],
    )
