"""Fused pictures, from real and from generated ones.

In: the test split of the folder that preprocess packed, the classifier, the generator. Out: a folder
`KIND/METHOD.npy` of fused pictures beside `KIND/sources.npy` and `KIND/labels.npy`; for each kind and
method how much of the sources the fused picture keeps and whether the classifier sees the right class in
it; a sheet.

Three kinds of pairs: one picture sharp on its left and on its right half (`focus`), one picture too dark and
too bright (`exposure`), a real and a generated picture of one class (`generated`). Of the first two the
truth is known: the picture itself.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from pydantic import Field, field_validator

from stages.checkpoints import write_folder_atomically, write_json
from stages.command import run_stage
from stages.compute import Compute, prepare
from stages.datasets import ClassificationSplit, load_classification, to_unit
from stages.errors import DataError, ParamsError
from stages.fusion import (
    Floats,
    Pictures,
    activity_weighted,
    check_weights,
    exposure_fusion,
    laplacian_pyramid,
    maximum,
    most_levels,
    weighted_average,
)
from stages.fusion_metrics import edge_preservation, entropy, grey, mutual_information, psnr, ssim
from stages.libraries import check_libraries
from stages.models.classifier import Classifier, load_classifier, predict
from stages.models.gan import Generator, generate, load_generator
from stages.params import ComputeParams, StageParams, load_params
from stages.sheets import image_grid, save_png

Method = Literal["weighted-average", "maximum", "laplacian-pyramid", "exposure-fusion", "feature-level"]


class FuseParams(StageParams):
    """Section `fuse`."""

    pairs: int = Field(ge=1)
    """Of each kind, drawn from the test split."""

    methods: list[Method] = Field(min_length=1)
    """What fuses; every one of them fuses every pair."""

    weights: list[float] = Field(min_length=2, max_length=2)
    """weighted-average: of the first and of the second picture of a pair."""

    pyramid_levels: int = Field(ge=1)
    """laplacian-pyramid: how often the pictures are halved."""

    feature_stages: int = Field(ge=1)
    """feature-level: after how many of its stages the classifier's activity is taken."""

    blur_sigma: float = Field(gt=0)
    """focus: of the Gaussian that blurs one half, in pixels."""

    stops: float = Field(gt=0)
    """exposure: the dark picture has this many stops less light, the bright one as many more."""

    batch_size: int = Field(ge=1)
    """Pictures that the networks see at once."""

    sheet_pairs: int = Field(ge=1)
    """Of each kind on the sheet."""

    @field_validator("weights")
    @classmethod
    def _are_an_average(cls, weights: list[float]) -> list[float]:
        check_weights(weights)
        return weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Pairs of pictures to fuse."""

    sources: Pictures
    """[N, 2, H, W, C]."""
    labels: npt.NDArray[np.int64]
    """[N]: what both pictures of a pair show."""
    truth: Pictures | None
    """[N, H, W, C]: what perfect fusion would give, where that is known."""


def main(
    *, data: Path, params: Path, classifier: Path, generator: Path, fused: Path, metrics: Path, sheet: Path
) -> None:
    """Fuse pairs from the test split in `data`; write the folder `fused`, the files `metrics` and `sheet`."""
    started = time.perf_counter()
    check_libraries(params)
    values = load_params(params, "fuse", FuseParams)
    seed = (compute_params := load_params(params, "compute", ComputeParams)).seed
    compute = prepare(compute_params)
    test = load_classification(data, "test")
    network = load_classifier(classifier)
    check_fit(params, values, test, network)
    compute.network(network)
    kinds = make_pairs(test, load_generator(generator), values, seed=seed, compute=compute)
    results = {kind: fuse_all(pairs, network, values, compute) for kind, pairs in kinds.items()}
    figures = {
        kind: measure_all(pairs, results[kind], network, values, compute) for kind, pairs in kinds.items()
    }
    write_fused(fused, kinds, results)
    write_json(metrics, figures)
    save_png(sheet, draw_sheet(kinds, results, values.sheet_pairs))
    number = sum(len(pictures) for methods in results.values() for pictures in methods.values())
    print(f"{number} pictures fused and measured in {time.perf_counter() - started:.1f} s")


def check_fit(path: Path, params: FuseParams, test: ClassificationSplit, network: Classifier) -> None:
    """Refuse params that ask for more than pictures and classifier have.

    Raises:
        ParamsError: more pairs than pictures, more pyramid levels than the pictures can be halved, or more
            stages than the classifier has.

    """
    number, height, width, _ = test.images.shape
    if params.pairs > number:
        raise ParamsError(f"{path}: fuse.pairs: {params.pairs}, but the test split has {number} pictures")
    if params.pyramid_levels > (most := most_levels(height, width)):
        raise ParamsError(
            f"{path}: fuse.pyramid_levels: {params.pyramid_levels}, but pictures of {height} x {width} "
            f"pixels allow at most {most}"
        )
    if params.feature_stages > (stages := len(network.stages)):
        raise ParamsError(
            f"{path}: fuse.feature_stages: {params.feature_stages}, but the classifier has {stages} stages"
        )


def make_pairs(
    test: ClassificationSplit, generator: Generator, params: FuseParams, *, seed: int, compute: Compute
) -> dict[str, Pairs]:
    """Pairs of each kind from the same `params.pairs` pictures of the test split, drawn by `seed`.

    Raises:
        DataError: the generator makes pictures of another shape.

    """
    chosen = np.sort(np.random.default_rng(seed).choice(len(test.images), params.pairs, replace=False))
    images, labels = np.asarray(test.images[chosen]), test.labels[chosen]
    made = generate(generator, labels, seed=seed, compute=compute, batch_size=params.batch_size)
    if made.shape != images.shape:
        raise DataError(
            f"generated pictures are {list(made.shape[1:])}, the test split's {list(images.shape[1:])}; "
            "rerun train-gan on this data"
        )
    return {
        "focus": Pairs(sources=half_sharp(images, params.blur_sigma), labels=labels, truth=images),
        "exposure": Pairs(sources=dark_and_bright(images, params.stops), labels=labels, truth=images),
        "generated": Pairs(sources=np.stack([images, made], axis=1), labels=labels, truth=None),
    }


def half_sharp(images: Pictures, sigma: float) -> Pictures:
    """[N, H, W, C] -> [N, 2, H, W, C]: each picture blurred in its right half, and in its left."""
    middle = images.shape[2] // 2
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape) for image in images])
    right = np.concatenate([images[:, :, :middle], blurred[:, :, middle:]], axis=2)
    left = np.concatenate([blurred[:, :, :middle], images[:, :, middle:]], axis=2)
    return np.stack([right, left], axis=1)


def dark_and_bright(images: Pictures, stops: float) -> Pictures:
    """[N, H, W, C] -> [N, 2, H, W, C]: each picture `stops` darker, and `stops` brighter, cut off."""
    exposed = [(images * 2.0**stop).round().clip(0, 255).astype(np.uint8) for stop in (-stops, stops)]
    return np.stack(exposed, axis=1)


def fuse_all(
    pairs: Pairs, network: Classifier, params: FuseParams, compute: Compute
) -> dict[Method, Pictures]:
    """By method, the fused pictures [N, H, W, C] of all `pairs`."""
    activity = activity_of(pairs.sources, network, params, compute)
    by_method: dict[Method, Callable[[Pictures, Floats], Pictures]] = {
        "weighted-average": lambda sources, _: weighted_average(sources, params.weights),
        "maximum": lambda sources, _: maximum(sources),
        "laplacian-pyramid": lambda sources, _: laplacian_pyramid(sources, params.pyramid_levels),
        "exposure-fusion": lambda sources, _: exposure_fusion(sources),
        "feature-level": activity_weighted,
    }
    return {
        method: np.stack([by_method[method](*pair) for pair in zip(pairs.sources, activity, strict=True)])
        for method in params.methods
    }


@torch.inference_mode()
def activity_of(sources: Pictures, network: Classifier, params: FuseParams, compute: Compute) -> Floats:
    """Activity [N, 2, h, w] on sources [N, 2, H, W, C]: the feature maps' sum over channels."""
    images = to_unit(sources.reshape(-1, *sources.shape[2:]))  # [2 N, C, H, W]
    maps = [
        network.feature_maps(compute.images(batch), params.feature_stages).sum(dim=1).cpu()
        for batch in torch.split(images, params.batch_size)
    ]
    activity: Floats = torch.cat(maps).numpy()  # [2 N, h, w]
    return activity.reshape(len(sources), 2, *activity.shape[1:])


def measure_all(
    pairs: Pairs, fused: dict[Method, Pictures], network: Classifier, params: FuseParams, compute: Compute
) -> dict[str, Any]:
    """Figures of each method, and for comparison of the sources themselves."""

    def accuracy(pictures: Pictures, labels: npt.NDArray[np.int64]) -> float:
        found = predict(network, pictures, compute=compute, batch_size=params.batch_size).argmax(dim=1)
        return float((found.numpy() == labels).mean())

    both = pairs.sources.reshape(-1, *pairs.sources.shape[2:])  # [2 N, H, W, C]
    sources = {"accuracy": accuracy(both, pairs.labels.repeat(2)), "entropy": _mean(map(entropy, grey(both)))}
    return {"sources": sources} | {
        method: {"accuracy": accuracy(pictures, pairs.labels), **measure(pairs, pictures)}
        for method, pictures in fused.items()
    }


def measure(pairs: Pairs, fused: Pictures) -> dict[str, float | None]:
    """Means over all pairs; `truth_...` where the truth is known."""
    first, second, result = grey(pairs.sources[:, 0]), grey(pairs.sources[:, 1]), grey(fused)
    triples = list(zip(first, second, result, strict=True))
    figures: dict[str, float | None] = {
        "entropy": _mean(entropy(f) for f in result),
        "mutual_information": _mean(
            mutual_information(a, f) + mutual_information(b, f) for a, b, f in triples
        ),
        "edge_preservation": _mean(edge_preservation(a, b, f) for a, b, f in triples),
        "ssim": (ssim(pairs.sources[:, 0], fused) + ssim(pairs.sources[:, 1], fused)) / 2,
    }
    if pairs.truth is not None:
        figures["truth_psnr"] = psnr(pairs.truth, fused)
        figures["truth_ssim"] = ssim(pairs.truth, fused)
    return figures


def write_fused(folder: Path, kinds: dict[str, Pairs], results: dict[str, dict[Method, Pictures]]) -> None:
    """`folder`/KIND/METHOD.npy, sources.npy and labels.npy."""
    with write_folder_atomically(folder) as partial:
        for kind, pairs in kinds.items():
            (partial / kind).mkdir()
            np.save(partial / kind / "sources.npy", pairs.sources)
            np.save(partial / kind / "labels.npy", pairs.labels)
            for method, pictures in results[kind].items():
                np.save(partial / kind / f"{method}.npy", pictures)


def draw_sheet(
    kinds: dict[str, Pairs], results: dict[str, dict[Method, Pictures]], pairs_each: int
) -> Image.Image:
    """A row a pair: both sources, then the picture that each method made of them."""
    pictures: list[Pictures] = []
    rows: list[str] = []
    for kind, pairs in kinds.items():
        for number in range(min(pairs_each, len(pairs.labels))):
            pictures += [*pairs.sources[number], *(fused[number] for fused in results[kind].values())]
            rows.append(kind)
    titles = ["first", "second", *next(iter(results.values()))]
    return image_grid(pictures, columns=len(titles), titles=titles * len(rows), scale=4, rows=rows)


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


if __name__ == "__main__":
    run_stage(main)
