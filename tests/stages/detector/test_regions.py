import cv2
import numpy as np
import torch
from torchvision.ops import box_iou

from stages.detector.regions import region_proposals, windows


def picture_of(boxes, size=(64, 96), channels=1):
    """Grey with a bright ellipse in each box."""
    image = np.full((*size, channels), 90, dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        centre, axes = ((x0 + x1) // 2, (y0 + y1) // 2), ((x1 - x0) // 2, (y1 - y0) // 2)
        cv2.ellipse(image, centre, axes, 0, 0, 360, (220,) * channels, -1)
    return image


def test_what_stands_out_is_proposed_in_grey_and_in_colour():
    boxes = [(6, 6, 26, 36), (40, 10, 80, 30), (50, 40, 66, 56)]
    for channels in (1, 3):
        found = region_proposals(picture_of(boxes, channels=channels), 60)
        overlap = box_iou(torch.tensor(boxes).float(), torch.from_numpy(found))
        assert (overlap.max(dim=1).values > 0.8).all()


def test_there_are_as_many_as_asked_for_in_the_picture_and_no_repetition():
    found = region_proposals(picture_of([(6, 6, 26, 36)]), 40)
    assert found.shape == (40, 4)
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert (found[:, 2:] <= (96, 64)).all()
    assert (found[:, 2:] > found[:, :2]).all()
    assert len(np.unique(found, axis=0)) == 40


def test_a_picture_of_nothing_gets_windows():
    plain = np.full((64, 96, 1), 7, dtype=np.uint8)
    np.testing.assert_array_equal(region_proposals(plain, 30), windows(64, 96)[:30])


def test_every_pixel_lies_in_a_window_of_each_size_but_for_the_margins():
    boxes = windows(60, 60)
    sides = np.round(boxes[:, 2] - boxes[:, 0], 3)
    assert sorted(set(sides.tolist())) == [12, 18, 27, 39]
    small = boxes[sides == 12]
    assert len(small) == 81  # 0, 6, ... 48 both ways
    assert small.max() == 60
