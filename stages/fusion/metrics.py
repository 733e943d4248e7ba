"""How much of its sources, or of a known true picture, a fused picture keeps: pure functions on arrays.

Pictures are uint8 or uint16 [N, H, W, C], sources [N, S, H, W, C]; grey pictures are uint8 [N, H, W]. Each
function returns one figure for each picture.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy.special import entr
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
    visual_information_fidelity,
)

from stages.fusion.pixels import Pictures, grey, peak

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

# Xydeas and Petrovic's constants: height, slope and middle of the sigmoids that say how much of an edge's
# strength and of its orientation is seen.
STRENGTH = (0.9994, -15.0, 0.5)
ORIENTATION = (0.9879, -22.0, 0.8)

# Wang, Simoncelli and Bovik's weights of the five scales, the finest first; and the side of SSIM's window.
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11

VIF_SIDE = 41
"""The smallest side that four scales of visual information fidelity have room in."""


def figures(sources: Pictures, fused: Pictures, truth: Pictures | None = None) -> dict[str, Floats]:
    """Measure fused pictures [N, H, W, C] against their sources [N, S, H, W, C]: figures [N] by name.

    Figures named `truth_...` are there where the truth [N, H, W, C] is known. Mutual information and edges
    are sums over the sources by definition; every other figure is the mean over them.
    """
    each, result = [grey(sources[:, s]) for s in range(sources.shape[1])], grey(fused)
    measured = {
        "entropy": entropy(result),
        "standard_deviation": standard_deviation(result),
        "spatial_frequency": spatial_frequency(result),
        "mutual_information": np.sum([mutual_information(source, result) for source in each], axis=0),
        "edge_preservation": edge_preservation(each, result),
        "ssim": _mean_over(sources, fused, ssim),
        "ms_ssim": _mean_over(sources, fused, ms_ssim),
        "vif": _mean_over(sources, fused, vif),
    }
    if truth is not None:
        measured |= {"truth_psnr": psnr(truth, fused), "truth_ssim": ssim(truth, fused)}
    return measured


def mean_figure(name: str, values: Floats) -> float | None:
    """The mean of a figure [N] over pictures.

    Decibels are averaged by the errors behind them; where there is no error the mean is None.
    """
    if name != "truth_psnr":
        return float(values.mean())
    error = float(np.mean(10 ** (-values / 10)))
    return -10 * float(np.log10(error)) if error else None


def entropy(pictures: Grey) -> Floats:
    """Bits a pixel that the histogram of the 256 grey values tells: 0 (one value) to 8 (all alike)."""
    return np.array([_bits(np.bincount(picture.ravel(), minlength=256)) for picture in pictures])


def standard_deviation(pictures: Grey) -> Floats:
    """Standard deviation of the grey values: 0 (one value) to 127.5 (half black, half white)."""
    deviation: Floats = np.std(pictures, axis=(1, 2), dtype=np.float64)
    return deviation


def spatial_frequency(pictures: Grey) -> Floats:
    """Root of the mean squared steps from pixel to pixel, along rows and along columns together.

    0 (one value) to 255 times the root of 2. Eskicioglu and Fisher, "Image quality measures and their
    performance" (1995), means being taken over the steps that there are.
    """
    values = pictures.astype(np.float64)
    steps = [np.diff(values, axis=axis) for axis in (1, 2)]
    frequency: Floats = np.sqrt(sum((step**2).mean(axis=(1, 2)) for step in steps))
    return frequency


def mutual_information(first: Grey, second: Grey) -> Floats:
    """Bits that one picture's grey value tells of the other's at the same pixel: 0 to either's entropy.

    A fused picture's figure is the sum over its sources: Qu, Zhang and Yan, "Information measure for
    performance of image fusion" (2002).
    """
    pairs = first.astype(np.int64) * 256 + second
    together = np.array([_bits(np.bincount(pair.ravel())) for pair in pairs])
    shared: Floats = entropy(first) + entropy(second) - together
    return shared


def edge_preservation(sources: list[Grey], fused: Grey) -> Floats:
    """Q^AB/F: how much of the sources' edges the fused picture shows, by strength and orientation.

    0 to `BEST_EDGE_PRESERVATION`, which identical pictures reach; strong edges count for more. Xydeas and
    Petrovic, "Objective image fusion performance measure" (2000), with weights proportional to strength
    (their L = 1). At the border, of which the paper says nothing, the picture is continued by its mirror
    image without repeating the outermost pixels, as OpenCV does by itself.
    Sources without any edge have none to lose and get the best value.
    """
    kept, total = np.zeros(len(fused)), np.zeros(len(fused))
    strength_f, orientation_f = _edges(fused)
    for source in sources:
        strength, orientation = _edges(source)
        kept += (_preserved(strength, orientation, strength_f, orientation_f) * strength).sum(axis=(1, 2))
        total += strength.sum(axis=(1, 2))
    best = np.full(len(fused), BEST_EDGE_PRESERVATION)
    share: Floats = np.divide(kept, total, out=best, where=total > 0)
    return share


def ssim(first: Pictures, second: Pictures) -> Floats:
    """Structural similarity: -1..1, 1 for identical pictures.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment" (2004), with their constants: a gaussian
    window of 11 px and deviation 1.5, K1 = .01 and K2 = .03. Windows at the border see the picture's mirror
    image beyond it, as torchmetrics has it; the authors' own code leaves these windows out.
    """
    similarity = structural_similarity_index_measure(
        _unit(first), _unit(second), data_range=1.0, reduction="none"
    )
    assert isinstance(similarity, Tensor)  # a pair only where its parts are asked for
    return _floats(similarity)


def ms_ssim(first: Pictures, second: Pictures) -> Floats:
    """Structural similarity over scales: 0..1, 1 for identical pictures.

    Wang, Simoncelli and Bovik, "Multiscale structural similarity" (2003). Where the pictures have no room
    for all five scales (28 px: two) the weights of the finest are brought to a sum of 1.
    """
    weights = SCALES[: scales_in(min(first.shape[1:3]))]
    betas = tuple(weight / sum(weights) for weight in weights)
    similarity = multiscale_structural_similarity_index_measure(
        _unit(first), _unit(second), data_range=1.0, reduction="none", betas=betas
    )
    return _floats(similarity)


def scales_in(side: int) -> int:
    """How many of the five scales torchmetrics has room for in pictures whose shorter side is `side`.

    Its own check asks for a side of a window times the square of the halvings; and at the coarsest scale the
    mirror image beside the picture, half a window wide, must fit into the picture.
    """
    fitting = [
        n
        for n in range(1, len(SCALES) + 1)
        if side // max(1, n - 1) ** 2 >= WINDOW and side >> (n - 1) > WINDOW // 2
    ]
    return max(fitting, default=1)


def vif(reference: Pictures, pictures: Pictures) -> Floats:
    """Visual information fidelity by pixels: 0 (nothing seen) to 1 (identical), above for more contrast.

    Sheikh and Bovik, "Image information and visual quality" (2006): the version in the pixel domain that the
    authors published beside it, four scales and a noise variance of 2; the mean over channels. Pictures with
    a side below 41 px are continued by their mirror image up to it. A flat channel has nothing to lose: 1.
    """
    number, *_, channels = reference.shape
    seen, shown = (_at_least(VIF_SIDE, _unit(each)).flatten(0, 1)[:, None] for each in (pictures, reference))
    fidelity = _floats(visual_information_fidelity(255 * seen, 255 * shown, reduction="none"))
    flat = (reference.max(axis=(1, 2)) == reference.min(axis=(1, 2))).reshape(-1)
    mean: Floats = np.where(flat, 1.0, fidelity).reshape(number, channels).mean(axis=1)
    return mean


def psnr(truth: Pictures, pictures: Pictures) -> Floats:
    """Ratio of the peak to the mean error, in decibels; infinite where there is no error."""
    ratio = peak_signal_noise_ratio(
        _unit(pictures), _unit(truth), data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    return _floats(ratio)


def _mean_over(sources: Pictures, fused: Pictures, figure: Callable[[Pictures, Pictures], Floats]) -> Floats:
    mean: Floats = np.mean([figure(sources[:, s], fused) for s in range(sources.shape[1])], axis=0)
    return mean


def _unit(pictures: Pictures) -> Tensor:
    """[N, H, W, C] as float32 [N, C, H, W] in 0..1."""
    return torch.from_numpy(pictures.astype(np.float32) / peak(pictures)).permute(0, 3, 1, 2)


def _floats(values: Tensor) -> Floats:
    return values.reshape(-1).numpy().astype(np.float64)


def _at_least(side: int, images: Tensor) -> Tensor:
    """Images [N, C, H, W], mirrored at their right and lower edges until both sides have `side` pixels."""
    while (missing := [max(0, side - length) for length in images.shape[:-3:-1]]) != [0, 0]:  # across, down
        across, down = (
            min(wanted, have - 1) for wanted, have in zip(missing, images.shape[:-3:-1], strict=True)
        )
        images = F.pad(images, (0, across, 0, down), mode="reflect")
    return images


def _preserved(strength: Floats, orientation: Floats, strength_f: Floats, orientation_f: Floats) -> Floats:
    """Q^AF [N, H, W]: of a source's edge at each pixel, the share that the fused picture keeps."""
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


def _edges(pictures: Grey) -> tuple[Floats, Floats]:
    """Strength and orientation (-pi/2..pi/2) of the edge at each pixel, by Sobel's operator, [N, H, W]."""
    across, down = (
        np.stack([cv2.Sobel(picture, cv2.CV_64F, dx, 1 - dx) for picture in pictures]) for dx in (1, 0)
    )
    orientation = np.arctan(np.divide(down, across, out=np.full_like(down, np.inf), where=across != 0))
    # Where nothing changes there is no orientation; any will do, as long as it is always the same.
    return np.hypot(across, down), np.where((across == 0) & (down == 0), 0.0, orientation)


def _bits(counts: npt.NDArray[np.integer]) -> float:
    return float(entr(counts[counts > 0] / counts.sum()).sum() / np.log(2))


BEST_EDGE_PRESERVATION = float(_sigmoid(np.ones(1), STRENGTH)[0] * _sigmoid(np.ones(1), ORIENTATION)[0])
