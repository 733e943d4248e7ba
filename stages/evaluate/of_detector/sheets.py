"""A picture sheet of what the detector found."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from stages.core.packed import DetectionSplit
from stages.detector.network import Detection
from stages.drawing.sheets import Picture, draw_boxes, image_grid
from stages.evaluate.of_generator.sheets import _scale


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
