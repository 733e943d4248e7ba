"""The generator's figures from the same features, by SciPy, torchmetrics and scikit-learn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import sqrtm
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors
from torchmetrics.image.kid import poly_mmd

from benchmarks.stages.audit.table import Row, compared
from stages.core.packed import ClassificationSplit
from stages.evaluate.of_generator.evaluation import Measuring, samples_apart
from stages.generator.network import Generator

Floats = npt.NDArray[np.float64]
BY = {
    "frechet_distance": "SciPy's matrix root",
    "kernel_distance": "torchmetrics, one subset",
    "precision": "scikit-learn's neighbours",
    "recall": "scikit-learn's neighbours",
    "density": "scikit-learn's neighbours",
    "coverage": "scikit-learn's neighbours",
    "conditional_accuracy": "its definition",
}


def audit_generator(
    figures: Mapping[str, Any], generator: Generator, test: ClassificationSplit, measuring: Measuring
) -> list[Row]:
    """Compare the figures of evaluate.json, and those of `floor`, with those of the same features."""
    draw = np.random.default_rng(measuring.seed)
    (real, labels), (others, others_labels) = samples_apart(test, measuring.params.samples_per_class, draw)
    made, aim = measuring.make(generator, labels), measuring.features(real)
    rows = []
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


def distances(
    real: npt.NDArray[np.floating], generated: npt.NDArray[np.floating], neighbours: int
) -> dict[str, float]:
    """Frechet and kernel distance, precision, recall, density and coverage of features [N, D] and [M, D]."""
    a, b = real.astype(np.float64), generated.astype(np.float64)
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(of_a @ of_b)
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
            ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(of_a + of_b - 2 * root.real)
        ),
        "kernel_distance": float(poly_mmd(torch.from_numpy(a), torch.from_numpy(b))),
        "precision": float(within.any(axis=0).mean()),
        "recall": float((apart <= radius_b).any(axis=1).mean()),
        "density": float(within.sum() / neighbours / len(b)),
        "coverage": float(within.any(axis=1).mean()),
    }
