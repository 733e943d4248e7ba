import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.fusion import (
    activity_weighted,
    check_weights,
    exposure_fusion,
    laplacian_pyramid,
    maximum,
    most_levels,
    weighted_average,
)

METHODS = {
    "weighted_average": lambda sources: weighted_average(sources, [0.3, 0.7]),
    "maximum": maximum,
    "laplacian_pyramid": lambda sources: laplacian_pyramid(sources, 2),
    "exposure_fusion": exposure_fusion,
    "activity_weighted": lambda sources: activity_weighted(sources, np.ones((2, 5, 4), np.float32)),
}
PICTURES = st.sampled_from([(10, 9, 1), (11, 12, 3)]).flatmap(lambda shape: arrays(np.uint8, shape))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@given(picture=PICTURES)
def test_a_picture_fused_with_itself_comes_back(method, picture):
    fused = method(np.stack([picture, picture]))
    assert fused.dtype == np.uint8
    assert (fused == picture).all()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@given(first=arrays(np.uint8, (9, 10, 1)), second=arrays(np.uint8, (9, 10, 1)))
def test_sources_are_left_as_they_are(method, first, second):
    sources = np.stack([first, second])
    before = sources.copy()
    method(sources)
    assert (sources == before).all()


@pytest.mark.parametrize("shape", [(9, 10, 1), (9, 10, 3)])
def test_average_by_hand(shape):
    sources = np.stack([np.full(shape, 100, np.uint8), np.full(shape, 201, np.uint8)])
    # 0.75 * 100 + 0.25 * 201 = 125.25
    assert (weighted_average(sources, [0.75, 0.25]) == 125).all()
    assert (maximum(sources) == 201).all()


def test_average_does_not_wrap_around_at_255():
    assert (weighted_average(np.full((2, 3, 3, 1), 250, np.uint8), [0.5, 0.5]) == 250).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, 0.4], "weights must sum to 1, these sum to 0.9"),
        ([1.5, -0.5], "a weight is negative: -0.5"),
        ([], "weights must sum to 1, these sum to 0"),
        ([0.2, 0.3, 0.5], "3 weights for 2 pictures"),
    ],
)
def test_weights_that_are_no_average_are_refused_in_one_line(weights, message):
    with pytest.raises(ValueError, match="weight") as refused:
        weighted_average(np.zeros((2, 3, 3, 1), np.uint8), weights)
    assert str(refused.value) == message


def test_thirds_are_an_average():
    check_weights([1 / 3, 1 / 3, 1 / 3])


def test_pyramid_of_constants_is_their_mean():
    sources = np.stack([np.full((28, 28, 1), value, np.uint8) for value in (10, 60)])
    assert (laplacian_pyramid(sources, 3) == 35).all()


def test_pyramid_takes_detail_from_where_it_is():
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (32, 32, 1), dtype=np.uint8)
    flat = np.full_like(sharp, round(sharp.mean()))
    sources = np.stack([np.concatenate([sharp[:16], flat[16:]]), np.concatenate([flat[:16], sharp[16:]])])
    fused = laplacian_pyramid(sources, 2).astype(float)
    error = np.abs(fused - sharp).mean()
    assert error < 0.5 * np.abs(weighted_average(sources, [0.5, 0.5]) - sharp.astype(float)).mean()


@pytest.mark.parametrize(("side", "levels"), [(1, 0), (2, 0), (3, 0), (4, 1), (7, 1), (8, 2), (28, 3)])
def test_most_levels_leaves_two_pixels(side, levels):
    assert most_levels(side, 100) == most_levels(100, side) == levels


def test_too_many_levels_are_refused():
    with pytest.raises(ValueError, match="4 pyramid levels are too many"):
        laplacian_pyramid(np.zeros((2, 28, 28, 1), np.uint8), 4)


def test_exposure_fusion_prefers_the_well_exposed_picture():
    rng = np.random.default_rng(0)
    good = rng.integers(80, 176, (16, 16, 1), dtype=np.uint8)
    white = np.full_like(good, 255)
    fused = exposure_fusion(np.stack([good, white])).astype(float)
    assert np.abs(fused - good).mean() < np.abs(fused - white).mean()


def test_activity_decides_pixel_by_pixel():
    sources = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (0, 200)])
    activity = np.zeros((2, 8, 8), np.float32)
    activity[0, :, :4] = activity[1, :, 4:] = 1.0
    fused = activity_weighted(sources, activity)
    assert (fused[:, :3] == 0).all()
    assert (fused[:, 5:] == 200).all()


def test_activity_of_one_to_three_weighs_a_quarter():
    sources = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 200)])
    activity = np.stack([np.full((4, 4), value, np.float32) for value in (1, 3)])
    assert (activity_weighted(sources, activity) == 150).all()


def test_without_any_activity_all_weigh_the_same():
    sources = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 200)])
    assert (activity_weighted(sources, np.zeros((2, 4, 4), np.float32)) == 100).all()
