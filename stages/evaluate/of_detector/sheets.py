"""A picture sheet of what the detector found."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torchvision.ops import box_iou

from stages.core.packed import DetectionSplit
from stages.detector.network import Detection
from stages.drawing.sheets import RIGHT, WRONG, Colour, Picture, draw_boxes, image_grid, shrunk
from stages.evaluate.drawing import cell_side, evaluation_scale
from stages.evaluate.of_detector.errors import PLACED

TITLE = "Test scenes with what is true (left) and what the detector found (right); dashed boxes are wrong"


def detections_sheet(
    test: DetectionSplit, detections: Sequence[Detection], *, scenes: int, score_min: float, most: int
) -> Image.Image:
    """Draw the first `scenes` scenes, each twice: with its true boxes, and with those found.

    Found boxes are drawn whose score is at least `score_min`, each scene's surest first, and `most` of them
    on the whole sheet. Those that are on no item of their class are dashed.
    """
    pictures: list[Picture] = []
    titles: list[str] = []
    frames: list[Colour | None] = []
    columns = 4
    side = cell_side(columns, -(-2 * min(scenes, len(test.images)) // columns))
    scale = min(evaluation_scale(test.images), max(1, side // max(test.images.shape[1:3])))
    for number in range(min(scenes, len(test.images))):
        boxes, labels, scores = detections[number]
        sure = np.argsort(-scores, kind="stable")[: min(most, int((scores >= score_min).sum()))]
        boxes, labels, most = boxes[sure], labels[sure], most - len(sure)
        names = [f"{test.classes[k]} {score:.2f}" for k, score in zip(labels, scores[sure], strict=True)]
        truth = test.labels[number]
        right = found_rightly(boxes, labels, test.boxes[number], truth)
        wrong, missed = len(right) - sum(right), len(truth) - sum(right)
        image, ratio = shrunk(test.images[number], side)
        for drawn in (
            draw_boxes(
                image, test.boxes[number] * ratio, [test.classes[label] for label in truth], truth, scale
            ),
            draw_boxes(image, boxes * ratio, names, labels, scale, dashed=[not one for one in right]),
        ):
            pictures.append(np.asarray(drawn))
        titles += [f"true: {len(truth)}", f"found: {sum(right)} right, {wrong} wrong, {missed} missed"]
        frames += [None, WRONG if wrong or missed else RIGHT]
    return image_grid(pictures, columns=columns, titles=titles, title=TITLE, frames=frames)


def found_rightly(
    boxes: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    true_boxes: npt.NDArray[np.floating],
    truth: npt.NDArray[np.integer],
) -> list[bool]:
    """Whether each found box [D, 4] is on an item of its class that no box before it is on."""
    overlaps = box_iou(torch.as_tensor(boxes).float(), torch.as_tensor(true_boxes).float()).numpy()  # [D, T]
    claimed, right = np.zeros(len(truth), bool), []
    for row, label in zip(overlaps, labels, strict=True):
        fitting = np.where((truth == label) & ~claimed, row, 0.0)
        right.append(bool(len(truth)) and bool(fitting.max() >= PLACED))
        if right[-1]:
            claimed[fitting.argmax()] = True
    return right
