"""Picture sheets of the labels that the models doubt; where they doubt none, a sheet that says so."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from stages.core.packed import ClassificationSplit, DetectionSplit, Split
from stages.detector.network import Detection
from stages.drawing.sheets import Picture, draw_boxes, image_grid, sentence_sheet, shrunk
from stages.evaluate.drawing import cell_side, evaluation_scale

NO_CLASS = "The classifier doubts no label of train and val"
NO_BOX = "There is no box in train and val, and the detector finds nothing"


def doubted_classes_sheet(
    table: pd.DataFrame, splits: Mapping[Split, ClassificationSplit], columns: int
) -> Image.Image:
    """Draw the first `columns` x `columns` pictures whose label is `doubted` in the table of label errors."""
    shown = table[table["doubted"]].head(columns**2)
    if shown.empty:
        return sentence_sheet(NO_CLASS)
    rows = shown.to_dict("records")
    return image_grid(
        [splits[row["split"]].images[row["picture"]] for row in rows],
        columns,
        [f"{row['rank']} {row['label']}: {row['suggested']}?" for row in rows],
        scale=2 * evaluation_scale(splits["train"].images),
        title="Labels that the classifier doubts: rank, the label, and what it suggests",
    )


def doubted_boxes_sheet(
    table: pd.DataFrame,
    splits: Mapping[Split, DetectionSplit],
    detections: Mapping[Split, Sequence[Detection]],
    *,
    scenes: int,
    score_min: float,
) -> Image.Image:
    """Draw the first `scenes` pictures of the table of box label errors, as labelled and as found.

    Found boxes are drawn whose score is at least `score_min`. Pictures are left out that have neither a box
    nor a detection. The table is an order alone: nothing in it says where errors end.
    """
    shown = table[table["kind"] != ""].head(scenes)
    if shown.empty:
        return sentence_sheet(NO_BOX)
    cells: list[Picture] = []
    side = cell_side(4, -(-len(shown) // 2))
    for row in shown.to_dict("records"):
        split, number = row["split"], row["picture"]
        cells += _labelled_and_found(splits[split], number, detections[split][number], score_min, side)
    titles = [f"{rank} {what}" for rank in shown["rank"] for what in ("labelled", "found")]
    title = "Boxes to look at first, not all of them wrong: as they are labelled, and what the detector found"
    return image_grid(cells, 4, titles, title=title)


def _labelled_and_found(
    pictures: DetectionSplit, row: int, found: Detection, score_min: float, side: int
) -> list[Picture]:
    """The picture with its labelled boxes, and with those found whose score is at least `score_min`."""
    boxes, labels, scores = found
    sure = np.flatnonzero(scores >= score_min)
    scale = min(evaluation_scale(pictures.images), max(1, side // max(pictures.images.shape[1:3])))
    captions = [f"{pictures.classes[labels[one]]} {scores[one]:.2f}" for one in sure]
    named = [pictures.classes[label] for label in pictures.labels[row]]
    image, ratio = shrunk(pictures.images[row], side)
    return [
        np.asarray(draw_boxes(image, pictures.boxes[row] * ratio, named, pictures.labels[row], scale)),
        np.asarray(draw_boxes(image, boxes[sure] * ratio, captions, labels[sure], scale)),
    ]
