"""Filling, denoising and exposure of natural photographs, whose truth is known: scikit-learn ships two."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.datasets import load_sample_image

from stages.core.errors import DataError
from stages.generator.network import build_generator, draw_latents, render
from stages.networks.compute import Compute
from stages.repair.denoising import denoised, noise_in
from stages.repair.exposure import coded, linear, well_exposed
from stages.repair.filling import FLAGS, blended, filled, membrane
from stages.repair.inversion import inverted

Picture = npt.NDArray[np.uint8]
EXACT = Compute(device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module", params=["china.jpg", "flower.jpg"])
def photograph(request: pytest.FixtureRequest) -> Picture:
    """A quarter of the side of one of the photographs: [106, 160, 3]."""
    small = cv2.resize(load_sample_image(request.param), (160, 106), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def scratches(shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Lines of three pixels, 8 % of the picture or so."""
    missing = np.zeros(shape[:2], np.uint8)
    for start in range(10, shape[1], 35):
        cv2.line(missing, (start, 0), (start + 20, shape[0]), 1, 3)
    return missing > 0


def error(first: npt.NDArray[np.generic], second: npt.NDArray[np.generic]) -> float:
    return float(np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2))


@pytest.mark.parametrize("method", list(FLAGS))
@pytest.mark.parametrize("bits", [8, 16])
def test_scratches_are_filled_and_nothing_else_is_touched(
    photograph: Picture, method: str, bits: int
) -> None:
    truth = photograph if bits == 8 else photograph.astype(np.uint16) * 257
    missing = scratches(truth.shape)
    given = np.where(missing[..., None], np.iinfo(truth.dtype).max, truth).astype(truth.dtype)
    mended = filled(given, missing, method, 3.0)  # type: ignore[arg-type]
    assert mended.dtype == truth.dtype
    np.testing.assert_array_equal(mended[~missing], truth[~missing])
    flat = truth[~missing].mean(axis=0)
    assert error(mended[missing], truth[missing]) < 0.4 * error(
        np.broadcast_to(flat, truth[missing].shape), truth[missing]
    )


def test_a_membrane_continues_a_slope() -> None:
    """A linear function is harmonic: within the picture it is continued exactly; a constant everywhere."""
    slope = np.add.outer(np.arange(9.0), 2 * np.arange(12.0))[..., None]
    hole = np.zeros((9, 12), dtype=bool)
    hole[2:7, 3:9] = True
    np.testing.assert_allclose(membrane(np.where(hole[..., None], 99.0, slope), hole), slope)
    hole[:, 3:] = True
    np.testing.assert_allclose(membrane(np.where(hole[..., None], 99.0, 4.0), hole), 4.0)


def test_what_is_drawn_brighter_by_a_constant_is_blended_without_a_trace(photograph: Picture) -> None:
    truth = photograph // 2 + 40
    missing = np.zeros(truth.shape[:2], dtype=bool)
    missing[30:60, 100:] = True  # to the edge
    given = np.where(missing[..., None], 255, truth).astype(np.uint8)
    np.testing.assert_array_equal(blended(given, truth + 30, missing), truth)


@pytest.mark.parametrize("sigma", [5.0, 15.0, 30.0])
def test_noise_is_measured_and_removed(photograph: Picture, sigma: float) -> None:
    noise = np.random.default_rng(0).normal(0, sigma, photograph.shape)
    dim = photograph // 2 + 60  # so that nothing is cut off
    noisy = np.rint(dim + noise).clip(0, 255).astype(np.uint8)
    measured = noise_in(noisy)
    assert measured == pytest.approx(sigma, rel=0.5)
    if sigma > 5:  # fine detail of a small picture is as strong as weak noise
        assert error(denoised(noisy, sigma), dim) < 0.7 * error(noisy, dim)
    np.testing.assert_array_equal(denoised(noisy, 0), noisy)


def test_an_even_picture_has_no_noise() -> None:
    assert noise_in(np.full((20, 20, 1), 90, np.uint8)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("stops", [-3.0, -2.0])
def test_a_dark_picture_comes_nearer_to_the_right_exposure(photograph: Picture, stops: float) -> None:
    dark = coded(linear(photograph) * 2.0**stops)
    mended = well_exposed(dark, 2.0)
    assert error(mended, photograph) < 0.6 * error(dark, photograph)
    assert mended.shape == photograph.shape


def test_a_stop_doubles_the_light_and_coding_is_undone() -> None:
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(coded(linear(levels)), levels)
    assert coded(linear(np.array([188], np.uint8)) / 2.0)[0] == pytest.approx(137, abs=1)


@pytest.mark.slow
def test_what_the_generator_drew_itself_is_found_again() -> None:
    torch.manual_seed(0)
    config = {"size": 16, "channels": 1, "classes": ["a", "b"], "latent": 4, "condition": 4, "width": 8}
    network = build_generator(config | {"text": None, "attributes": None})
    asked = network.ask(network.by_class(torch.tensor([1])))
    truth = render(network, draw_latents(1, 4, seed=77), asked, EXACT)[0]
    missing = np.zeros((16, 16), dtype=bool)
    missing[4:12, 5:13] = True
    given = np.where(missing[..., None], 0, truth).astype(np.uint8)
    found = inverted(network, given, missing, seed=1)
    others = [render(network, draw_latents(1, 4, seed=seed), asked, EXACT)[0] for seed in range(20)]
    typical = np.median([error(other[missing], truth[missing]) for other in others])
    assert error(found.picture[missing], truth[missing]) < 0.1 * typical
    again = inverted(network, given, missing, seed=1)
    np.testing.assert_array_equal(again.picture, found.picture)
    with pytest.raises(DataError, match="20 x 16 px and 1 channels: the generator draws 16 x 16 px"):
        inverted(network, np.zeros((16, 20, 1), np.uint8), np.ones((16, 20), dtype=bool), seed=1)
