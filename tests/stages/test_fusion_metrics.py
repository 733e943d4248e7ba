import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from stages.fusion_metrics import (
    BEST_EDGE_PRESERVATION,
    edge_preservation,
    entropy,
    grey,
    mutual_information,
    psnr,
    ssim,
)

GREY = arrays(np.uint8, (6, 7))


def test_entropy_by_hand():
    assert entropy(np.full((4, 4), 9, np.uint8)) == 0.0
    assert entropy(np.array([[0, 255]], np.uint8)) == 1.0
    # half of one value, a quarter each of two: 1/2 * 1 + 2 * 1/4 * 2 = 1.5
    assert entropy(np.array([[7, 7], [1, 200]], np.uint8)) == 1.5
    assert entropy(np.arange(256, dtype=np.uint8).reshape(16, 16)) == 8.0


def test_mutual_information_by_hand():
    stripes = np.array([[0, 255], [0, 255]], np.uint8)
    # The negative tells as much as the picture itself, the crossed stripes tell nothing.
    assert mutual_information(stripes, 255 - stripes) == pytest.approx(1.0)
    assert mutual_information(stripes, stripes.T.copy()) == pytest.approx(0.0)
    # Joint shares 1/2, 1/4, 1/4: H = 1.5; marginals 1 and H(3/4, 1/4) = 0.8113
    other = np.array([[0, 0], [0, 9]], np.uint8)
    assert mutual_information(stripes, other) == pytest.approx(1 + 0.8112781 - 1.5)


@given(first=GREY, second=GREY)
def test_mutual_information_is_symmetric_and_bounded(first, second):
    shared = mutual_information(first, second)
    assert shared == pytest.approx(mutual_information(second, first))
    assert -1e-9 <= shared <= min(entropy(first), entropy(second)) + 1e-9
    assert mutual_information(first, first) == pytest.approx(entropy(first))


@given(picture=GREY)
def test_identical_pictures_keep_all_edges(picture):
    assert edge_preservation(picture, picture, picture) == pytest.approx(BEST_EDGE_PRESERVATION)


@given(first=GREY, second=GREY, fused=GREY)
def test_no_picture_keeps_more_than_all_edges(first, second, fused):
    assert 0 <= edge_preservation(first, second, fused) <= BEST_EDGE_PRESERVATION + 1e-9


def test_best_edge_preservation_by_hand():
    # 0.9994 / (1 + e^-7.5) = 0.998847 for the strength, 0.9879 / (1 + e^-4.4) = 0.975922 for the orientation
    assert pytest.approx(0.998847 * 0.975922, abs=1e-5) == BEST_EDGE_PRESERVATION


def test_a_flat_result_keeps_no_edges():
    edges = np.zeros((16, 16), np.uint8)
    edges[:, 8:] = 255
    assert edge_preservation(edges, edges, np.full_like(edges, 128)) < 0.01


def test_only_the_strong_edges_of_a_source_count():
    edges, flat = np.zeros((16, 16), np.uint8), np.full((16, 16), 90, np.uint8)
    edges[4:12, 4:12] = 255
    assert edge_preservation(edges, flat, edges) == pytest.approx(BEST_EDGE_PRESERVATION)


def test_orientation_has_no_sign():
    edges = np.zeros((16, 16), np.uint8)
    edges[:, 8:] = 255
    assert edge_preservation(edges, edges, 255 - edges) == pytest.approx(BEST_EDGE_PRESERVATION)


def test_psnr_by_hand():
    truth = np.zeros((2, 8, 8, 1), np.uint8)
    wrong = truth.copy()
    wrong[0] = 51  # a fifth of white in half of the pixels: MSE 0.02, 10 log10(1 / 0.02) = 16.99 dB
    assert psnr(truth, wrong) == pytest.approx(16.9897, abs=1e-3)
    assert psnr(truth, truth) is None


def test_ssim_tells_identical_from_different():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    assert ssim(pictures, pictures) == pytest.approx(1.0)
    assert ssim(pictures, 255 - pictures) < 0


def test_grey_is_the_mean_of_the_channels():
    assert grey(np.array([[[[10, 20, 60]]]], np.uint8)).tolist() == [[[30]]]
    assert grey(np.array([[[[7]]]], np.uint8)).tolist() == [[[7]]]
