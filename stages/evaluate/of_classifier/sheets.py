"""What evaluation shows of a classifier: right and wrong pictures, Grad-CAM, worst losses."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.core.packed import ClassificationSplit
from stages.drawing.sheets import RIGHT, WRONG, Picture, blank_like, image_grid, sentence_sheet
from stages.evaluate.drawing import evaluation_scale, most_confused_note
from stages.evaluate.of_classifier.grad_cam import overlaid, with_scale
from stages.evaluate.of_classifier.metrics import ClassificationOutcomes

FRAMED = "a row for each true class, green frames are right, orange ones wrong"

SURE = 0.1  # loss: the true class was given a probability of 90 % or more

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
    test: ClassificationSplit, outcomes: ClassificationOutcomes, rows: RightAndWrong
) -> Image.Image:
    """Draw a row for each class with the chosen pictures, what they were taken for, and how surely."""
    pictures = {row: test.images[row] for row in pictures_in(rows)}
    title = f"What the classifier said of test pictures, surest first: {FRAMED}"
    return _by_class(test, outcomes, rows, pictures, title)


def cams_sheet(
    test: ClassificationSplit,
    outcomes: ClassificationOutcomes,
    rows: RightAndWrong,
    heat: npt.NDArray[np.float32],
) -> Image.Image:
    """Draw the chosen pictures under `heat` [N, H, W], which shows what speaks for the predicted class."""
    shown = zip(pictures_in(rows), heat, strict=True)
    pictures = {row: overlaid(test.images[row], on) for row, on in shown}
    title = f"Where the classifier looked for the class that it said: {FRAMED}"
    return with_scale(_by_class(test, outcomes, rows, pictures, title))


def worst_sheet(test: ClassificationSplit, outcomes: ClassificationOutcomes, columns: int) -> Image.Image:
    """Draw the pictures with the greatest loss, with what was said and what is true.

    There are at most half as many rows as columns. Pictures are left out that were right and sure, with a
    loss of at most `SURE`; where all were, the sheet says so.
    """
    worst = [
        row
        for row in np.argsort(-outcomes.loss, kind="stable")[: columns * (columns // 2)].tolist()
        if outcomes.rank[row] > 1 or outcomes.loss[row] > SURE
    ]
    if not worst:
        return sentence_sheet("The classifier is right and sure of every test picture")
    names = test.classes
    titles = [
        f"{outcomes.loss[row]:.2f} said {names[outcomes.predicted[row]]}\ntrue {names[outcomes.labels[row]]}"
        if outcomes.rank[row] > 1
        else f"{outcomes.loss[row]:.2f} rightly\n{names[outcomes.labels[row]]}"
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
    pictures: dict[int, Picture],
    title: str,
) -> Image.Image:
    """A row a class of the pictures by their rows: those that were right, then those that were wrong."""
    blank = blank_like(next(iter(pictures.values())))
    widths = [max(len(halves[half]) for halves in rows.values()) for half in (0, 1)]
    cells = [
        row
        for halves in rows.values()
        for half, width in zip(halves, widths, strict=True)
        for row in [*half, *[None] * (width - len(half))]
    ]
    return image_grid(
        [blank if row is None else pictures[row] for row in cells],
        sum(widths),
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
