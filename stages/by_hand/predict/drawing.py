"""Pictures of a model's answers: labels, boxes, the nearest training pictures, and heat maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from stages.drawing.sheets import (
    PAPER,
    SHEET_SIDE,
    WRONG,
    Picture,
    draw_boxes,
    image_grid,
    shrunk,
    titled,
)
from stages.evaluate.of_classifier.grad_cam import overlaid, with_scale
from stages.prediction.answers import Classified, Detected
from stages.prediction.predictors import ClassifierPredictor, Ready
from stages.prediction.saliency import Explained
from stages.prediction.video import Frame

DRAWN_SIDE = 1024  # px of the longer side of a drawn picture, at most
CAPTIONED_SIDE = 256  # px: smaller ones are enlarged until their captions can be read
BESIDE_SIDE = 160  # px: the same of pictures that stand beside each other
HEATED_SIDE = 512  # px of the longer side of a heat map, at most
BOX_SCALE_SIZE, BOX_SCALE_GREY = (14, 312), 128  # px high and wide, and the grey level under the colour
BOX_SCALE_WORDS = "How much a place speaks for the box: left the least, right the most in its picture"


def drawn_class(given: Path | Frame, answer: Classified) -> Image.Image:
    """The picture with its label and its attributes under it."""
    view = _view(given)
    scale = max(1, CAPTIONED_SIDE // max(view.shape[:2]))
    title = Path(answer.picture).name
    return image_grid([view], 1, titles=[", ".join(_said_of(answer))], scale=scale, title=title)


def _said_of(answer: Classified) -> list[str]:
    said = [] if answer.label is None else [f"found: {answer.label} {answer.probability:.2f}"]
    said += [f"{name} {share:.2f}" for name, share in answer.present.items()]
    return said + (["none of the attributes"] if answer.attributes and not answer.present else [])


def drawn_nearest(given: Path | Frame, answer: Classified, predictor: ClassifierPredictor) -> Image.Image:
    """The picture as the network sees it, and beside it the training pictures that are nearest to it.

    Those of another class than the one found have an orange frame.
    """
    ready, known = predictor.in_form(1, given), predictor.known
    assert isinstance(ready, Ready)
    assert known is not None
    cells = [ready.pixels, *(known.split.images[one.row] for one in answer.nearest)]
    titles = ["\n".join(["as the network sees it", *_said_of(answer)[:2]])]
    titles += [
        f"{number}. {one.label or 'no class'}\ndistance {one.distance:.4f}\n{Path(one.picture).name}"
        for number, one in enumerate(answer.nearest, start=1)
    ]
    others = [answer.label is not None and one.label != answer.label for one in answer.nearest]
    title = f"{Path(answer.picture).name}: the training pictures most like it"
    if any(others):
        title += "; orange: of another class than the one found"
    return image_grid(
        cells,
        _columns(len(cells), max(BESIDE_SIDE, *ready.pixels.shape[:2])),
        titles,
        scale=-(-BESIDE_SIDE // max(ready.pixels.shape[:2])),
        title=title,
        frames=[None, *(WRONG if other else None for other in others)],
    )


def _columns(cells: int, width: int) -> int:
    """How many cells so wide stand beside each other on a sheet."""
    return min(cells, max(1, SHEET_SIDE // width))


def drawn_boxes(given: Path | Frame, answer: Detected, classes: Sequence[str]) -> Image.Image:
    """The picture with its boxes."""
    view = _view(given)
    ratio = np.array([view.shape[1] / answer.width, view.shape[0] / answer.height] * 2)
    boxes = np.array([[box.x1, box.y1, box.x2, box.y2] for box in answer.boxes]).reshape(-1, 4) * ratio
    captions = [f"{box.label} {box.score:.2f}" for box in answer.boxes]
    labels = [classes.index(box.label) for box in answer.boxes]
    drawn = draw_boxes(view, boxes, captions, labels, max(1, CAPTIONED_SIDE // max(view.shape[:2])))
    counts = Counter(box.label for box in answer.boxes)
    found = ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing"
    return titled(drawn, f"{Path(answer.picture).name}: found {found}")


def _view(given: Path | Frame) -> Picture:
    """The picture, upright and in colour, of at most `DRAWN_SIDE` pixels a side."""
    if isinstance(given, Frame):
        picture = Image.fromarray(given.pixels)
    else:
        with Image.open(given) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    picture.thumbnail((DRAWN_SIDE, DRAWN_SIDE))
    return np.asarray(picture)


def class_heats(
    name: str, picture: Picture, heats: npt.NDArray[np.float32], captions: Sequence[str]
) -> Image.Image:
    """The picture [H, W, C] of this name, and the heat maps [K, H, W] of its classes."""
    cells = [picture, *(overlaid(picture, heat) for heat in heats)]
    scale = max(1, CAPTIONED_SIDE // max(picture.shape[:2]))
    titles = ["as the network sees it", *(f"for {caption}" for caption in captions)]
    title = f"{Path(name).name}: where the classifier looks for each class"
    return with_scale(image_grid(cells, len(cells), titles, scale=scale, title=title))


def box_heats(explained: Explained, classes: Sequence[str]) -> Image.Image:
    """The picture with its boxes, and beside it a heat map for each of them."""
    picture, ratio = shrunk(explained.pixels, HEATED_SIDE)
    boxes, found = explained.framed * ratio, explained.answer.boxes
    labels = [classes.index(box.label) for box in found]
    captions = [f"{box.label} {box.score:.2f}" for box in found]
    scale = max(1, CAPTIONED_SIDE // max(picture.shape[:2]))
    cells = [np.asarray(draw_boxes(picture, boxes, captions, labels, scale))]
    for box, label, heat in zip(boxes, labels, explained.heats, strict=True):
        small = Image.fromarray(heat).resize(picture.shape[1::-1], Image.Resampling.BOX)
        cells.append(
            np.asarray(draw_boxes(overlaid(picture, np.asarray(small)), box[None], [""], [label], scale))
        )
    titles = ["as the network sees it", *(f"for {caption}" for caption in captions)]
    name = Path(explained.answer.picture).name
    title = f"{name}: where the detector looks for each box" if found else f"{name}: found nothing"
    sheet = image_grid(cells, _columns(len(cells), cells[0].shape[1]), titles, title=title)
    return _with_box_scale(sheet) if found else sheet


def _with_box_scale(sheet: Image.Image) -> Image.Image:
    """The sheet of heat maps, and below it what their colour means."""
    bar = np.full((*BOX_SCALE_SIZE, 1), BOX_SCALE_GREY, np.uint8)
    heat = np.broadcast_to(np.linspace(0, 1, bar.shape[1], dtype=np.float32), bar.shape[:2])
    scale = image_grid([overlaid(bar, heat)], 1, title=BOX_SCALE_WORDS)
    whole = Image.new("RGB", (max(sheet.width, scale.width), sheet.height + scale.height), PAPER)
    whole.paste(sheet, (0, 0))
    whole.paste(scale, (0, sheet.height))
    return whole
