"""The methods of fusion once more, written from their papers with NumPy, SciPy and PyWavelets.

Pictures are float64 [H, W, C] in 0..1, sources a list of them. At borders a picture is continued by its
mirror image without the outermost pixel twice ("mirror" in SciPy).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pywt
from scipy import ndimage

Floats = npt.NDArray[np.float64]

BURT = np.array([1, 4, 6, 4, 1]) / 16


def average(sources: Sequence[Floats]) -> Floats:
    return np.mean(sources, axis=0)


def maximum(sources: Sequence[Floats]) -> Floats:
    return np.max(sources, axis=0)


def smoothed(picture: Floats, kernel: Floats) -> Floats:
    """Rows and columns convolved by the kernel."""
    for axis in (0, 1):
        picture = ndimage.convolve1d(picture, kernel, axis=axis, mode="mirror")
    return picture


def reduce(picture: Floats) -> Floats:
    """Burt and Adelson's REDUCE."""
    return smoothed(picture, BURT)[::2, ::2]


def expand(picture: Floats, like: Floats) -> Floats:
    """Burt and Adelson's EXPAND, to the size of `like`.

    Beyond the right and lower edge stands the outermost pixel again, beyond the others the mirror image: the
    paper is silent, and so OpenCV has it, whose pyramids the product uses.
    """
    for axis in (0, 1):
        size = like.shape[axis]
        before, after = (
            np.take(picture, [min(1, picture.shape[axis] - 1)], axis),
            np.take(picture, [-1], axis),
        )
        longer = np.concatenate([before, picture, after], axis=axis)
        spread = np.zeros([2 * n if a == axis else n for a, n in enumerate(longer.shape)])
        spread[tuple(slice(None, None, 2) if a == axis else slice(None) for a in range(spread.ndim))] = longer
        wide = 2 * ndimage.convolve1d(spread, BURT, axis=axis, mode="constant")
        picture = np.take(wide, np.arange(2, 2 + size), axis)
    return picture


def pyramid(picture: Floats, levels: int) -> list[Floats]:
    """The Laplacian pyramid, finest first, and the coarsest picture."""
    parts = []
    for _ in range(levels):
        coarser = reduce(picture)
        parts.append(picture - expand(coarser, picture))
        picture = coarser
    return [*parts, picture]


def collapsed(parts: Sequence[Floats]) -> Floats:
    picture = parts[-1]
    for detail in reversed(parts[:-1]):
        picture = detail + expand(picture, detail)
    return picture


def strongest(details: Sequence[Floats]) -> Floats:
    """At each place the detail whose channels are farthest from zero together."""
    amounts = np.stack([np.abs(detail).sum(axis=-1) for detail in details])
    chosen = amounts.argmax(axis=0)[None, ..., None]
    return np.take_along_axis(np.stack(details), chosen, axis=0)[0]


def laplacian(sources: Sequence[Floats], levels: int) -> Floats:
    """Burt and Adelson (1983); the strongest detail, as Burt and Kolczynski (1993) choose it."""
    *details, coarsest = zip(*[pyramid(source, levels) for source in sources], strict=True)
    return collapsed([*map(strongest, details), np.mean(coarsest, axis=0)])


def wavelet(sources: Sequence[Floats], levels: int) -> Floats:
    """Li, Manjunath and Mitra (1995), level by level."""
    if not levels:
        return np.mean(sources, axis=0)
    bands = [pywt.dwt2(source, "db2", axes=(0, 1)) for source in sources]
    rough = wavelet([band[0] for band in bands], levels - 1)
    shape = bands[0][1][0].shape
    details = tuple(strongest([band[1][way] for band in bands]) for way in range(3))
    fused = pywt.idwt2((rough[: shape[0], : shape[1]], details), "db2", axes=(0, 1))
    height, width = sources[0].shape[:2]
    return fused[:height, :width]


def exposure(sources: Sequence[Floats]) -> Floats:
    """Mertens, Kautz and Van Reeth (2007): contrast x saturation x well-exposedness (sigma .2).

    Where all sources are grey the paper's saturation is 0 and no weight is left. There OpenCV weighs by what
    rounding leaves of it in float32, and the two differ.
    """
    weights = []
    for source in sources:
        grey = source @ [0.299, 0.587, 0.114] if source.shape[2] == 3 else source[..., 0]
        contrast = np.abs(ndimage.laplace(grey, mode="mirror"))
        saturation = source.std(axis=2) if source.shape[2] == 3 else 1.0
        well = np.exp(-((source - 0.5) ** 2) / (2 * 0.2**2)).prod(axis=2)
        weights.append(contrast * saturation * well + 1e-12)
    total = np.sum(weights, axis=0)
    levels = int(np.log2(min(sources[0].shape[:2])))
    blended: list[Floats] = []
    for source, weight in zip(sources, weights, strict=True):
        share, parts = (weight / total)[..., None], []
        for part in pyramid(source, levels):
            parts.append(share * part)
            share = reduce(share)
        blended = [a + b for a, b in zip(blended, parts, strict=True)] if blended else parts
    return collapsed(blended)


def guided(sources: Sequence[Floats]) -> Floats:
    """Li, Kang and Hu (2013) with their constants: 31 px, 11 px and 5, (45, .3) and (7, 1e-6)."""
    guides = [source.mean(axis=2) for source in sources]
    reach = np.arange(-5, 6)
    bell = np.exp(-(reach**2) / (2 * 5.0**2))
    saliency = [smoothed(np.abs(ndimage.laplace(g, mode="mirror")), bell / bell.sum()) for g in guides]
    winner = np.argmax(saliency, axis=0)
    bases = [ndimage.uniform_filter(source, (31, 31, 1), mode="mirror") for source in sources]
    fused = np.zeros_like(sources[0])
    for radius, blur, of_bases in ((45, 0.3, True), (7, 1e-6, False)):
        led = [filtered(g, (winner == s).astype(float), radius, blur) for s, g in enumerate(guides)]
        shares = np.clip(led, 0, None) + np.finfo(np.float32).tiny
        shares /= shares.sum(axis=0)
        parts = bases if of_bases else [s - b for s, b in zip(sources, bases, strict=True)]
        fused += np.einsum("shw,shwc->hwc", shares, np.stack(parts))
    return fused


def filtered(guide: Floats, values: Floats, radius: int, blur: float) -> Floats:
    """He, Sun and Tang (2010): the guided filter."""

    def mean(picture: Floats) -> Floats:
        return ndimage.uniform_filter(picture, 2 * radius + 1, mode="mirror")

    slope = (mean(guide * values) - mean(guide) * mean(values)) / (mean(guide**2) - mean(guide) ** 2 + blur)
    return mean(slope) * guide + mean(mean(values) - slope * mean(guide))
