"""What evaluation draws of detections and of generated pictures."""

import numpy as np

from stages.core.packed import DetectionSplit
from stages.evaluate.of_detector.sheets import detections_sheet
from stages.evaluate.of_generator.sheets import nearest_sheet
from stages.evaluate.params import EvaluateParams

HEIGHT, WIDTH, SCALE, GAP = 100, 200, 2, 4


def of_many(score, scenes=3, each=90):
    """Black pictures, and boxes found on a lattice, with room for the captions between them."""
    x, y = np.arange(each) % 10 * 20, np.arange(each) // 10 * 10 + 8
    boxes = np.stack([x, y, x + 3, y + 2], axis=1).astype(np.float32)
    labels = np.zeros(each, np.int64)
    test = DetectionSplit(
        images=np.zeros((scenes, HEIGHT, WIDTH, 1), np.uint8),
        boxes=[boxes[:1]] * scenes,
        labels=[labels[:1]] * scenes,
        classes=[""],
    )
    return test, [(boxes, labels, np.full(each, score, np.float32))] * scenes


def boxes_drawn(sheet, scenes=3, each=90):
    """How many of the lattice's boxes have their lower left corner on the pictures beside the truth."""
    pixels, count = np.asarray(sheet), 0
    top = int(np.argmax((pixels[:, -GAP - 2] == 0).all(axis=1))) - GAP  # of the title
    height = (sheet.height - top - GAP) // -(-2 * scenes // 4)
    for scene in range(scenes):
        x0, y0 = GAP + (2 * scene + 1) % 4 * (WIDTH * SCALE + GAP), top + GAP + (2 * scene + 1) // 4 * height
        for box in range(each):
            x, y = x0 + box % 10 * 20 * SCALE, y0 + (box // 10 * 10 + 10) * SCALE - 1
            count += bool(pixels[y, x].any())
    return count


def test_drawn_by_default_are_at_most_200_boxes_with_a_score_over_030():
    values = EvaluateParams()
    how = {"scenes": 3, "score_min": values.score_min, "most": values.sheet_boxes}
    assert boxes_drawn(detections_sheet(*of_many(0.31), **how)) == 200
    assert boxes_drawn(detections_sheet(*of_many(0.29), **how)) == 0
    assert boxes_drawn(detections_sheet(*of_many(0.31, each=5), **how), each=5) == 15


def test_below_each_generated_picture_stands_its_nearest() -> None:
    made = np.zeros((3, 200, 200, 3), np.uint8)
    made[..., 0] = np.array([50, 51, 52])[:, None, None]  # of red: the captions are grey
    nearest = made + np.array([100, 0, 0], np.uint8)
    distances, names = np.array([1.0, 2.0, 3.0]), ["coat", "bag", "top"]
    sheet = np.asarray(nearest_sheet(made, nearest, distances, names, columns=2))
    at = {
        red: np.argwhere((sheet == [red, 0, 0]).all(axis=2)).min(axis=0)  # y, x
        for red in (50, 51, 52, 150, 151, 152)
    }
    assert at[50][0] == at[51][0] < at[150][0] == at[151][0] < at[52][0] < at[152][0]
    assert at[50][1] == at[150][1] == at[52][1] == at[152][1] < at[51][1] == at[151][1]
    one = np.asarray(nearest_sheet(made[:1], made[:1], distances[:1], names[:1], columns=2))
    assert one.shape[1] < sheet.shape[1]  # no empty columns
