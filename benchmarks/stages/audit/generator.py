"""The generator's figures from the same features, by SciPy, torchmetrics and scikit-learn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import eigvals
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors
from torchmetrics.image.kid import poly_mmd

from benchmarks.stages.audit.table import Row, compared
from stages.core.packed import ClassificationSplit
from stages.evaluate.of_generator.evaluation import Measuring, samples_apart
from stages.generator.network import Generator

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Pictures = npt.NDArray[np.uint8]
BY = {
    "frechet_distance": "SciPy's eigenvalues",
    "kernel_distance": "torchmetrics, one subset",
    "precision": "scikit-learn's neighbours",
    "recall": "scikit-learn's neighbours",
    "density": "scikit-learn's neighbours",
    "coverage": "scikit-learn's neighbours",
    "conditional_accuracy": "its definition",
}


def audit_generator(
    figures: Mapping[str, Any],
    generator: Generator,
    test: ClassificationSplit,
    train: ClassificationSplit,
    measuring: Measuring,
) -> list[Row]:
    """Compare the figures of evaluate.json, and those of `floor`, with those of the same features."""
    draw = np.random.default_rng(measuring.seed)
    (real, labels), (others, others_labels) = samples_apart(test, measuring.params.samples_per_class, draw)
    made, aim = measuring.make(generator, labels), measuring.features(real)
    rows = by_class(figures, labels, measuring.predict(made), measuring.predict(real), test.classes)
    copies = nearest(made, real, train, measuring.params.nearest_pictures)
    rows += compared("generator", figures, copies["made"], "scikit-learn's neighbours")
    rows += compared("generator.floor", figures["floor"], copies["real"], "scikit-learn's neighbours")
    cases = {
        "generator": (figures, made, labels),
        "generator.floor": (figures["floor"], others, others_labels),
    }
    for prefix, (product, images, asked) in cases.items():
        independent = distances(aim, measuring.features(images), measuring.params.neighbours)
        if measuring.classifier is not None:
            independent["conditional_accuracy"] = float((measuring.predict(images) == asked).mean())
        rows += compared(prefix, product, independent, BY)
    return rows


def by_class(
    figures: Mapping[str, Any], asked: Labels, taken: Labels, real_taken: Labels, classes: Sequence[str]
) -> list[Row]:
    """Compare the figures of each class, from what was `asked` for and what it was `taken` for, [N] both."""
    rows = []
    for label, name in enumerate(classes):
        if (asked == label).any():
            counts = {
                "asked": float((asked == label).sum()),
                "recognised": float((taken[asked == label] == label).mean()),
                "taken_for_it": float((taken == label).sum()),
                "real_taken_for_it": float((real_taken == label).sum()),
            }
            of_class = figures["by_class"][name]
            rows += compared(f"generator.by_class.{name}", of_class, counts, "its definition")
    return rows


def nearest(
    made: Pictures, real: Pictures, train: ClassificationSplit, most: int
) -> dict[str, dict[str, float]]:
    """How near generated and real pictures lie to those of the training, in grey levels a pixel."""
    training = np.asarray(train.images[:]).reshape(len(train.images), -1).astype(np.float64)
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(training)
    step = max(1, len(made) // most)
    found = {
        name: search.kneighbors(images[::step].reshape(len(images[::step]), -1).astype(np.float64))[0][:, 0]
        / np.sqrt(training.shape[1])
        for name, images in (("made", made), ("real", real))
    }
    near = np.percentile(found["real"], 1)
    return {
        name: {
            "nearest_distance": float(np.median(distance)),
            "memorised": float((distance < near).mean()),
        }
        for name, distance in found.items()
    }


def distances(
    real: npt.NDArray[np.floating], generated: npt.NDArray[np.floating], neighbours: int
) -> dict[str, float]:
    """Frechet and kernel distance, precision, recall, density and coverage of features [N, D] and [M, D]."""
    a, b = real.astype(np.float64), generated.astype(np.float64)
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(eigvals(of_a @ of_b).real.clip(0))
    apart = pairwise_distances(a, b)
    radius_a, radius_b = (
        NearestNeighbors(n_neighbors=neighbours + 1, algorithm="kd_tree")
        .fit(points)
        .kneighbors(points)[0][:, -1]
        for points in (a, b)
    )
    within = apart <= radius_a[:, None]
    return {
        "frechet_distance": float(
            ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(of_a + of_b) - 2 * roots.sum()
        ),
        "kernel_distance": float(poly_mmd(torch.from_numpy(a), torch.from_numpy(b))),
        "precision": float(within.any(axis=0).mean()),
        "recall": float((apart <= radius_b).any(axis=1).mean()),
        "density": float(within.sum() / neighbours / len(b)),
        "coverage": float(within.any(axis=1).mean()),
    }
