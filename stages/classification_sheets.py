"""What evaluation shows of a classifier: confusion, right and wrong pictures, Grad-CAM, worst losses."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from stages.classification_metrics import Counts, Outcomes
from stages.datasets import ClassificationSplit
from stages.grad_cam import overlaid
from stages.sheets import INK, PAPER, Colour, Picture, image_grid

FULL: Colour = (0, 114, 178)  # of a cell that holds its whole row
CELL = 44  # pixels: room for five digits
SIDE = 84  # pixels that a small picture is enlarged to, about


def confusion_sheet(counts: Counts, classes: Sequence[str]) -> Image.Image:
    """Counts [K, K] as a table: rows true classes, columns predicted ones; the bluer, the more of the row."""
    font = ImageFont.load_default(12)
    margin = 8 + max(int(font.getlength(name)) for name in classes)
    side = len(classes) * CELL
    sheet = Image.new("RGB", (margin + side, margin + side), PAPER)
    pen = ImageDraw.Draw(sheet)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, name in enumerate(classes):
        pen.text((margin - 4, row * CELL + CELL // 2), name, INK, font, anchor="rm")
        sheet.paste(_upright(name, font, margin), (margin + row * CELL, side))
        for column in range(len(classes)):
            x, y, share = margin + column * CELL, row * CELL, float(shares[row, column])
            pen.rectangle((x, y, x + CELL - 2, y + CELL - 2), fill=_mix(share))
            colour = PAPER if share > 0.5 else INK
            count = str(counts[row, column])
            pen.text((x + CELL // 2, y + CELL // 2), count, colour, font, anchor="mm")
    return sheet


def right_and_wrong(found: Outcomes, classes: int, columns: int) -> list[list[int]]:
    """Of each class, rows of pictures that were right and of pictures that were wrong, the surest first.

    Two lists a class, of at most half the columns each.
    """
    surest = np.argsort(-found.confidence, kind="stable")
    right = (found.rank == 1)[surest]
    return [
        surest[(found.labels[surest] == label) & (right == wanted)][: columns // 2].tolist()
        for label in range(classes)
        for wanted in (True, False)
    ]


def predictions_sheet(
    test: ClassificationSplit, found: Outcomes, rows: list[list[int]], columns: int
) -> Image.Image:
    """A row a class: the pictures of `right_and_wrong` with what they were taken for, and how surely."""
    return _by_class(test, found, rows, columns, {row: test.images[row] for row in chain(*rows)})


def cams_sheet(
    test: ClassificationSplit,
    found: Outcomes,
    rows: list[list[int]],
    columns: int,
    heat: npt.NDArray[np.float32],
) -> Image.Image:
    """The same pictures under what speaks for the class that was found: `heat` [N, H, W] in their order."""
    pictures = {row: overlaid(test.images[row], on) for row, on in zip(chain(*rows), heat, strict=True)}
    return _by_class(test, found, rows, columns, pictures)


def worst_sheet(test: ClassificationSplit, found: Outcomes, columns: int) -> Image.Image:
    """The pictures with the greatest loss, half as many rows as columns: what was found, not what is."""
    worst = np.argsort(-found.loss, kind="stable")[: columns * (columns // 2)]
    names = test.classes
    titles = [
        f"{found.loss[row]:.1f} {names[found.predicted[row]]}, not {names[found.labels[row]]}"
        if found.rank[row] > 1
        else f"{found.loss[row]:.1f} {names[found.labels[row]]}"
        for row in worst
    ]
    return image_grid([test.images[row] for row in worst], columns, titles, scale=2 * _scale(test.images))


def _by_class(
    test: ClassificationSplit,
    found: Outcomes,
    rows: list[list[int]],
    columns: int,
    pictures: dict[int, Picture],
) -> Image.Image:
    """A row a class of the pictures by their rows; half of the columns right, half wrong."""
    blank = np.full(next(iter(pictures.values())).shape, 255, np.uint8)
    cells = [row for half in rows for row in [*half, *[None] * (columns // 2 - len(half))]]
    return image_grid(
        [blank if row is None else pictures[row] for row in cells],
        2 * (columns // 2),
        [
            "" if row is None else f"{found.confidence[row]:.2f} {test.classes[found.predicted[row]]}"
            for row in cells
        ],
        scale=_scale(test.images),
        rows=test.classes,
    )


def _scale(images: Picture) -> int:
    """What makes pictures [N, H, W, C] about `SIDE` pixels wide or, if they are larger, twice their size."""
    return max(2, SIDE // int(images.shape[2]))


def _mix(share: float) -> Colour:
    red, green, blue = (round(p + (f - p) * share) for p, f in zip(PAPER, FULL, strict=True))
    return red, green, blue


def _upright(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, length: int) -> Image.Image:
    """`text` read from bottom to top, ending at the upper edge: [CELL wide, `length` high]."""
    label = Image.new("RGB", (length, CELL), PAPER)
    ImageDraw.Draw(label).text((length - 4, CELL // 2), text, INK, font, anchor="rm")
    return label.transpose(Image.Transpose.ROTATE_90)
