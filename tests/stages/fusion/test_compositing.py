import numpy as np
import pytest

from stages.fusion.compositing import cut_out, grid, mosaic, paste, poisson


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(10, 8), (11, 8), (10, 9), (11, 9)])
def test_poisson_sets_an_item_where_it_is_told_to(height, width, channels):
    scene = np.full((60, 50, channels), 100, np.uint8)
    item = np.zeros((height + 4, width + 6, channels), np.uint8)
    item[2:-2, 3:-3] = 180
    mask = item[..., 0] > 0
    composed = poisson(scene, item, mask, (12, 30))
    rows, columns = np.nonzero(composed[..., 0] > 140)
    assert (rows.min(), rows.max() + 1) == (32, 32 + height)
    assert (columns.min(), columns.max() + 1) == (15, 15 + width)
    assert composed.shape == scene.shape
    assert np.abs(composed[32 : 32 + height, 15 : 15 + width].astype(int) - 180).max() <= 2
    assert (scene == 100).all()


@pytest.mark.parametrize("shape", [(20, 12, 1), (11, 17, 3)])
def test_a_cut_out_without_a_margin_keeps_its_contrast_and_leaves_no_streaks(shape):
    scene, item = np.full((60, 60, shape[2]), 100, np.uint8), np.full(shape, 200, np.uint8)
    bar = np.ones(shape[:2], bool)
    bar[5, :4] = False  # a notch that opens at the border
    composed = poisson(scene, item, bar, (20, 20)).astype(int)
    expected = paste(scene, item, bar, (20, 20)).astype(int)  # on even ground both are the same
    assert np.abs(composed - expected).max() <= 2


def test_poisson_takes_the_scenes_light():
    scene = np.broadcast_to(np.linspace(40, 200, 80).astype(np.uint8)[None, :, None], (60, 80, 1)).copy()
    item = np.full((20, 40, 1), 120, np.uint8)
    composed = poisson(scene, item, np.ones((20, 40), bool), (20, 20))
    assert composed[30, 24, 0] < composed[30, 55, 0] - 20  # as the ground rises, a pasted one would be flat
    assert (paste(scene, item, np.ones((20, 40), bool), (20, 20))[30, 20:60] == 120).all()


@pytest.mark.parametrize("at", [(-1, 10), (38, 10), (10, 2), (10, 50)])
def test_an_item_beyond_the_scene_is_refused(at):
    scene, item = np.full((60, 50, 1), 9, np.uint8), np.full((10, 10, 1), 9, np.uint8)
    with pytest.raises(ValueError, match="does not lie inside of the scene of 50 x 60 pixels"):
        poisson(scene, item, np.ones((10, 10), bool), at)
    with pytest.raises(ValueError, match="the cut-out is empty"):
        poisson(scene, item, np.zeros((10, 10), bool), (20, 20))


def test_paste_lays_only_what_the_mask_holds():
    scene, item = np.zeros((4, 5, 1), np.uint8), np.full((2, 2, 1), 7, np.uint8)
    pasted = paste(scene, item, np.array([[True, False], [True, True]]), (2, 1))
    assert np.argwhere(pasted[..., 0] == 7).tolist() == [[1, 2], [2, 2], [2, 3]]


def test_cut_out_is_the_largest_part():
    picture = np.zeros((10, 10, 1), np.uint8)
    picture[1:6, 1:6] = 200
    picture[8, 8] = 250
    picture[3, 3] = 5
    mask = cut_out(picture, 30)
    assert mask.sum() == 24
    assert not mask[8, 8]
    assert not cut_out(picture, 250).any()


def test_grid_by_hand():
    tiles = np.arange(3, dtype=np.uint8)[:, None, None, None] + np.zeros((3, 1, 2, 1), np.uint8) + 1
    assert grid(tiles, 2)[..., 0].tolist() == [[1, 1, 2, 2], [3, 3, 0, 0]]


def test_a_mosaic_takes_the_targets_colours():
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (40, 1, 1, 3), dtype=np.uint8) + np.zeros((40, 6, 6, 3), np.uint8)
    target = np.zeros((4, 4, 3), np.uint8)
    target[:, 2:] = 255
    made = mosaic(tiles, target, 4)
    assert made.shape == (24, 24, 3)
    assert made[:, 12:].mean() > made[:, :12].mean() + 60
    used = {made[y, x].tobytes() for y in range(0, 24, 6) for x in range(0, 24, 6)}
    assert len(used) == 16  # of 40 tiles none is needed twice


def test_a_mosaic_too_large_is_refused_before_it_is_computed():
    tiles, target = np.broadcast_to(np.uint8(0), (2, 400, 400, 1)), np.zeros((4, 4, 1), np.uint8)
    with pytest.raises(
        ValueError, match="50 columns and 50 rows of 400 x 400 pixels are more than 268,435,456"
    ):
        mosaic(tiles, target, 50)
    with pytest.raises(ValueError, match="200 columns and 200 rows are more than 10,000 places"):
        mosaic(tiles, target, 200)


def test_a_mosaic_of_few_tiles_uses_each_as_often():
    tiles = np.array([0, 90, 160, 255], np.uint8)[:, None, None, None] + np.zeros((4, 2, 2, 1), np.uint8)
    ramp = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 17
    made = mosaic(tiles, ramp, 4)[::2, ::2, 0]
    assert np.bincount(made.ravel(), minlength=256)[[0, 90, 160, 255]].tolist() == [4, 4, 4, 4]
    assert (np.diff(made.ravel().astype(int)) >= 0).all()
    with pytest.raises(ValueError, match="different kinds"):
        mosaic(tiles, np.zeros((4, 4, 3), np.uint8), 4)
