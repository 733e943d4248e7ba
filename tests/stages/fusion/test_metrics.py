import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mutual_info_score

from stages.fusion.metrics import (
    BEST_EDGE_PRESERVATION,
    edge_preservation,
    entropy,
    figures,
    mean_figure,
    ms_ssim,
    mutual_information,
    psnr,
    scales_in,
    spatial_frequency,
    ssim,
    standard_deviation,
    vif,
)

GREY = arrays(np.uint8, (2, 6, 7))


def grey(*rows):
    return np.array([rows], np.uint8)


def test_entropy_by_hand():
    assert entropy(np.full((1, 4, 4), 9, np.uint8)) == [0.0]
    assert entropy(grey([0, 255])) == [1.0]
    # half of one value, a quarter each of two: 1/2 * 1 + 2 * 1/4 * 2 = 1.5
    assert entropy(grey([7, 7], [1, 200])) == pytest.approx([1.5])
    assert entropy(np.arange(256, dtype=np.uint8).reshape(1, 16, 16)) == pytest.approx([8.0])


def test_standard_deviation_by_hand():
    assert standard_deviation(grey([0, 255], [255, 0])) == pytest.approx([127.5])
    # around 20: -10, -10, 0, 20
    assert standard_deviation(grey([10, 10], [20, 40])) == pytest.approx([np.sqrt(150)])


def test_spatial_frequency_by_hand():
    # along rows two steps of 4 and 0: mean square 8; along columns steps of 3 and 1: mean square 5
    assert spatial_frequency(grey([0, 4], [3, 3])) == pytest.approx([np.sqrt(8 + 5)])
    checks = np.indices((8, 8)).sum(axis=0) % 2 * 255
    assert spatial_frequency(checks[None].astype(np.uint8)) == pytest.approx([255 * np.sqrt(2)])
    assert spatial_frequency(np.full((1, 5, 5), 9, np.uint8)) == [0.0]


def test_mutual_information_by_hand():
    stripes = grey([0, 255], [0, 255])
    # The negative tells as much as the picture itself, the crossed stripes tell nothing.
    assert mutual_information(stripes, 255 - stripes) == pytest.approx([1.0])
    assert mutual_information(stripes, stripes.transpose(0, 2, 1).copy()) == pytest.approx([0.0])
    # Joint shares 1/2, 1/4, 1/4: H = 1.5; marginals 1 and H(3/4, 1/4) = 0.8113
    other = grey([0, 0], [0, 9])
    assert mutual_information(stripes, other) == pytest.approx([1 + 0.8112781 - 1.5])


@pytest.mark.slow
@given(first=GREY, second=GREY)
def test_mutual_information_is_symmetric_bounded_and_what_scikit_learn_finds(first, second):
    shared = mutual_information(first, second)
    assert shared == pytest.approx(mutual_information(second, first))
    assert (shared >= -1e-9).all()
    assert (shared <= np.minimum(entropy(first), entropy(second)) + 1e-9).all()
    assert mutual_information(first, first) == pytest.approx(entropy(first))
    nats = [mutual_info_score(a.ravel(), b.ravel()) for a, b in zip(first, second, strict=True)]
    assert shared == pytest.approx(np.array(nats) / np.log(2), abs=1e-9)


@given(picture=GREY)
def test_identical_pictures_keep_all_edges(picture):
    assert edge_preservation([picture, picture], picture) == pytest.approx([BEST_EDGE_PRESERVATION] * 2)


@given(first=GREY, second=GREY, fused=GREY)
def test_no_picture_keeps_more_than_all_edges(first, second, fused):
    kept = edge_preservation([first, second], fused)
    assert (kept >= 0).all()
    assert (kept <= BEST_EDGE_PRESERVATION + 1e-9).all()


def test_best_edge_preservation_by_hand():
    # 0.9994 / (1 + e^-7.5) = 0.998847 for the strength, 0.9879 / (1 + e^-4.4) = 0.975922 for the orientation
    assert pytest.approx(0.998847 * 0.975922, abs=1e-5) == BEST_EDGE_PRESERVATION


def test_half_as_strong_an_edge_is_half_seen():
    edges = np.zeros((1, 16, 16), np.uint8)
    edges[:, :, 8:] = 200
    # at a ratio of 1/2 the sigmoid of strength is at its middle: 0.9994 / 2; that of orientation at its best
    expected = 0.9994 / 2 * 0.975922
    assert edge_preservation([edges], edges // 2) == pytest.approx([expected], abs=1e-5)


def test_a_flat_result_keeps_no_edges():
    edges = np.zeros((1, 16, 16), np.uint8)
    edges[:, :, 8:] = 255
    assert edge_preservation([edges, edges], np.full_like(edges, 128)) < 0.01


def test_only_the_strong_edges_of_a_source_count():
    edges, flat = np.zeros((1, 16, 16), np.uint8), np.full((1, 16, 16), 90, np.uint8)
    edges[:, 4:12, 4:12] = 255
    assert edge_preservation([edges, flat], edges) == pytest.approx([BEST_EDGE_PRESERVATION])


def test_orientation_has_no_sign():
    edges = np.zeros((1, 16, 16), np.uint8)
    edges[:, :, 8:] = 255
    assert edge_preservation([edges], 255 - edges) == pytest.approx([BEST_EDGE_PRESERVATION])


def test_psnr_by_hand_and_its_mean_is_that_of_the_errors():
    truth = np.zeros((2, 8, 8, 1), np.uint8)
    wrong = truth.copy()
    wrong[0] = 51  # a fifth of white: MSE 0.04, 10 log10(1 / 0.04) = 13.98 dB; half of that over both
    decibels = psnr(truth, wrong)
    assert decibels == pytest.approx([13.9794, np.inf], abs=1e-3)
    assert mean_figure("truth_psnr", decibels) == pytest.approx(16.9897, abs=1e-3)
    assert mean_figure("truth_psnr", psnr(truth, truth)) is None
    assert mean_figure("ssim", np.array([0.2, 0.4])) == pytest.approx(0.3)


def test_ssim_of_constants_by_hand():
    # no contrast: (2 a b + c1) / (a^2 + b^2 + c1) with a = 51/255, b = 102/255 and c1 = 0.01^2
    first, second = (np.full((1, 16, 16, 1), value, np.uint8) for value in (51, 102))
    expected = (2 * 0.2 * 0.4 + 1e-4) / (0.2**2 + 0.4**2 + 1e-4)
    assert ssim(first, second) == pytest.approx([expected], abs=1e-4)
    # over scales only the coarsest one's brightness counts, with its share of the weights: 0.2856 of 0.3304
    assert ms_ssim(first, second) == pytest.approx([expected ** (0.2856 / 0.3304)], abs=1e-4)


@pytest.mark.parametrize(("side", "scales"), [(16, 2), (28, 2), (43, 2), (44, 3), (96, 3), (99, 4), (176, 5)])
def test_as_many_scales_as_there_is_room_for(side, scales):
    assert scales_in(side) == scales


def test_vif_by_hand():
    picture = np.random.default_rng(0).integers(0, 200, (1, 64, 64, 1), dtype=np.uint8)
    assert vif(picture, picture + 50) == pytest.approx([1.0], abs=1e-3)  # brightness tells nothing
    assert vif(picture, 200 - picture) == pytest.approx([0.0], abs=1e-4)  # nothing is seen in a negative
    # Half the contrast: log(1 + v / 8) / log(1 + v / 2) of variances v from 200 ** 2 / 12 down to a few.
    assert 0.5 < vif(picture, picture // 2)[0] < np.log(1 + 3333 / 8) / np.log(1 + 3333 / 2)
    assert vif(np.full_like(picture, 7), picture) == [1.0]


def test_a_flat_channel_has_nothing_to_lose_and_leaves_the_others_their_figure():
    """A photograph of a red sign has no blue: its figure was NaN, and fell out of the means."""
    red, *_ = pictures = np.random.default_rng(0).integers(0, 200, (2, 64, 64, 3), dtype=np.uint8)
    red[..., 2] = 0
    halved = pictures // 2
    of_channels = [float(vif(red[None, ..., [c]], halved[:1, ..., [c]])[0]) for c in (0, 1)]
    assert vif(pictures, halved)[0] == pytest.approx((sum(of_channels) + 1) / 3)
    measured = figures(np.stack([pictures, halved], axis=1), halved, pictures)
    assert all(np.isfinite(values).all() for name, values in measured.items() if name != "truth_psnr")


def test_vif_of_stripes_by_hand():
    # In the windows of the finest scale stripes of one pixel have the variance v = 10 ** 2, in the next they
    # are gone; the eye's noise is 2. So each pixel's share is log(1 + g ** 2 v / (d + 2)) of log(1 + v / 2),
    # g the gain of the stripes and d the variance of what is not theirs.
    down, across = np.indices((64, 64))[:, None, ..., None]
    stripes = (100 + 10 * (-1) ** across).astype(np.uint8)
    pale = (60 + 5 * (-1) ** across).astype(np.uint8)
    crossed = (stripes + 7 * (-1) ** down).astype(np.uint8)  # which tells nothing of the stripes
    assert vif(stripes, pale) == pytest.approx([np.log(1 + 100 / 4 / 2) / np.log(1 + 100 / 2)], abs=0.01)
    assert vif(stripes, crossed) == pytest.approx(
        [np.log(1 + 100 / (49 + 2)) / np.log(1 + 100 / 2)], abs=0.01
    )


@pytest.mark.parametrize("shape", [(3, 28, 28, 1), (2, 20, 70, 3)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_picture_fused_with_itself_reaches_every_bound(shape, depth):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, np.iinfo(depth).max, shape, dtype=depth)
    measured = figures(np.stack([pictures, pictures], axis=1), pictures, pictures)
    for name in ("ssim", "ms_ssim", "vif", "truth_ssim"):
        assert measured[name] == pytest.approx(1.0, abs=1e-4), name
    assert measured["edge_preservation"] == pytest.approx(BEST_EDGE_PRESERVATION)
    assert measured["mutual_information"] == pytest.approx(2 * measured["entropy"])
    assert (measured["truth_psnr"] == np.inf).all()


def test_every_figure_of_a_blurred_picture_is_worse():
    rng = np.random.default_rng(0)
    pictures = np.stack(
        [cv2.resize(rng.integers(0, 256, (12, 12), dtype=np.uint8), (48, 48)) for _ in range(3)]
    )
    pictures = pictures[..., None]
    blurred = np.stack([cv2.GaussianBlur(picture, (0, 0), 2) for picture in pictures])[..., None]
    sources = np.stack([pictures, pictures], axis=1)
    best, worse = figures(sources, pictures, pictures), figures(sources, blurred, pictures)
    for name in set(best) - {"entropy"}:
        assert (worse[name] < best[name]).all(), name


@pytest.mark.parametrize("shape", [(40, 11), (11, 40), (11, 11), (12, 23), (21, 45)])
def test_pictures_of_any_size_from_a_window_on_are_measured(shape):
    sources = np.random.default_rng(0).integers(0, 256, (1, 2, *shape, 3), dtype=np.uint8)
    measured = figures(sources, sources[:, 0], sources[:, 1])
    assert all(np.isfinite(values).all() for values in measured.values())


def test_each_picture_has_its_own_figures_under_the_names_that_the_report_has():
    rng = np.random.default_rng(1)
    sources = rng.integers(0, 256, (3, 2, 24, 30, 3), dtype=np.uint8)
    fused = (sources[:, 0] // 2 + sources[:, 1] // 3).astype(np.uint8)
    truth = sources[:, 0]
    measured = figures(sources, fused, truth)
    assert list(measured) == [
        "entropy",
        "standard_deviation",
        "spatial_frequency",
        "mutual_information",
        "edge_preservation",
        "ssim",
        "ms_ssim",
        "vif",
        "truth_psnr",
        "truth_ssim",
    ]
    assert list(figures(sources, fused)) == list(measured)[:8]
    first, second = sources[:, 0], sources[:, 1]
    of_each = {"ssim": ssim, "ms_ssim": ms_ssim, "vif": vif}
    for name, figure in of_each.items():
        wanted = (figure(first, fused) + figure(second, fused)) / 2
        np.testing.assert_allclose(measured[name], wanted, err_msg=name)
    np.testing.assert_allclose(measured["truth_psnr"], psnr(truth, fused))
    np.testing.assert_allclose(measured["truth_ssim"], ssim(truth, fused))
    by_picture = [figures(sources[[n]], fused[[n]], truth[[n]]) for n in range(3)]
    for name, values in measured.items():
        alone = [one[name] for one in by_picture]
        assert values.shape == (3,)
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, np.concatenate(alone), rtol=1e-5, err_msg=name)
        assert len(set(values)) == 3


def test_sums_over_the_sources_are_sums():
    rng = np.random.default_rng(1)
    sources = rng.integers(0, 4, (2, 2, 16, 16, 1), dtype=np.uint8) * 60
    fused = np.maximum(sources[:, 0], sources[:, 1])
    shared = [mutual_information(sources[:, s, ..., 0], fused[..., 0]) for s in (0, 1)]
    np.testing.assert_allclose(figures(sources, fused)["mutual_information"], shared[0] + shared[1])


def ramp(across, down, side=16):
    """A picture that grows by so much from pixel to pixel."""
    y, x = np.indices((side, side))
    return (across * x + down * y).astype(np.uint8)[None]


# At a ratio r of strengths and an agreement a of orientations these shares are seen.
def seen(ratio, agreement):
    return 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (agreement - 0.8)))


def test_an_edge_turned_by_half_a_right_angle_by_hand():
    # Along x the source has steps of 5, the fused picture along y, too: it is stronger by the root of 2 and
    # turned by 45 degrees. In the uppermost and lowest row, beside their mirror image, it is not.
    turned = seen(1 / np.sqrt(2), 0.5)
    expected = (14 * turned + 2 * BEST_EDGE_PRESERVATION) / 16
    assert edge_preservation([ramp(5, 0)], ramp(5, 5)) == pytest.approx([expected])
    assert edge_preservation([ramp(0, 5)], ramp(5, 5)) == pytest.approx([expected])


def test_a_crossed_edge_and_none_at_all_by_hand():
    # Within the margins the edges are crossed: an agreement of 0. Of the rows at the margins the fused
    # picture has no edge, whose orientation counts as that along x.
    crossed, none = seen(1, 0), seen(0, 1)
    assert edge_preservation([ramp(5, 0)], ramp(0, 5)) == pytest.approx([(14 * crossed + 2 * none) / 16])
    assert edge_preservation([ramp(5, 0)], ramp(0, 0)) == pytest.approx([none])
    assert edge_preservation([ramp(0, 5)], ramp(0, 0)) == pytest.approx([seen(0, 0)])


def test_edges_of_both_sources_count_by_their_strength():
    # 8 times 5 and 8 times 3 at each pixel between the margins; the fused picture has those of the first.
    weak = seen(3 / 5, 1)
    expected = (5 * BEST_EDGE_PRESERVATION + 3 * weak) / 8
    assert edge_preservation([ramp(5, 0), ramp(3, 0)], ramp(5, 0)) == pytest.approx([expected])
    flat = ramp(0, 0)
    assert edge_preservation([flat, flat], ramp(5, 0)) == pytest.approx([BEST_EDGE_PRESERVATION])


@pytest.mark.parametrize(("side", "scales"), [(3, 1), (11, 1), (12, 2), (98, 3), (175, 4), (1000, 5)])
def test_of_small_pictures_one_scale_is_taken_and_never_more_than_five(side, scales):
    assert scales_in(side) == scales


def test_constants_of_similarity_are_those_of_pictures_from_nought_to_one():
    # c1 = 0.01^2 and c2 = 0.03^2: of a flat picture against black, and of black itself
    black, dark = (np.full((1, 16, 16, 1), value, np.uint8) for value in (0, 3))
    expected = 1e-4 / ((3 / 255) ** 2 + 1e-4)
    assert ssim(black, dark) == pytest.approx([expected], abs=1e-5)
    assert ms_ssim(black, dark) == pytest.approx([expected ** (0.2856 / 0.3304)], abs=1e-5)


@pytest.mark.parametrize("shape", [(20, 30), (50, 18), (41, 41)])
def test_small_pictures_are_continued_by_their_mirror_image_for_vif(shape):
    rng = np.random.default_rng(1)
    reference = rng.integers(0, 256, (1, *shape, 2), dtype=np.uint8)
    noisy = (reference * 0.8 + rng.integers(0, 40, reference.shape)).astype(np.uint8)

    def continued(picture):
        down, across = (max(0, 41 - side) for side in shape)
        return np.pad(picture, ((0, 0), (0, down), (0, across), (0, 0)), mode="reflect")

    assert vif(reference, noisy) == pytest.approx(vif(continued(reference), continued(noisy)))
    assert 0.1 < vif(reference, noisy)[0] < 0.9


def test_decibels_of_sixteen_bits_are_those_of_their_own_range():
    truth = np.zeros((1, 16, 16, 1), np.uint16)
    assert psnr(truth, truth + 13107) == pytest.approx([13.9794], abs=1e-3)


@pytest.mark.parametrize("figure", [ssim, ms_ssim, psnr])
def test_similarities_are_computed_in_single_precision_and_told_in_double(figure):
    first, second = np.random.default_rng(1).integers(0, 256, (2, 2, 24, 30, 3), dtype=np.uint8)
    found = figure(first, second)
    assert found.dtype == np.float64
    assert (found == found.astype(np.float32)).all()


def test_a_flat_channel_is_one_however_bright_it_is():
    pictures = np.random.default_rng(0).integers(0, 200, (1, 64, 64, 2), dtype=np.uint8)
    pictures[..., 1] = 120
    halved = pictures // 2
    alone = vif(pictures[..., :1], halved[..., :1])
    assert vif(pictures, halved) == pytest.approx((alone + 1) / 2)
