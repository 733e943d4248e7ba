import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stages.core.errors import ParamsError
from stages.preprocess.scenes import Scenes, compose_scenes
from stages.sources.composed import SceneCounts, SceneParams


def make_params(**changed):
    values = {
        "count": SceneCounts(train=1, val=1, test=1),
        "side": 64,
        "items_min": 1,
        "items_max": 5,
        "scale_min": 0.6,
        "scale_max": 1.6,
        "brightness_min": 1.0,
        "brightness_max": 1.0,
        "min_visible": 0.6,
        "mask_threshold": 8,
    }
    return SceneParams(**(values | changed))


ONE_AT_FULL_SIZE = {"items_min": 1, "items_max": 1, "scale_min": 1.0, "scale_max": 1.0}


def picture_of_a_bar():
    """A white bar, 6 wide and 14 high, on black."""
    picture = np.zeros((28, 28, 1), dtype=np.uint8)
    picture[4:18, 9:15] = 255
    return picture


def compose(pictures, labels=None, *, count=20, seed=1, **changed) -> Scenes:
    labels = np.arange(len(pictures)) if labels is None else np.array(labels)
    return compose_scenes(np.stack(pictures), labels, count=count, params=make_params(**changed), seed=seed)


def solid_squares(number=6):
    """Pictures wholly filled by their item: an item's mask is its box."""
    return np.full((number, 12, 12, 1), 200, dtype=np.uint8)


def test_the_box_is_the_extent_of_the_item():
    scenes = compose([picture_of_a_bar()], [7], **ONE_AT_FULL_SIZE)
    for image, boxes, labels in zip(scenes.images, scenes.boxes, scenes.labels, strict=True):
        x0, y0, x1, y1 = boxes[0].astype(int)
        assert (x1 - x0, y1 - y0) == (6, 14)
        assert labels.tolist() == [7]
        assert np.all(image[y0:y1, x0:x1] == 255)


def test_what_is_not_of_the_item_shows_the_ground():
    picture = picture_of_a_bar()
    picture[4:18, 11:13] = 0  # a hole down the bar's middle
    scenes = compose([picture], **ONE_AT_FULL_SIZE)
    holes = []
    for image, boxes in zip(scenes.images, scenes.boxes, strict=True):
        x0, y0, _, y1 = boxes[0].astype(int)
        holes.append(image[y0:y1, x0 + 2 : x0 + 4].mean())
    assert np.std(holes) > 10  # twenty grounds, not one black hole


def test_scale_sets_the_size_of_the_box():
    scenes = compose([picture_of_a_bar()], **(ONE_AT_FULL_SIZE | {"scale_min": 2.0, "scale_max": 2.0}))
    sizes = np.stack([boxes[0, 2:] - boxes[0, :2] for boxes in scenes.boxes])
    assert np.all(sizes == [12, 28])


def test_brightness_dims_the_item():
    dimmed = {"brightness_min": 0.5, "brightness_max": 0.5}
    scenes = compose([picture_of_a_bar()], **(ONE_AT_FULL_SIZE | dimmed))
    x0, y0, x1, y1 = scenes.boxes[0][0].astype(int)
    assert np.all(scenes.images[0][y0:y1, x0:x1] == round(255 * 0.5))


def test_the_seed_decides_every_pixel():
    first, same, other = (compose(solid_squares(), seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.images, same.images)
    assert all(np.array_equal(a, b) for a, b in zip(first.boxes, same.boxes, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first.labels, same.labels, strict=True))
    assert not np.array_equal(first.images, other.images)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), min_visible=st.sampled_from([0.4, 0.7, 1.0]))
def test_every_item_stays_visible_and_inside(seed, min_visible):
    scenes = compose(solid_squares(8), count=4, seed=seed, min_visible=min_visible, items_min=5, items_max=8)
    for boxes in scenes.boxes:
        assert np.all(boxes >= 0)
        assert np.all(boxes <= 64)
        owner = np.full((64, 64), -1)  # solid squares, painted in their order
        for index, (x0, y0, x1, y1) in enumerate(boxes.astype(int)):
            owner[y0:y1, x0:x1] = index
        for index, (x0, y0, x1, y1) in enumerate(boxes):
            assert np.sum(owner == index) >= min_visible * (x1 - x0) * (y1 - y0)


def test_items_overlap_where_they_may():
    def overlapping(min_visible):
        scenes = compose(solid_squares(8), count=30, min_visible=min_visible, items_min=8, items_max=8)
        painted = np.zeros((30, 64, 64), dtype=int)
        for scene, boxes in zip(painted, scenes.boxes, strict=True):
            for x0, y0, x1, y1 in boxes.astype(int):
                scene[y0:y1, x0:x1] += 1
        return painted.max()

    assert overlapping(1.0) == 1
    assert overlapping(0.5) > 1


def test_every_picture_is_used_before_any_is_used_again():
    scenes = compose(solid_squares(10), count=10, **ONE_AT_FULL_SIZE)
    assert sorted(np.concatenate(scenes.labels)) == list(range(10))


def test_a_picture_without_an_item_leaves_a_ground_without_boxes():
    scenes = compose(np.zeros((3, 12, 12, 3), dtype=np.uint8), count=5)
    assert scenes.images.shape == (5, 64, 64, 3)
    assert [boxes.shape for boxes in scenes.boxes] == [(0, 4)] * 5
    assert [labels.shape for labels in scenes.labels] == [(0,)] * 5
    assert scenes.images.std(axis=(1, 2, 3)).max() > 5  # the grounds are textured


def test_items_larger_than_the_scene_are_refused():
    with pytest.raises(ParamsError, match=r"preprocess\.detection\.side: 64 px cannot hold items of 84 px"):
        compose([picture_of_a_bar()], scale_max=3.0)


def test_a_range_upside_down_is_refused():
    with pytest.raises(ValidationError, match=r"scale_min 2\.0 is above scale_max 1\.6"):
        make_params(scale_min=2.0)
