"""The picture sheet of preprocess: training pictures of each class, and training pictures with boxes."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.core.packed import (
    ClassificationSplit,
    DetectionSplit,
    binary_names,
    load_classification,
    load_detection,
    targets_of,
    why_left_out,
)
from stages.drawing.sheets import (
    CLASSES_MOST,
    SMALL_SIDE,
    Picture,
    blank_like,
    draw_boxes,
    first_of,
    image_grid,
    scale_to,
)

COLUMNS = 16
SCENES = 8
SCENE_SIDE = 288  # pixels that the longer side of a small scene is enlarged to, about


def draw_sheet(classification: Path, detection: Path) -> Image.Image:
    """Draw a row of training pictures for each class, and under them the first training pictures with boxes.

    `classification` and `detection` are the folders that preprocess packs, of which one may be left out.

    Raises:
        DataError: A packed file is missing or damaged.

    """
    parts = []
    if not why_left_out(classification):
        pictures = load_classification(classification, "train", unclassed=True)
        if pictures.classes:
            parts.append(_draw_classes(pictures))
        if names := binary_names(pictures.attributes):
            parts.append(_draw_attributes(pictures, names))
    if not why_left_out(detection):
        parts.append(_draw_scenes(load_detection(detection, "train")))
    size = max(part.width for part in parts), sum(part.height for part in parts)
    sheet, top = Image.new("RGB", size, "white"), 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def _draw_classes(split: ClassificationSplit) -> Image.Image:
    classes = split.classes[:CLASSES_MOST]
    rows = [np.flatnonzero(split.labels == label)[:COLUMNS] for label in range(len(classes))]
    return _drawn_rows(split, rows, classes, split.classes, "Training pictures of each class")


def _draw_attributes(split: ClassificationSplit, names: list[str]) -> Image.Image:
    targets = targets_of(split.attributes, names, len(split.labels))
    shown = [place for place, column in enumerate(targets.T) if (column == 1).any()][:CLASSES_MOST]
    rows = [np.flatnonzero(targets[:, place] == 1)[:COLUMNS] for place in shown]
    title = "Training pictures with each attribute"
    return _drawn_rows(split, rows, [names[place] for place in shown], names, title)


def _drawn_rows(
    split: ClassificationSplit,
    rows: list[npt.NDArray[np.int64]],
    shown: list[str],
    names: list[str],
    title: str,
) -> Image.Image:
    """A grid of the pictures by their places, a row for each of the `shown` of all `names`."""
    columns = max((len(row) for row in rows), default=1)
    blank = blank_like(split.images[0])
    pictures: list[Picture] = []
    for row in rows:
        pictures += [*split.images[row], *[blank] * (columns - len(row))]
    scale = scale_to(SMALL_SIDE, max(blank.shape[:2]))
    return image_grid(
        pictures,
        columns,
        scale=scale,
        rows=shown,
        note=first_of(names),
        title=title,
    )


def _draw_scenes(split: DetectionSplit) -> Image.Image:
    scale = scale_to(SCENE_SIDE, max(split.images.shape[1:3]))
    scenes = [
        np.asarray(draw_boxes(image, boxes, [split.classes[label] for label in labels], labels, scale))
        for image, boxes, labels in zip(split.images[:SCENES], split.boxes, split.labels, strict=False)
    ]
    return image_grid(scenes, columns=SCENES // 2, title="Training pictures with their boxes")
