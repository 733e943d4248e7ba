import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from stages.detector.regions import WINDOWS, region_proposals, windows


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


def boxes_in(picture, count=60):
    return {tuple(box) for box in region_proposals(picture, count).tolist()}


def plain(value, **areas):
    """A picture of 40 x 60 pixels, with other values in areas (x0, y0, x1, y1)."""
    picture = np.full((40, 60, 1), value, dtype=np.uint8)
    for name, (x0, y0, x1, y1) in areas.items():
        picture[y0:y1, x0:x1] = int(name.removeprefix("value"))
    return picture


def test_a_small_bright_part_is_found_to_the_pixel_and_so_is_its_edge():
    """It covers a fiftieth: every level is that of the ground."""
    found = region_proposals(plain(90, value220=(10, 20, 16, 28)), 2).tolist()
    assert sorted(found) == [[9, 19, 17, 29], [10, 20, 16, 28]]


def test_a_dark_part_is_found_without_a_lighter_one_beside_it_that_no_level_tells_apart():
    """The dark part covers a twenty-fifth, the grey one beside it a hundredth: no level lies between them."""
    found = boxes_in(plain(200, value30=(10, 8, 22, 16), value60=(10, 16, 22, 18)))
    assert (10, 8, 22, 16) in found
    assert (10, 8, 22, 18) not in found


def test_parts_that_touch_at_a_corner_are_two():
    found = boxes_in(plain(90, value220=(10, 10, 18, 18), value221=(18, 18, 28, 28)))
    assert {(10, 10, 18, 18), (18, 18, 28, 28)} <= found


def test_what_is_too_small_or_nearly_everything_is_no_part():
    """Of 2,400 pixels at least 7.2 and at most 1,440, counted in their box."""
    small = boxes_in(plain(90, value220=(10, 10, 12, 13)))
    assert (10, 10, 12, 13) not in small
    assert (10, 10, 12, 14) in boxes_in(plain(90, value220=(10, 10, 12, 14)))
    assert (4, 4, 52, 34) in boxes_in(plain(90, value220=(4, 4, 52, 34)))
    assert (4, 4, 53, 34) not in boxes_in(plain(90, value220=(4, 4, 53, 34)))


def test_what_most_levels_agree_on_comes_first():
    """A bright part in a grey one: one level of brightness shows each, one of edges the bright part alone."""
    found = region_proposals(plain(60, value120=(5, 5, 35, 35), value250=(10, 10, 30, 30)), 60)
    first, second = found[:2].tolist()
    assert first in ([10, 10, 30, 30], [9, 9, 31, 31])
    assert second in ([5, 5, 35, 35], [4, 4, 36, 36])


def test_colour_counts_by_its_brightness():
    picture = np.zeros((40, 60, 3), dtype=np.uint8)
    picture[...] = (100, 40, 90)
    picture[10:20, 20:44] = (100, 200, 90)  # in one colour alone
    assert (20, 10, 44, 20) in boxes_in(picture)
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[..., None]
    np.testing.assert_array_equal(region_proposals(picture, 40), region_proposals(grey, 40))


@pytest.mark.parametrize("part", [(10, 10, 13, 11), (5, 3, 35, 23)])
def test_a_part_of_just_the_least_or_the_most_share_is_one(part):
    """Of 1,000 pixels three, and six hundred."""
    x0, y0, x1, y1 = part
    picture = np.full((25, 40, 1), 90, dtype=np.uint8)
    picture[y0:y1, x0:x1] = 220
    assert part in boxes_in(picture)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_windows_lie_in_the_picture_and_as_many_as_find_room(height, width):
    boxes = windows(height, width)
    assert (boxes >= 0).all()
    assert (boxes <= (width, height, width, height)).all()
    counts = [
        np.prod([1 + int(2 * (length / side - 1) + 1e-6) for length in (height, width)])
        for side in np.array(WINDOWS) * min(height, width)
    ]
    assert len(boxes) == sum(counts)


def test_a_window_that_would_end_a_fifth_of_a_pixel_beyond_the_picture_is_left_out():
    """Those of 6.2 pixels begin every 3.1: one at 31 would end there."""
    boxes = windows(31, 37)
    assert boxes[:, 2].max() == 34.875
    assert boxes[:, 3].max() == 31
