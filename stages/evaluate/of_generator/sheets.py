"""What evaluation shows of a generator: its pictures by class, and the training pictures nearest to them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.drawing.sheets import CLASSES_MOST, Picture, blank_like, first_of, image_grid
from stages.evaluate.drawing import evaluation_scale


def generated_sheet(
    images: Picture, labels: npt.NDArray[np.int64], classes: Sequence[str], columns: int
) -> Image.Image:
    """Draw a row for each class with the first pictures [N, H, W, C] generated of it.

    Of more than `CLASSES_MOST` classes the sheet shows the first.
    """
    pictures: list[Picture] = []
    rows = classes[:CLASSES_MOST]
    for label in range(len(rows)):
        chosen = images[labels == label][:columns]
        pictures += [*chosen, *[blank_like(images[0])] * (columns - len(chosen))]
    return image_grid(
        pictures,
        columns,
        scale=evaluation_scale(images),
        rows=rows,
        note=first_of(classes),
        title="Generated pictures of each class",
    )


def nearest_sheet(
    made: Picture,
    training: Picture,
    distances: npt.NDArray[np.floating],
    names: Sequence[str],
    columns: int,
) -> Image.Image:
    """Draw generated pictures [N, H, W, C], and below each the training picture nearest to it.

    `names` [N] stand under the generated pictures, `distances` [N] in grey levels under the training's.
    """
    columns = min(columns, len(made))
    pictures: list[Picture] = []
    titles: list[str] = []
    for start in range(0, len(made), columns):
        pairs = slice(start, start + columns)
        absent = start + columns - min(start + columns, len(made))
        far = [f"{distance:.0f}" for distance in distances[pairs]]
        for row, captions in ((made[pairs], names[pairs]), (training[pairs], far)):
            pictures += [*row, *[blank_like(made[0])] * absent]
            titles += [*captions, *[""] * absent]
    rows = ["generated", "nearest"] * (len(pictures) // columns // 2)
    title = "Generated pictures, and below each the nearest training picture: how far, in grey levels"
    return image_grid(pictures, columns, titles, scale=evaluation_scale(made), rows=rows, title=title)
