"""A picture sheet of what the detector found."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from stages.core.packed import DetectionSplit
from stages.detector.network import Detection
from stages.drawing.sheets import Picture, draw_boxes, image_grid
from stages.evaluate.drawing import evaluation_scale


def detections_sheet(
    test: DetectionSplit, detections: Sequence[Detection], *, scenes: int, score_min: float, most: int
) -> Image.Image:
    """Draw the first `scenes` scenes, each twice: with its true boxes, and with those found.

    Found boxes are drawn whose score is at least `score_min`, each scene's surest first, and `most` of them
    on the whole sheet.
    """
    pictures: list[Picture] = []
    scale = evaluation_scale(test.images)
    for number in range(min(scenes, len(test.images))):
        boxes, labels, scores = detections[number]
        sure = np.argsort(-scores, kind="stable")[: min(most, int((scores >= score_min).sum()))]
        boxes, labels, most = boxes[sure], labels[sure], most - len(sure)
        names = [f"{test.classes[k]} {score:.2f}" for k, score in zip(labels, scores[sure], strict=True)]
        truth = test.labels[number]
        for shown, shown_labels, captions in (
            (test.boxes[number], truth, [test.classes[label] for label in truth]),
            (boxes, labels, names),
        ):
            drawn = draw_boxes(test.images[number], shown, captions, shown_labels, scale)
            pictures.append(np.asarray(drawn))
    return image_grid(pictures, columns=4, titles=["true", "found"] * (len(pictures) // 2))
