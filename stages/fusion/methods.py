"""Fuses pictures of one scene into one, pixel by pixel: pure functions on arrays.

Each takes sources, uint8 or uint16 [S, H, W, C] (S pictures of one size), and returns one picture [H, W, C]
with as many bits. Fusing a picture with itself returns that picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

import cv2
import numpy as np
import pywt

from stages.fusion.params import Method, check_weights
from stages.fusion.pixels import Floats, Pictures, peak, rounded

WAVELET = "db2"
"""Daubechies' with two vanishing moments: short, so that little rings beside an edge."""

# Li, Kang and Hu's constants: of the base the mean over so many pixels, and the radius and the blur of the
# guided filter on its weights and on those of the details; how saliency is smoothed. For pictures of 500 px.
BASE_SIDE = 31
BASE_FILTER = (45, 0.3)
DETAIL_FILTER = (7, 1e-6)
SALIENCY_WINDOW = (11, 11)  # Li, Kang and Hu's r_g = 5
SALIENCY_SIGMA = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the methods ask for beside the pictures."""

    weights: Sequence[float] | None
    """average: one for each source; None: all the same."""
    levels: int | None
    """laplacian, wavelet: how often pictures are halved; None: as often as they can be."""
    activity: Callable[[Pictures], Floats] | None
    """features: how active a network is on sources [S, H, W, C]: [S, h, w]; None: there is no network."""


def fuse(sources: Pictures, method: Method, settings: Settings) -> Pictures:
    """What `method` makes of the sources.

    Raises:
        ValueError: Weights that are no average's or too few, more levels than the pictures can be halved.

    """
    match method:
        case "average":
            return average(sources, settings.weights)
        case "maximum":
            return maximum(sources)
        case "laplacian":
            return laplacian(sources, settings.levels)
        case "wavelet":
            return wavelet(sources, settings.levels)
        case "exposure":
            return exposure(sources)
        case "guided":
            return guided(sources)
        case "features":
            assert settings.activity is not None, "features need a network"
            return by_activity(sources, settings.activity(sources))
        case _:
            assert_never(method)


def average(sources: Pictures, weights: Sequence[float] | None = None) -> Pictures:
    """The mean of the sources, source s with weight s; all the same where there are none.

    Raises:
        ValueError: See `check_weights`; or another number of weights than of sources.

    """
    if weights is not None:
        check_weights(weights)
        if len(weights) != len(sources):
            raise ValueError(f"{len(weights)} weights for {len(sources)} pictures")
    return rounded(np.average(sources, axis=0, weights=weights), sources)


def maximum(sources: Pictures) -> Pictures:
    """The brightest source at each pixel and channel."""
    brightest: Pictures = sources.max(axis=0)
    return brightest


def laplacian(sources: Pictures, levels: int | None = None) -> Pictures:
    """Take at each scale the strongest detail of any source, on the mean of the coarsest pictures.

    The pyramid is Burt and Adelson's ("The Laplacian pyramid as a compact image code", 1983).

    Raises:
        ValueError: See `levels_of`.

    """
    levels = levels_of(sources, levels)
    pyramids = [_decompose(source.astype(np.float32), levels) for source in _for_cv2(sources)]
    *details, coarsest = zip(*pyramids, strict=True)  # a level: one [h, w(, C)] of each source
    return rounded(_compose([_strongest(detail) for detail in details], _mean(coarsest)), sources)


def levels_of(sources: Pictures, levels: int | None) -> int:
    """How often to halve the sources [S, H, W, C]: `levels`, or as often as can be.

    Raises:
        ValueError: The pictures are too small for so many (see `most_levels`).

    """
    height, width = sources.shape[1:3]
    most = most_levels(height, width)
    if levels is not None and levels > most:
        raise ValueError(f"{levels} levels are too many for pictures of {width} x {height}: at most {most}")
    return most if levels is None else levels


def most_levels(height: int, width: int) -> int:
    """How often a picture can be halved until a side has two pixels."""
    return max(0, min(height, width).bit_length() - 2)


def wavelet(sources: Pictures, levels: int | None = None) -> Pictures:
    """Take at each scale and direction the strongest detail of any source, on the coarsest pictures' mean.

    Li, Manjunath and Mitra, "Multisensor image fusion using the wavelet transform" (1995); the transform is
    PyWavelets'. It is halved `levels` times, or fewer where the wavelet would be longer than the picture.

    Raises:
        ValueError: See `levels_of`.

    """
    levels = min(levels_of(sources, levels), pywt.dwtn_max_level(sources.shape[1:3], WAVELET))
    bands = [
        pywt.wavedec2(source, WAVELET, level=levels, axes=(0, 1)) for source in sources.astype(np.float32)
    ]
    coarsest, *details = zip(*bands, strict=True)  # a level: three directions [h, w, C] of each source
    strongest = [tuple(_strongest(band) for band in zip(*level, strict=True)) for level in details]
    fused = pywt.waverec2([_mean(coarsest), *strongest], WAVELET, axes=(0, 1))
    return rounded(fused[: sources.shape[1], : sources.shape[2]], sources)  # odd sides come back even


def exposure(sources: Pictures) -> Pictures:
    """Each source where it is well exposed and rich in contrast and colour, blended over scales.

    Mertens, Kautz and Van Reeth, "Exposure fusion" (2007), as OpenCV has it; all three terms count as in the
    paper, where OpenCV's own default leaves out how well a pixel is exposed.
    """
    white = peak(sources)
    as_bytes = [
        source.astype(np.float32) * (255 / white) for source in _for_cv2(sources)
    ]  # it divides by 255
    merger = cv2.createMergeMertens(contrast_weight=1, saturation_weight=1, exposure_weight=1)
    merged = merger.process(as_bytes)  # about 0..1, overshoot included
    return rounded(merged * white, sources)


def guided(sources: Pictures) -> Pictures:
    """Each source where it is the most salient, the borders led along its edges by a guided filter.

    Base and detail of each source are weighted apart: Li, Kang and Hu, "Image fusion with guided filtering"
    (2013).
    """
    values = sources.astype(np.float32) / peak(sources)
    guides = values.mean(axis=-1)  # [S, H, W]
    saliency = np.stack([_saliency(guide) for guide in guides])
    winners = (saliency.argmax(axis=0) == np.arange(len(sources))[:, None, None]).astype(np.float32)
    fused = np.zeros_like(values[0])
    bases = np.stack([cv2.blur(value, (BASE_SIDE, BASE_SIDE)).reshape(value.shape) for value in values])
    for parts, (radius, blur) in ((bases, BASE_FILTER), (values - bases, DETAIL_FILTER)):
        led = [guided_filter(g, w, radius, blur) for g, w in zip(guides, winners, strict=True)]
        fused += _weighted(parts, np.stack(led))
    return rounded(fused * peak(sources), sources)


def guided_filter(guide: Floats, values: Floats, radius: int, blur: float) -> Floats:
    """`values` [H, W] smoothed, but not where the variance of `guide` [H, W] is above `blur`: at its edges.

    He, Sun and Tang, "Guided image filtering" (2010): in each window the values are a line of the guide's.
    """

    def mean(picture: Floats) -> Floats:
        return np.asarray(cv2.blur(picture, (2 * radius + 1, 2 * radius + 1)), dtype=np.float32)

    covariance = mean(guide * values) - mean(guide) * mean(values)
    slope = covariance / (mean(guide * guide) - mean(guide) ** 2 + np.float32(blur))
    offset = mean(values) - slope * mean(guide)
    led: Floats = mean(slope) * guide + mean(offset)
    return led


def by_activity(sources: Pictures, activity: Floats) -> Pictures:
    """The mean of the sources, weighted at each pixel by how active a network is there.

    `activity` [S, h, w], not negative: of each source, for instance the sum over channels of a convolution's
    feature maps; enlarged to the pictures' size. Where it is zero for all, all weigh the same.
    Li, Wu and Kittler, "Infrared and visible image fusion using a deep learning framework" (2018).
    """
    height, width = sources.shape[1:3]
    # Averaged over a neighbourhood, so that weights do not jump between neighbouring pixels.
    enlarged = [cv2.resize(cv2.blur(area, (3, 3)), (width, height)) for area in activity.astype(np.float32)]
    return rounded(_weighted(sources, np.stack(enlarged)), sources)


def _weighted(parts: Pictures | Floats, weights: Floats) -> Floats:
    """The mean [H, W, C] of parts [S, H, W, C] by weights [S, H, W], negative ones taken for none."""
    positive = weights.clip(0) + np.finfo(np.float32).tiny
    shares = positive / positive.sum(axis=0)
    mean: Floats = np.einsum("shw,shwc->hwc", shares, parts, dtype=np.float32)
    return mean


def _saliency(picture: Floats) -> Floats:
    """How much goes on around each pixel of [H, W]."""
    detail = np.abs(cv2.Laplacian(picture, cv2.CV_32F))
    return np.asarray(cv2.GaussianBlur(detail, SALIENCY_WINDOW, SALIENCY_SIGMA), dtype=np.float32)


def _for_cv2(sources: Pictures) -> Pictures:
    """Without the axis of a single channel, which OpenCV drops as it goes."""
    return sources[..., 0] if sources.shape[-1] == 1 else sources


def _decompose(picture: Floats, levels: int) -> list[Floats]:
    """`levels` pictures of detail, finest first, and what is left: the coarsest picture."""
    pyramid = []
    for _ in range(levels):
        coarser = cv2.pyrDown(picture).astype(np.float32, copy=False)
        pyramid.append(picture - _enlarge(coarser, picture))
        picture = coarser
    return [*pyramid, picture]


def _compose(details: list[Floats], picture: Floats) -> Floats:
    for detail in reversed(details):
        picture = detail + _enlarge(picture, detail)
    return picture


def _enlarge(coarser: Floats, like: Floats) -> Floats:
    return cv2.pyrUp(coarser, dstsize=(like.shape[1], like.shape[0])).astype(np.float32, copy=False)


def _mean(pictures: Sequence[Floats]) -> Floats:
    mean: Floats = np.mean(pictures, axis=0, dtype=np.float32)
    return mean


def _strongest(details: Sequence[Floats]) -> Floats:
    """The detail farthest from zero at each place, with all its channels, of details [h, w] or [h, w, C].

    Channels that were chosen apart would mix to colours that no source has.
    """
    strongest, most = details[0].copy(), _amount(details[0])
    for detail in details[1:]:
        # Ten times as fast as NumPy's argmax and take_along_axis.
        amount = _amount(detail)
        stronger = cv2.compare(amount, most, cv2.CMP_GT)
        cv2.copyTo(detail, stronger, strongest)
        most = np.maximum(amount, most)
    return strongest


def _amount(detail: Floats) -> Floats:
    """How far from zero the channels of [h, w] or [h, w, C] are together: [h, w]."""
    distance = np.abs(detail)
    return np.ascontiguousarray(distance if distance.ndim == 2 else distance.sum(axis=2))
