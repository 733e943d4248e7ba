"""How much of its sources, or of a known truth, a fused picture keeps: pure functions.

Grey pictures are uint8 [H, W]; batches of pictures are uint8 [N, H, W, C].
"""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from stages.datasets import to_unit

Batch = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

# Xydeas and Petrovic's constants: height, slope and middle of the sigmoids that say how much of an edge's
# strength and of its orientation is seen.
STRENGTH = (0.9994, -15.0, 0.5)
ORIENTATION = (0.9879, -22.0, 0.8)


def entropy(picture: Grey) -> float:
    """Bits a pixel that the histogram of the 256 grey values tells: 0 (one value) to 8 (all alike)."""
    return _bits(np.bincount(picture.ravel(), minlength=256))


def mutual_information(first: Grey, second: Grey) -> float:
    """Bits that one picture's grey value tells of the other's at the same pixel: 0 to either's entropy.

    A fused picture's figure is the sum over its sources: Qu, Zhang and Yan, "Information measure for
    performance of image fusion" (2002).
    """
    together = np.bincount(first.ravel().astype(np.int64) * 256 + second.ravel())
    return entropy(first) + entropy(second) - _bits(together)


def edge_preservation(first: Grey, second: Grey, fused: Grey) -> float:
    """Q^AB/F: how much of the sources' edges the fused picture shows, by strength and orientation.

    0 to `BEST_EDGE_PRESERVATION`, which identical pictures reach; strong edges count for more. Xydeas and
    Petrovic, "Objective image fusion performance measure" (2000), with weights proportional to strength.
    Sources without any edge have none to lose and get the best value.
    """
    strength_f, orientation_f = _edges(fused)
    kept, total = 0.0, 0.0
    for source in (first, second):
        strength, orientation = _edges(source)
        kept += float((_preserved(strength, orientation, strength_f, orientation_f) * strength).sum())
        total += float(strength.sum())
    return kept / total if total else BEST_EDGE_PRESERVATION


def ssim(first: Batch, second: Batch) -> float:
    """Structural similarity of pictures, two by two, and the mean of that: -1..1, 1 for identical ones.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment" (2004).
    """
    mean = structural_similarity_index_measure(to_unit(first), to_unit(second), data_range=1.0)
    assert isinstance(mean, torch.Tensor)  # a pair only where its parts are asked for
    return float(mean)


def psnr(truth: Batch, pictures: Batch) -> float | None:
    """Ratio of the peak to the mean error of all pictures, in decibels; None where there is no error."""
    ratio = float(peak_signal_noise_ratio(to_unit(pictures), to_unit(truth), data_range=1.0))
    return ratio if np.isfinite(ratio) else None


def grey(images: Batch) -> Grey:
    """The mean of the channels: [N, H, W, C] -> [N, H, W]."""
    mean: Grey = images.mean(axis=-1).round().astype(np.uint8)
    return mean


def _preserved(strength: Floats, orientation: Floats, strength_f: Floats, orientation_f: Floats) -> Floats:
    """Q^AF [H, W]: of a source's edge at each pixel, the share that the fused picture keeps."""
    strongest = np.maximum(strength, strength_f)
    ratio = np.divide(
        np.minimum(strength, strength_f), strongest, out=np.ones_like(strength), where=strongest > 0
    )
    # Orientations repeat after pi: one just under pi/2 and one just above -pi/2 are nearly the same.
    agreement = np.abs(np.abs(orientation - orientation_f) - np.pi / 2) / (np.pi / 2)
    return _sigmoid(ratio, STRENGTH) * _sigmoid(agreement, ORIENTATION)


def _sigmoid(values: Floats, constants: tuple[float, float, float]) -> Floats:
    height, slope, middle = constants
    seen: Floats = height / (1 + np.exp(slope * (values - middle)))
    return seen


def _edges(picture: Grey) -> tuple[Floats, Floats]:
    """Strength and orientation (-pi/2..pi/2) of the edge at each pixel, by Sobel's operator."""
    across, down = (cv2.Sobel(picture, cv2.CV_64F, dx, 1 - dx) for dx in (1, 0))
    orientation = np.arctan(np.divide(down, across, out=np.full_like(down, np.inf), where=across != 0))
    # Where nothing changes there is no orientation; any will do, as long as it is always the same.
    return np.hypot(across, down), np.where((across == 0) & (down == 0), 0.0, orientation)


def _bits(counts: npt.NDArray[np.integer]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


BEST_EDGE_PRESERVATION = float(_sigmoid(np.ones(1), STRENGTH)[0] * _sigmoid(np.ones(1), ORIENTATION)[0])
