"""Fusing pictures of one scene into one: pure functions on arrays.

Each takes sources uint8 [S, H, W, C] (S pictures of one size) and gives one picture uint8 [H, W, C].
Fusing a picture with itself gives it back.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def weighted_average(sources: Pictures, weights: Sequence[float]) -> Pictures:
    """The mean of the sources, source s with weight s.

    Raises:
        ValueError: see `check_weights`; or another number of weights than of sources.

    """
    check_weights(weights)
    if len(weights) != len(sources):
        raise ValueError(f"{len(weights)} weights for {len(sources)} pictures")
    return _picture(np.average(sources, axis=0, weights=weights), sources)


def check_weights(weights: Sequence[float]) -> None:
    """Refuse weights that are not an average's.

    Raises:
        ValueError: one is negative, or they do not sum to 1.

    """
    if min(weights, default=0.0) < 0:
        raise ValueError(f"a weight is negative: {min(weights):g}")
    if not np.isclose(sum(weights), 1.0):
        raise ValueError(f"weights must sum to 1, these sum to {sum(weights):g}")


def maximum(sources: Pictures) -> Pictures:
    """The brightest source at each pixel and channel."""
    brightest: Pictures = sources.max(axis=0)
    return brightest


def laplacian_pyramid(sources: Pictures, levels: int) -> Pictures:
    """At each scale the strongest detail of any source, on the mean of the coarsest pictures.

    The pyramid is Burt and Adelson's ("The Laplacian pyramid as a compact image code", 1983).

    Raises:
        ValueError: the pictures are too small for so many `levels` (see `most_levels`).

    """
    if levels > most_levels(sources.shape[1], sources.shape[2]):
        raise ValueError(f"{levels} pyramid levels are too many for pictures of {sources.shape[1:3]} pixels")
    pyramids = [_decompose(source.astype(np.float32), levels) for source in _for_cv2(sources)]
    *details, coarsest = (np.stack(level) for level in zip(*pyramids, strict=True))  # each [S, h, w(, C)]
    return _picture(_compose([_strongest(detail) for detail in details], coarsest.mean(axis=0)), sources)


def most_levels(height: int, width: int) -> int:
    """How often a picture can be halved until a side has two pixels."""
    return max(0, min(height, width).bit_length() - 2)


def exposure_fusion(sources: Pictures) -> Pictures:
    """Each source where it is well exposed and rich in contrast and colour, blended over scales.

    Mertens, Kautz and Van Reeth, "Exposure fusion" (2007), as OpenCV has it.
    """
    merged = cv2.createMergeMertens().process(list(_for_cv2(sources)))  # about 0..1, overshoot included
    return _picture(merged * 255, sources)


def activity_weighted(sources: Pictures, activity: Floats) -> Pictures:
    """The mean of the sources, weighted at each pixel by how active a network is there.

    `activity` [S, h, w], not negative: of each source, for instance the sum over channels of a convolution's
    feature maps; enlarged to the pictures' size. Where it is zero for all, all weigh the same.
    Li, Wu and Kittler, "Infrared and visible image fusion using a deep learning framework" (2018).
    """
    height, width = sources.shape[1:3]
    # Averaged over a neighbourhood, so that weights do not jump between neighbouring pixels.
    enlarged = [cv2.resize(cv2.blur(one, (3, 3)), (width, height)) for one in activity.astype(np.float32)]
    weights = np.stack(enlarged) + np.finfo(np.float32).tiny
    weights /= weights.sum(axis=0)
    return _picture((weights[..., None] * sources).sum(axis=0), sources)  # [S, H, W, 1] * [S, H, W, C]


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


def _strongest(details: Floats) -> Floats:
    """[S, h, w(, C)] -> [h, w(, C)]: the value farthest from zero."""
    strongest: Floats = np.take_along_axis(details, np.abs(details).argmax(axis=0)[None], axis=0)[0]
    return strongest


def _picture(values: npt.NDArray[np.floating], like: Pictures) -> Pictures:
    """Rounded to 0..255, in the shape of one of the pictures `like` [S, H, W, C]."""
    return values.round().clip(0, 255).astype(np.uint8).reshape(like.shape[1:])
