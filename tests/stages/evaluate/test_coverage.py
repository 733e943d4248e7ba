"""Of many sets of pictures, made at random, the 95 % intervals hold the figure's mean in 93 to 97 %."""

from collections.abc import Callable

import numpy as np
import pytest

from stages.detector.average_precision import Found, Precision
from stages.evaluate.of_classifier.metrics import (
    ClassificationOutcomes,
    confusion,
    macro_f1,
    resampled_figures,
)
from stages.evaluate.of_detector.resampled import resampled_precision
from stages.evaluate.of_generator.metrics import frechet_distance, kernel_distance
from stages.evaluate.of_generator.resampled import resampled_distances
from stages.evaluate.resampling import Resampled, halves, intervals
from stages.generator.overlap import manifold_overlap

pytestmark = pytest.mark.slow

SETS = 400  # of which 95 % are held, give or take 1.1 %
HALVES = 100
Measured = tuple[dict[str, float], Callable[[], Resampled]]
"""Figures of a set of pictures, and the same in halves of it."""


def coverage(
    measure: Callable[[np.random.Generator], Measured], shares: dict[str, int], *, sets: int = SETS
) -> dict[str, float]:
    """How often the interval of each figure holds its mean, which is that of four times as many sets."""
    random = np.random.default_rng(18)
    figures = [measure(random)[0] for _ in range(4 * sets)]
    means = {name: np.mean([each[name] for each in figures]) for name in figures[0]}
    held = dict.fromkeys(means, 0)
    for _ in range(sets):
        of_all, in_halves = measure(random)
        for name, interval in intervals(of_all, in_halves(), shares).items():
            held[name] += int(interval.low <= means[name] <= interval.high)
    return {name: count / sets for name, count in held.items()}


def assert_held(covered: dict[str, float]) -> None:
    assert all(0.93 <= share <= 0.97 for share in covered.values()), covered


def classified(random: np.random.Generator, pictures: int, right: float) -> ClassificationOutcomes:
    """Of ten classes; three of them are mistaken for another more often than the rest."""
    labels = random.integers(10, size=pictures)
    wrong = random.random(pictures) < np.where(labels < 3, 2.0, 4 / 7) * (1 - right)
    predicted = np.where(wrong, (labels + random.integers(1, 3, pictures)) % 10, labels)
    rank = np.where(wrong, random.integers(2, 9, pictures), 1)
    return ClassificationOutcomes(
        labels=labels, predicted=predicted, confidence=np.ones(pictures), rank=rank, loss=np.zeros(pictures)
    )


@pytest.mark.parametrize(("pictures", "right"), [(100, 0.9), (500, 0.99)])
def test_the_classifiers_shares_and_f1(pictures: int, right: float) -> None:
    def measure(random: np.random.Generator) -> Measured:
        found = classified(random, pictures, right)
        figures = {
            "accuracy": float((found.rank == 1).mean()),
            "top5_accuracy": float((found.rank <= 5).mean()),
            "macro_f1": macro_f1(confusion(found.labels, found.predicted, 10)),
        }
        return figures, lambda: resampled_figures(found, halves(pictures, HALVES), classes=10, bins=5)

    names = ("accuracy", "top5_accuracy", "macro_f1")
    assert_held(coverage(measure, dict.fromkeys(names, pictures)))


def searched(random: np.random.Generator, pictures: int) -> Precision:
    """Detections of two classes: of each box one, right up to some IoU; and others."""
    found = []
    for _ in range(2):
        boxes = random.poisson(3, pictures)
        true = np.repeat(np.arange(pictures), boxes)
        skill = random.normal(0, 0.5, pictures)[true]  # pictures that are hard are so for all their boxes
        quality = random.normal(1 + skill, 1)
        false = random.integers(pictures, size=pictures)
        scores = np.concatenate([quality + random.normal(size=len(true)), random.normal(-1, 1, len(false))])
        best = np.concatenate([1 / (1 + np.exp(-quality)), np.zeros(len(false))])  # IoU
        order = np.argsort(-scores)
        right = best[order] >= np.arange(0.5, 1, 0.05)[:, None]
        picture = np.concatenate([true, false])[order]
        found.append(Found(picture=picture, scores=scores[order], right=right, boxes=boxes))
    empty = np.zeros(0)
    return Precision(values=empty, recalls=empty, boxes=[], classes=["a", "b"], found=found)


def test_average_precision() -> None:
    pictures = 60

    def measure(random: np.random.Generator) -> Measured:
        measured = searched(random, pictures)
        of_all = resampled_precision(measured, [np.ones(pictures, dtype=np.int64)])
        figures = {name: float(value[0]) for name, value in of_all.items()}
        return figures, lambda: resampled_precision(measured, halves(pictures, HALVES))

    names = ("map", "map50", "map75")
    assert_held(coverage(measure, dict.fromkeys(names, 6 * pictures), sets=300))


def test_the_generators_figures() -> None:
    """Of features that are a little narrower than the real ones and moved."""
    pictures, neighbours = 150, 5

    def measure(random: np.random.Generator) -> Measured:
        real = random.normal(size=(pictures, 6))
        generated = random.normal(0.4, 0.9, (pictures, 6))
        overlap = manifold_overlap(real, generated, neighbours=neighbours)
        figures = {
            "frechet_distance": frechet_distance(real, generated),
            "kernel_distance": kernel_distance(real, generated),
            **{name: getattr(overlap, name) for name in ("precision", "recall", "density", "coverage")},
        }
        return figures, lambda: resampled_distances(real, generated, neighbours=neighbours, resamples=HALVES)

    shares = dict.fromkeys(("precision", "recall", "coverage"), pictures)
    assert_held(coverage(measure, shares, sets=200))
