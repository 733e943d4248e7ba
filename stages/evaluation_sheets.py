"""What evaluation shows: confusion, right and wrong pictures, detections beside truth, generated pictures."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from stages.datasets import ClassificationSplit, DetectionSplit
from stages.models.detector import Detection
from stages.sheets import INK, PALETTE, PAPER, Colour, Picture, draw_boxes, image_grid

FULL: Colour = (0, 114, 178)  # of a cell that holds its whole row
CELL = 44  # pixels: room for five digits


def confusion_sheet(counts: npt.NDArray[np.int64], classes: Sequence[str]) -> Image.Image:
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


def predictions_sheet(test: ClassificationSplit, probabilities: torch.Tensor, columns: int) -> Image.Image:
    """A row a class: half of the columns right, half wrong, the surest first, with the class found."""
    confidence, predicted = (part.numpy() for part in probabilities.max(dim=1))
    pictures: list[Picture] = []
    titles: list[str] = []
    for label in range(len(test.classes)):
        for right in (True, False):
            rows = np.flatnonzero((test.labels == label) & ((predicted == test.labels) == right))
            surest = rows[np.argsort(-confidence[rows], kind="stable")][: columns // 2]
            blanks = columns // 2 - len(surest)
            pictures += [test.images[row] for row in surest] + [_blank(test.images)] * blanks
            titles += [f"{confidence[row]:.2f} {test.classes[predicted[row]]}" for row in surest]
            titles += [""] * blanks
    return image_grid(pictures, 2 * (columns // 2), titles, scale=_scale(test.images), rows=test.classes)


def detections_sheet(
    test: DetectionSplit, found: Sequence[Detection], *, scenes: int, score_min: float
) -> Image.Image:
    """The first `scenes` scenes, each twice: with its true boxes, with those found above `score_min`."""
    pictures: list[Picture] = []
    scale = _scale(test.images)
    colours = [PALETTE[label % len(PALETTE)] for label in range(len(test.classes))]
    for number in range(min(scenes, len(test.images))):
        boxes, labels, scores = found[number]
        sure = scores >= score_min
        boxes, labels = boxes[sure], labels[sure]
        names = [f"{test.classes[k]} {score:.2f}" for k, score in zip(labels, scores[sure], strict=True)]
        truth = test.labels[number]
        for shown, of, captions in (
            (test.boxes[number], truth, [test.classes[label] for label in truth]),
            (boxes, labels, names),
        ):
            drawn = draw_boxes(test.images[number], shown, captions, scale, [colours[label] for label in of])
            pictures.append(np.asarray(drawn))
    return image_grid(pictures, columns=4, titles=["true", "found"] * (len(pictures) // 2))


def generated_sheet(
    images: Picture, labels: npt.NDArray[np.int64], classes: Sequence[str], columns: int
) -> Image.Image:
    """A row a class: the first pictures generated of it."""
    pictures: list[Picture] = []
    for label in range(len(classes)):
        chosen = images[labels == label][:columns]
        pictures += [*chosen, *[_blank(images)] * (columns - len(chosen))]
    return image_grid(pictures, columns, scale=_scale(images), rows=classes)


def _scale(images: Picture) -> int:
    """What makes pictures [N, H, W, C] about 84 pixels wide or, if they are larger, twice their size."""
    return max(2, 84 // int(images.shape[2]))


def _blank(images: Picture) -> Picture:
    return np.full(images.shape[1:], 255, np.uint8)


def _mix(share: float) -> Colour:
    red, green, blue = (round(p + (f - p) * share) for p, f in zip(PAPER, FULL, strict=True))
    return red, green, blue


def _upright(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, length: int) -> Image.Image:
    """`text` read from bottom to top, ending at the upper edge: [CELL wide, `length` high]."""
    label = Image.new("RGB", (length, CELL), PAPER)
    ImageDraw.Draw(label).text((length - 4, CELL // 2), text, INK, font, anchor="rm")
    return label.transpose(Image.Transpose.ROTATE_90)
