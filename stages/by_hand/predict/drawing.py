"""Pictures of a model's answers: labels, boxes and heat maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from stages.drawing.sheets import Picture, draw_boxes, image_grid, titled
from stages.evaluate.of_classifier.grad_cam import overlaid, with_scale
from stages.prediction.answers import Classified, Detected
from stages.prediction.video import Frame

DRAWN_SIDE = 1024  # px of the longer side of a drawn picture, at most
CAPTIONED_SIDE = 256  # px: smaller ones are enlarged until their captions can be read


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
