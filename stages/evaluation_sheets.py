"""What evaluation shows: detections beside truth, generated pictures, the real ones nearest to them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.datasets import DetectionSplit
from stages.models.detector import Detection
from stages.sheets import CLASSES_MOST, Picture, draw_boxes, first_of, image_grid


def detections_sheet(
    test: DetectionSplit, found: Sequence[Detection], *, scenes: int, score_min: float, most: int
) -> Image.Image:
    """The first `scenes` scenes, each twice: with its true boxes, with those found above `score_min`.

    Of these at most so many are drawn, each scene's surest first.
    """
    pictures: list[Picture] = []
    scale = _scale(test.images)
    for number in range(min(scenes, len(test.images))):
        boxes, labels, scores = found[number]
        sure = np.argsort(-scores, kind="stable")[: min(most, int((scores >= score_min).sum()))]
        boxes, labels, most = boxes[sure], labels[sure], most - len(sure)
        names = [f"{test.classes[k]} {score:.2f}" for k, score in zip(labels, scores[sure], strict=True)]
        truth = test.labels[number]
        for shown, of, captions in (
            (test.boxes[number], truth, [test.classes[label] for label in truth]),
            (boxes, labels, names),
        ):
            drawn = draw_boxes(test.images[number], shown, captions, of, scale)
            pictures.append(np.asarray(drawn))
    return image_grid(pictures, columns=4, titles=["true", "found"] * (len(pictures) // 2))


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
