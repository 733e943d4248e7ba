import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.fusion.methods import (
    Settings,
    average,
    by_activity,
    check_weights,
    exposure,
    fuse,
    guided,
    guided_filter,
    laplacian,
    maximum,
    most_levels,
    wavelet,
)

METHODS = ["average", "maximum", "laplacian", "wavelet", "exposure", "guided", "features"]
SETTINGS = Settings(
    weights=None, levels=None, activity=lambda sources: np.ones((len(sources), 5, 4), np.float32)
)
PICTURES = st.sampled_from([(10, 9, 1), (11, 12, 3)]).flatmap(
    lambda shape: st.sampled_from([np.uint8, np.uint16]).flatmap(lambda depth: arrays(depth, shape))
)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30)
@given(picture=PICTURES, times=st.integers(2, 4))
def test_a_picture_fused_with_itself_comes_back_in_its_own_bits(method, picture, times):
    fused = fuse(np.stack([picture] * times), method, SETTINGS)
    assert fused.dtype == picture.dtype
    # 24 bits of a float32 are few steps of 16: one off in 65,535
    assert np.abs(fused.astype(int) - picture).max() <= (picture.dtype == np.uint16)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20)
@given(first=arrays(np.uint8, (9, 10, 1)), second=arrays(np.uint8, (9, 10, 1)))
def test_sources_are_left_as_they_are(method, first, second):
    sources = np.stack([first, second])
    before = sources.copy()
    fuse(sources, method, SETTINGS)
    assert (sources == before).all()


@pytest.mark.parametrize("method", METHODS)
def test_sixteen_bits_say_the_same_as_eight_and_more_finely(method):
    rng = np.random.default_rng(0)
    eight = rng.integers(0, 256, (2, 24, 20, 3), dtype=np.uint8)
    sixteen = fuse(eight.astype(np.uint16) * 257, method, SETTINGS)
    assert np.abs(sixteen / 257 - fuse(eight, method, SETTINGS)).max() <= 0.5 + 1 / 257


@pytest.mark.parametrize("method", ["laplacian", "wavelet", "exposure", "guided"])
def test_of_two_pictures_sharp_in_one_half_the_whole_becomes_sharp(method):
    sharp = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    flat = np.full_like(sharp, 128)
    left, right = sharp.copy(), sharp.copy()
    left[:, 32:], right[:, :32] = flat[:, 32:], flat[:, :32]
    fused = fuse(np.stack([left, right]), method, SETTINGS).astype(float)
    away = np.r_[0:24, 40:64]  # from where they meet
    error = np.abs(fused - sharp)[:, away].mean()
    assert error < np.abs(average(np.stack([left, right])).astype(float) - sharp)[:, away].mean() / 2


@pytest.mark.parametrize("shape", [(9, 10, 1), (9, 10, 3)])
def test_average_by_hand(shape):
    sources = np.stack([np.full(shape, 100, np.uint8), np.full(shape, 201, np.uint8)])
    # 0.75 * 100 + 0.25 * 201 = 125.25
    assert (average(sources, [0.75, 0.25]) == 125).all()
    assert (maximum(sources) == 201).all()


def test_average_does_not_wrap_around_at_255():
    assert (average(np.full((2, 3, 3, 1), 250, np.uint8), [0.5, 0.5]) == 250).all()


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
        average(np.zeros((2, 3, 3, 1), np.uint8), weights)
    assert str(refused.value) == message


def test_thirds_are_an_average():
    check_weights([1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("method", [laplacian, wavelet])
def test_of_constants_the_mean_is_left(method):
    sources = np.stack([np.full((28, 28, 1), value, np.uint8) for value in (10, 60, 80)])
    assert (method(sources) == 50).all()


def test_detail_comes_from_where_it_is_the_strongest_whatever_its_sign():
    sources = np.full((3, 16, 16, 1), 100, np.uint8)
    sources[0, 3, 3], sources[1, 10, 10], sources[2, 3, 10] = 250, 0, 180
    for method in (laplacian, wavelet):
        fused = method(sources, 2).astype(int)[..., 0]
        assert fused.argmax() == 3 * 16 + 3
        assert fused.argmin() == 10 * 16 + 10
        assert fused[3, 10] > 130


@pytest.mark.parametrize(("side", "levels"), [(1, 0), (3, 0), (4, 1), (7, 1), (8, 2), (28, 3), (32, 4)])
def test_most_levels_leaves_two_pixels(side, levels):
    assert most_levels(side, 100) == most_levels(100, side) == levels


@pytest.mark.parametrize("method", [laplacian, wavelet])
def test_too_many_levels_are_refused(method):
    with pytest.raises(ValueError, match="4 levels are too many for pictures of 28 x 28: at most 3"):
        method(np.zeros((2, 28, 28, 1), np.uint8), 4)


def test_exposure_prefers_the_well_exposed_picture():
    rng = np.random.default_rng(0)
    good = rng.integers(80, 176, (16, 16, 1), dtype=np.uint8)
    white = np.full_like(good, 255)
    fused = exposure(np.stack([good, white])).astype(float)
    assert np.abs(fused - good).mean() < np.abs(fused - white).mean()


def test_a_guided_filter_is_a_mean_where_the_guide_is_flat_and_nothing_at_its_edges():
    values = np.zeros((21, 21), np.float32)
    values[:, 10:] = 1
    flat = guided_filter(np.full_like(values, 0.5), values, 2, 1e-4)
    # twice the mean over five columns: weights 1 2 3 4 5 4 3 2 1 of 25, of which 10 lie to the right
    assert flat[10, 9] == pytest.approx(10 / 25, abs=1e-5)
    led = guided_filter(values, values, 2, 1e-4)
    assert np.abs(led - values).max() < 0.01


def test_guided_takes_the_salient_picture():
    sharp = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert (guided(np.stack([np.full_like(sharp, 128), sharp])) == sharp).mean() > 0.99


def test_activity_decides_pixel_by_pixel():
    sources = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (0, 200)])
    activity = np.zeros((2, 8, 8), np.float32)
    activity[0, :, :4] = activity[1, :, 4:] = 1.0
    fused = by_activity(sources, activity)
    assert (fused[:, :3] == 0).all()
    assert (fused[:, 5:] == 200).all()


def test_activity_of_one_to_three_weighs_a_quarter():
    sources = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 200)])
    activity = np.stack([np.full((4, 4), value, np.float32) for value in (1, 3)])
    assert (by_activity(sources, activity) == 150).all()


def test_without_any_activity_all_weigh_the_same():
    sources = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 200)])
    assert (by_activity(sources, np.zeros((2, 4, 4), np.float32)) == 100).all()


def mertens(sources):
    """Exposure fusion as the paper has it, of RGB pictures [S, H, W, 3] in 0..1."""
    weights = []
    for source in sources:
        contrast = np.abs(cv2.Laplacian(cv2.cvtColor(source, cv2.COLOR_RGB2GRAY), cv2.CV_32F))
        well_exposed = np.exp(-((source - 0.5) ** 2) / (2 * 0.2**2)).prod(axis=2)
        weights.append(contrast * source.std(axis=2) * well_exposed + 1e-12)
    shares = np.stack(weights) / np.sum(weights, axis=0)
    levels = int(np.log2(min(sources.shape[1:3])))

    def pyramid(picture):
        steps = [picture.astype(np.float32)]
        for _ in range(levels):
            steps.append(cv2.pyrDown(steps[-1]))
        return steps

    def up(picture, like):
        return cv2.pyrUp(picture, dstsize=like.shape[1::-1])

    blended = [0.0] * (levels + 1)
    for source, share in zip(sources, shares, strict=True):
        steps = pyramid(source)
        details = [fine - up(coarse, fine) for fine, coarse in itertools.pairwise(steps)] + steps[-1:]
        blended = [b + d * w[..., None] for b, d, w in zip(blended, details, pyramid(share), strict=True)]
    fused = blended[-1]
    for detail in reversed(blended[:-1]):
        fused = detail + up(fused, detail)
    return fused


@pytest.mark.parametrize("white", [255, 65535])
def test_exposure_is_that_of_the_paper(white):
    draw = np.random.default_rng(1)
    scene = cv2.GaussianBlur(draw.random((96, 120, 3), dtype=np.float32), (0, 0), 3)
    scene = (scene - scene.min()) / (scene.max() - scene.min())
    exposures = np.stack([np.clip(scene * gain, 0, 1) for gain in (0.35, 1.0, 2.5)])
    sources = (exposures * white).round().astype(np.uint8 if white == 255 else np.uint16)
    error = exposure(sources) / white - mertens((sources / white).astype(np.float32)).clip(0, 1)
    assert 10 * np.log10(1 / np.mean(error**2)) > 45  # dB; without the third term it is 25 to 32


@pytest.mark.parametrize("method", [laplacian, wavelet])
def test_no_colour_appears_that_no_source_has(method):
    """A green-blue point here, a weaker red one there: red must not come from the second alone."""
    first, second = np.full((2, 32, 32, 3), 100, dtype=np.uint8)
    first[16, 16] += np.array([10, 20, 30], dtype=np.uint8)
    second[16, 16] += np.array([25, 5, 5], dtype=np.uint8)
    fused = method(np.stack([first, second]), levels=1)[16, 16]
    assert fused[0] < fused[1] < fused[2]
