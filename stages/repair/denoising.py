"""Noise: how much of it a picture has, and the picture without it."""

import cv2
import numpy as np
import numpy.typing as npt
import pywt

Picture = npt.NDArray[np.uint8]

WAVELET = "db2"
NORMAL = 0.6745
"""The median of the absolute values of a normal distribution of deviation 1."""
PATCH = 5
SEARCHED = 21
STRENGTH = 0.8
"""Filter strength for noise of deviation 1: scikit-image names this factor for its fast variant."""


def noise_in(picture: Picture) -> float:
    """The standard deviation of the noise in a picture [H, W, C], in grey levels, the mean over its channels.

    It is taken from the finest diagonal wavelet details, which edges hardly reach: D. Donoho and I. Johnstone
    1994, "Ideal spatial adaptation by wavelet shrinkage".
    """
    deviations = []
    for channel in range(picture.shape[2]):
        _, (_, _, diagonal) = pywt.dwt2(picture[..., channel].astype(np.float64), WAVELET)
        deviations.append(float(np.median(np.abs(diagonal))) / NORMAL)
    return float(np.mean(deviations))


def denoised(picture: Picture, sigma: float) -> Picture:
    """The picture [H, W, C] without noise of this standard deviation in grey levels, by non-local means.

    A. Buades et al. 2005, "A non-local algorithm for image denoising", as OpenCV has it: each pixel becomes
    the mean of those whose surroundings are alike. All channels decide together.
    """
    if sigma <= 0:
        return picture
    strength = [float(STRENGTH * sigma)] * picture.shape[2]
    smooth = cv2.fastNlMeansDenoising(
        np.ascontiguousarray(picture),
        h=strength,
        templateWindowSize=PATCH,
        searchWindowSize=SEARCHED,
        normType=cv2.NORM_L2,
    )
    return np.asarray(smooth, dtype=np.uint8).reshape(picture.shape)
