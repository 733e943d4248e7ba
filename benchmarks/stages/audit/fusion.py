"""Figures of fused pictures, and the methods themselves on photographs, each computed once more.

Of float32 arithmetic and of 8 bits that were rounded the methods differ in single values: their rows tell the
mean difference of two results, in grey levels of 255.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pywt
from scipy import ndimage, stats
from scipy.signal import convolve2d
from sklearn.metrics import mutual_info_score

from benchmarks.stages.audit import fused as papers
from benchmarks.stages.audit.table import Row
from stages.fusion.methods import WAVELET, Settings, fuse, most_levels
from stages.fusion.metrics import SCALES, scales_in
from stages.fusion.metrics import figures as product_figures
from stages.fusion.params import Method
from stages.fusion.pixels import Pictures, grey, peak
from stages.fusion.sets import exposed, half_sharp

Floats = npt.NDArray[np.float64]

METHODS = "mean difference"
"""In the names of rows that compare two results of a method."""
SETTINGS = Settings(weights=None, levels=None, activity=None)
SIDE = 256  # px of the shorter side that photographs are reduced to
MOST = 8  # photographs
SIGMA, STOPS = 3.0, (-1.5, 1.5)
BY = {
    "entropy": "SciPy",
    "standard_deviation": "NumPy",
    "spatial_frequency": "its paper",
    "mutual_information": "scikit-learn",
    "edge_preservation": "its paper",
    "ssim": "its paper",
    "ms_ssim": "its paper",
    "vif": "the authors' steps",
    "truth_psnr": "its definition",
    "truth_ssim": "its paper",
}


def audit_fused(
    found: Mapping[str, Any], folder: Path, kinds: Sequence[str], truths: Mapping[str, Pictures]
) -> list[Row]:
    """Compare the figures of fuse.json with those of the pictures in data/fused.

    `truths` [N, H, W, C]: of the kinds whose truth is known.
    """
    rows = []
    for kind in kinds:
        sources = np.load(folder / kind / "sources.npy")
        for path in sorted((folder / kind).glob("*.npy")):
            if path.stem == "sources":
                continue
            fused = np.load(path)
            known = truths.get(kind, [None] * len(fused))
            each = [figures(s, f, t) for s, f, t in zip(sources, fused, known, strict=True)]
            for name in each[0]:
                mean = _mean(name, [one[name] for one in each])
                product = float(found[kind][path.stem][name])
                rows.append(
                    Row(figure=f"{kind}.{path.stem}.{name}", product=product, independent=mean, by=BY[name])
                )
    return rows


def _mean(name: str, values: Sequence[float]) -> float:
    """Of decibels that of the errors behind them."""
    if name == "truth_psnr":
        return float(-10 * np.log10(np.mean([10 ** (-value / 10) for value in values])))
    return float(np.mean(values))


def audit_photographs(folder: Path) -> list[Row]:
    """Compare figures and methods on the photographs in a folder, sharp in one half and in two lights.

    Each is fused with 8 bits and with 16.
    """
    rows = []
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg", ".jpeg"))[:MOST]:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if picture is None or min(picture.shape[:2]) < SIDE:
            continue
        scale = SIDE / min(picture.shape[:2])
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        truth = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[None].astype(np.uint8)
        for kind, made in (("focus", half_sharp(truth, SIGMA)), ("light", exposed(truth, STOPS))):
            for bits, sources in ((8, made[0]), (16, made[0].astype(np.uint16) * 257)):
                rows += _methods(f"{path.stem}, {kind}, {bits} bits", sources)
            fused = fuse(made[0], "laplacian", SETTINGS)
            measured = product_figures(made, fused[None], truth)
            rows += [
                Row(
                    figure=f"{path.stem}, {kind}: {name}",
                    product=float(measured[name][0]),
                    independent=value,
                    by=BY[name],
                )
                for name, value in figures(made[0], fused, truth[0]).items()
            ]
    return rows


def _methods(name: str, sources: Pictures) -> list[Row]:
    """A row for each method: how far its result is from the paper's, in grey levels of 255 on average."""
    unit = [source / peak(sources) for source in sources]
    levels = most_levels(*sources.shape[1:3])
    wavelet_levels = min(levels, pywt.dwtn_max_level(sources.shape[1:3], WAVELET))
    again: dict[Method, Callable[[], Floats]] = {
        "average": lambda: papers.average(unit),
        "maximum": lambda: papers.maximum(unit),
        "laplacian": lambda: papers.laplacian(unit, levels),
        "wavelet": lambda: papers.wavelet(unit, wavelet_levels),
        "exposure": lambda: papers.exposure(unit),
        "guided": lambda: papers.guided(unit),
    }
    rows = []
    for method, make in again.items():
        ours = fuse(sources, method, SETTINGS) * (255 / peak(sources))
        apart = float(np.abs(ours - make().clip(0, 1) * 255).mean())
        rows.append(
            Row(figure=f"{name}: {method}, {METHODS}", product=apart, independent=0.0, by="its paper")
        )
    return rows


def figures(sources: Pictures, fused: Pictures, truth: Pictures | None) -> dict[str, float]:
    """Figures of a fused picture [H, W, C] and its sources [S, H, W, C]."""
    each, result = [grey(source).astype(float) for source in sources], grey(fused).astype(float)
    counts = np.histogram(result, bins=256, range=(0, 256))[0]
    steps = [np.diff(result, axis=axis) for axis in (0, 1)]
    measured = {
        "entropy": float(stats.entropy(counts, base=2)),
        "standard_deviation": float(result.std()),
        "spatial_frequency": float(np.sqrt(sum((step**2).mean() for step in steps))),
        "mutual_information": sum(
            mutual_info_score(source.ravel(), result.ravel()) / np.log(2) for source in each
        ),
        "edge_preservation": edge_preservation(each, result),
        "ssim": float(np.mean([ssim(source, fused) for source in sources])),
        "ms_ssim": float(np.mean([ms_ssim(source, fused) for source in sources])),
    }
    measured["vif"] = float(np.mean([vif(source, fused) for source in sources]))
    if truth is not None:
        error = ((truth / peak(truth) - fused / peak(fused)) ** 2).mean()
        measured |= {"truth_psnr": float(-10 * np.log10(error)), "truth_ssim": ssim(truth, fused)}
    return measured


def ssim(first: Pictures, second: Pictures) -> float:
    """Wang et al. (2004), the mean over channels; at the border the mirror image, as torchmetrics has it."""
    return float(np.mean([_similarity(a, b)[0].mean() for a, b in _channels(first, second)]))


def ms_ssim(first: Pictures, second: Pictures) -> float:
    """Wang, Simoncelli and Bovik (2003): contrast and structure at each scale, luminance at the last."""
    channels, result = list(_channels(first, second)), 1.0
    number = scales_in(min(first.shape[:2]))
    for scale, weight in enumerate(SCALES[:number]):
        last = scale == number - 1
        parts = [_similarity(a, b) for a, b in channels]
        each = [whole.mean() if last else structure[5:-5, 5:-5].mean() for whole, structure in parts]
        result *= max(0.0, float(np.mean(each))) ** (weight / sum(SCALES[:number]))
        channels = [(_halved(a), _halved(b)) for a, b in channels]
    return result


def _channels(first: Pictures, second: Pictures) -> Iterator[tuple[Floats, Floats]]:
    for channel in range(first.shape[2]):
        yield first[..., channel] / peak(first), second[..., channel] / peak(second)


def _halved(picture: Floats) -> Floats:
    """Each four pixels' mean."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    return picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))


def _similarity(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """SSIM at each pixel, and its part that is contrast and structure."""

    def mean(picture: Floats) -> Floats:
        return ndimage.gaussian_filter(picture, 1.5, radius=5, mode="mirror")

    of_a, of_b = mean(a), mean(b)
    spread = mean(a * a) - of_a**2 + mean(b * b) - of_b**2
    structure = (2 * (mean(a * b) - of_a * of_b) + 0.03**2) / (spread + 0.03**2)
    return structure * (2 * of_a * of_b + 0.01**2) / (of_a**2 + of_b**2 + 0.01**2), structure


def edge_preservation(sources: Sequence[Floats], fused: Floats) -> float:
    """Xydeas and Petrovic (2000), with their constants."""

    def edges(picture: Floats) -> tuple[Floats, Floats]:
        across, down = (ndimage.sobel(picture, axis=axis, mode="mirror") for axis in (1, 0))
        return np.hypot(across, down), np.arctan2(down, across)

    strength_f, angle_f = edges(fused)
    kept = total = 0.0
    for source in sources:
        strength, angle = edges(source)
        high = np.maximum(strength, strength_f)
        ratio = np.where(high > 0, np.minimum(strength, strength_f) / np.where(high > 0, high, 1), 1.0)
        apart = np.abs(np.mod(angle - angle_f + np.pi / 2, np.pi) - np.pi / 2)  # of directions, 0 to pi / 2
        seen = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5)))
        seen *= 0.9879 / (1 + np.exp(-22 * (1 - apart / (np.pi / 2) - 0.8)))
        kept += float((seen * strength).sum())
        total += float(strength.sum())
    return kept / total


def vif(reference: Pictures, picture: Pictures) -> float:
    """Sheikh and Bovik's steps in the pixel domain (2006), the mean over channels; of a flat one 1.

    Where four scales have no room pictures are continued by their mirror image, as the product has it.
    """
    of_channels = []
    missing = [(0, max(0, 41 - side)) for side in reference.shape[:2]]
    reference, picture = (np.pad(each, [*missing, (0, 0)], mode="reflect") for each in (reference, picture))
    for channel in range(reference.shape[2]):
        if np.ptp(reference[..., channel]) == 0:
            of_channels.append(1.0)
            continue
        a = reference[..., channel] * (255 / peak(reference))
        b = picture[..., channel] * (255 / peak(picture))
        told = whole = 0.0
        for scale in range(1, 5):
            side = 2 ** (5 - scale) + 1
            reach = np.arange(side) - side // 2
            bell = np.exp(-(reach**2) / (2 * (side / 5) ** 2))
            window = np.outer(bell, bell) / bell.sum() ** 2
            if scale > 1:
                a, b = (convolve2d(x, window, mode="valid")[::2, ::2] for x in (a, b))
            mean_a, mean_b = (convolve2d(x, window, mode="valid") for x in (a, b))
            var_a, var_b, both = (
                convolve2d(x, window, mode="valid") - y
                for x, y in ((a * a, mean_a**2), (b * b, mean_b**2), (a * b, mean_a * mean_b))
            )
            var_a, var_b = var_a.clip(0), var_b.clip(0)
            gain = both / (var_a + 1e-10)
            noise = var_b - gain * both
            gain, noise = np.where(var_a < 1e-10, 0, gain), np.where(var_a < 1e-10, var_b, noise)
            var_a = np.where(var_a < 1e-10, 0, var_a)
            gain, noise = np.where(var_b < 1e-10, 0, gain), np.where(var_b < 1e-10, 0, noise)
            noise, gain = np.where(gain < 0, var_b, noise), gain.clip(0)
            noise = np.maximum(noise, 1e-10)
            told += float(np.log10(1 + gain**2 * var_a / (noise + 2)).sum())
            whole += float(np.log10(1 + var_a / 2).sum())
        of_channels.append(told / whole)
    return float(np.mean(of_channels))
