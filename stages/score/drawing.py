"""A picture file with the predictions drawn into the picture."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from stages.drawing.sheets import draw_boxes, image_grid
from stages.intake.geometry import Pixels

LEAST = 256  # px: smaller pictures are enlarged until their captions can be read


def drawn(view: Pixels, row: Mapping[str, Any], classes: Sequence[str], score_min: float) -> Image.Image:
    """A `view` [h, w, 3] of the row's picture with the surer boxes, its label and attributes under it.

    `classes` are those of boxes: each has a colour of its own.
    """
    sure = [n for n, score in enumerate(row["box_scores"]) if score >= score_min]
    scale = np.array([view.shape[1] / row["width"], view.shape[0] / row["height"]] * 2)
    boxes = np.array([row["boxes"][n] for n in sure]).reshape(-1, 4) * scale
    captions = [f"{row['box_labels'][n]} {row['box_scores'][n]:.2f}" for n in sure]
    labels = [classes.index(row["box_labels"][n]) for n in sure]
    picture = draw_boxes(view, boxes, captions, labels, max(1, LEAST // max(view.shape[:2])))
    said = [] if row["label"] is None else [f"{row['label']} {row['probability']:.2f}"]
    said += row.get("attributes") or ()
    return image_grid([np.asarray(picture)], 1, titles=[", ".join(said)]) if said else picture


def jpeg(image: Image.Image) -> bytes:
    """The picture as the content of a file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
