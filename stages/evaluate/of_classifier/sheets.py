"""What evaluation shows of a classifier: confusion, right and wrong pictures, Grad-CAM, worst losses."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from stages.core.packed import ClassificationSplit
from stages.drawing.sheets import INK, PAPER, Colour, Picture, image_grid
from stages.evaluate.of_classifier.grad_cam import overlaid
from stages.evaluate.of_classifier.metrics import Counts, Outcomes

FULL: Colour = (0, 114, 178)  # of a cell that holds its whole row
CELL = 44  # pixels: room for five digits
CELL_LEAST = 22  # room for a name and for two digits
TABLE_SIDE = 2200  # pixels that a table of many classes takes; from then on its cells shrink
TABLE_MOST = TABLE_SIDE // CELL_LEAST  # classes
SIDE = 84  # pixels that a small picture is enlarged to, about

RightAndWrong = dict[int, tuple[list[int], list[int]]]
"""Rows of pictures by their label: those that were right, and those that were not."""


def confusion_sheet(counts: Counts, classes: Sequence[str]) -> Image.Image:
    """Counts [K, K] as a table: rows true classes, columns predicted ones; the bluer, the more of the row.

    The more classes, the smaller its cells; of more than `TABLE_MOST` those that are confused most.
    """
    font = ImageFont.load_default(12)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = most_confused(counts, TABLE_MOST)
    note = _note(len(shown), len(classes))
    top, margin = 20 if note else 0, 8 + max(int(font.getlength(classes[label])) for label in shown)
    cell = max(CELL_LEAST, min(CELL, TABLE_SIDE // len(shown)))
    side = len(shown) * cell
    sheet = Image.new("RGB", (margin + side, top + margin + side), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((4, 2), note, INK, font)
    for row, label in enumerate(shown):
        y, name = top + row * cell, classes[label]
        pen.text((margin - 4, y + cell // 2), name, INK, font, anchor="rm")
        sheet.paste(_upright(name, font, margin, cell), (margin + row * cell, top + side))
        for column, predicted in enumerate(shown):
            x, share = margin + column * cell, float(shares[label, predicted])
            pen.rectangle((x, y, x + cell - 2, y + cell - 2), fill=_mix(share))
            count = str(counts[label, predicted])
            if font.getlength(count) < cell:
                colour = PAPER if share > 0.5 else INK
                pen.text((x + cell // 2, y + cell // 2), count, colour, font, anchor="mm")
    return sheet


def most_confused(counts: Counts, most: int) -> list[int]:
    """At most so many labels, in order: those that were most often taken for others, or others for them."""
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    return sorted(np.argsort(-wrong, kind="stable")[:most].tolist())


def right_and_wrong(found: Outcomes, labels: Sequence[int], columns: int) -> RightAndWrong:
    """Of each class, rows of pictures that were right and of pictures that were wrong, the surest first.

    At most half the columns of each kind.
    """
    surest = np.argsort(-found.confidence, kind="stable")
    right, actual = (found.rank == 1)[surest], found.labels[surest]
    return {
        label: (
            surest[(actual == label) & right][: columns // 2].tolist(),
            surest[(actual == label) & ~right][: columns // 2].tolist(),
        )
        for label in labels
    }


def pictures_in(rows: RightAndWrong) -> list[int]:
    """All pictures of `right_and_wrong` one after the other."""
    return [row for halves in rows.values() for row in chain(*halves)]


def predictions_sheet(
    test: ClassificationSplit, found: Outcomes, rows: RightAndWrong, columns: int
) -> Image.Image:
    """A row a class: the pictures of `right_and_wrong` with what they were taken for, and how surely."""
    return _by_class(test, found, rows, columns, {row: test.images[row] for row in pictures_in(rows)})


def cams_sheet(
    test: ClassificationSplit,
    found: Outcomes,
    rows: RightAndWrong,
    columns: int,
    heat: npt.NDArray[np.float32],
) -> Image.Image:
    """The same pictures under what speaks for the class that was found: `heat` [N, H, W] in their order."""
    shown = zip(pictures_in(rows), heat, strict=True)
    return _by_class(test, found, rows, columns, {row: overlaid(test.images[row], on) for row, on in shown})


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
    rows: RightAndWrong,
    columns: int,
    pictures: dict[int, Picture],
) -> Image.Image:
    """A row a class of the pictures by their rows; half of the columns right, half wrong."""
    blank = np.full(next(iter(pictures.values())).shape, 255, np.uint8)
    cells = [row for half in chain(*rows.values()) for row in [*half, *[None] * (columns // 2 - len(half))]]
    return image_grid(
        [blank if row is None else pictures[row] for row in cells],
        2 * (columns // 2),
        [
            "" if row is None else f"{found.confidence[row]:.2f} {test.classes[found.predicted[row]]}"
            for row in cells
        ],
        scale=_scale(test.images),
        rows=[test.classes[label] for label in rows],
        note=_note(len(rows), len(test.classes)),
    )


def _note(shown: int, classes: int) -> str:
    return f"The {shown} of {classes:,} classes that are confused most" if shown < classes else ""


def _scale(images: Picture) -> int:
    """What makes pictures [N, H, W, C] about `SIDE` pixels wide or, if they are larger, twice their size."""
    return max(2, SIDE // int(images.shape[2]))


def _mix(share: float) -> Colour:
    red, green, blue = (round(p + (f - p) * share) for p, f in zip(PAPER, FULL, strict=True))
    return red, green, blue


def _upright(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, length: int, width: int
) -> Image.Image:
    """`text` read from bottom to top, ending at the upper edge: [`width` wide, `length` high]."""
    label = Image.new("RGB", (length, width), PAPER)
    ImageDraw.Draw(label).text((length - 4, width // 2), text, INK, font, anchor="rm")
    return label.transpose(Image.Transpose.ROTATE_90)
