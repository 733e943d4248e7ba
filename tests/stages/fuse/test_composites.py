import numpy as np
import pytest

from stages.fuse.composites import compose

NO_BOXES = np.zeros((0, 4), dtype=np.float32)


def squares(channels):
    """Three pictures of 12 px: a bright square of 6 px, nothing, and one that is bright all over."""
    items = np.zeros((3, 12, 12, channels), dtype=np.uint8)
    items[0, 3:9, 3:9] = items[2] = 200
    return items


def composed(scene_side, scene_channels, item_channels):
    scenes = np.full((3, scene_side, scene_side, scene_channels), 90, dtype=np.uint8)
    return compose(scenes, [NO_BOXES] * 3, squares(item_channels), np.array([2, 1, 0]), threshold=32, seed=1)


@pytest.mark.parametrize("item_channels", [1, 3])
@pytest.mark.parametrize("scene_channels", [1, 3])
def test_items_are_set_into_scenes_of_any_channels(scene_channels, item_channels):
    made = composed(40, scene_channels, item_channels)
    assert made.labels.tolist() == [2, 0]  # the second is dark
    (left, top, right, bottom), _ = made.boxes
    assert (right - left, bottom - top) == (6, 6)
    pasted = np.full((40, 40, scene_channels), 90)
    pasted[top:bottom, left:right] = 200
    assert (made.ways["paste"][0] == pasted).all()
    assert made.ways["poisson"].shape == made.ways["paste"].shape == (2, 40, 40, scene_channels)


def test_items_without_room_are_left_out():
    assert composed(16, 3, 3).labels.tolist() == [2]  # 6 px and a rim of 5, which 12 px have not
    none = composed(12, 3, 3)
    assert none.labels.tolist() == none.boxes == []
    assert none.ways["paste"].shape == none.ways["poisson"].shape == (0, 12, 12, 3)
