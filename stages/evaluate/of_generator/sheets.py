"""What evaluation shows: detections beside truth, generated pictures, the real ones nearest to them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.drawing.sheets import CLASSES_MOST, Picture, first_of, image_grid


def generated_sheet(
    images: Picture, labels: npt.NDArray[np.int64], classes: Sequence[str], columns: int
) -> Image.Image:
    """A row a class: the first pictures generated of it; the first classes where they are many."""
    pictures: list[Picture] = []
    rows = classes[:CLASSES_MOST]
    for label in range(len(rows)):
        chosen = images[labels == label][:columns]
        pictures += [*chosen, *[_blank(images)] * (columns - len(chosen))]
    return image_grid(pictures, columns, scale=_scale(images), rows=rows, note=first_of(classes))


def nearest_sheet(
    made: Picture,
    training: Picture,
    distances: npt.NDArray[np.floating],
    names: Sequence[str],
    columns: int,
) -> Image.Image:
    """Generated pictures [N, H, W, C] of `names`; below each the nearest of the training, and how far it is.

    As many pairs of rows as it takes.
    """
    columns = min(columns, len(made))
    pictures: list[Picture] = []
    titles: list[str] = []
    for start in range(0, len(made), columns):
        pairs = slice(start, start + columns)
        absent = start + columns - min(start + columns, len(made))
        far = [f"{distance:.0f}" for distance in distances[pairs]]
        for row, captions in ((made[pairs], names[pairs]), (training[pairs], far)):
            pictures += [*row, *[_blank(made)] * absent]
            titles += [*captions, *[""] * absent]
    rows = ["generated", "nearest"] * (len(pictures) // columns // 2)
    return image_grid(pictures, columns, titles, scale=_scale(made), rows=rows)


def _scale(images: Picture) -> int:
    """What makes pictures [N, H, W, C] about 84 pixels wide or, if they are larger, twice their size."""
    return max(2, 84 // int(images.shape[2]))


def _blank(images: Picture) -> Picture:
    return np.full(images.shape[1:], 255, np.uint8)
