"""Do the figures tell good pictures from bad ones: on failures that are made, in the order they should be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stages.classifier.network import build_classifier
from stages.core.packed import ClassificationSplit
from stages.core.params import ComputeParams
from stages.evaluate.of_generator.evaluation import (
    Compared,
    Measuring,
    compare,
    figures_by_class,
    nearest_of_each,
    reduced,
    resampled_generation,
    sample,
    samples_apart,
)
from stages.evaluate.of_generator.pupil import recognised, train_anew
from stages.evaluate.params import GenerationParams, PupilParams
from stages.networks.compute import Compute, prepare
from tests.stages.evaluate.of_generator.inception_weights import random_weights

SIDE = 16
KINDS = 5
SCORE = PupilParams(pictures=1000, epochs=4, batch_size=50, learning_rate=0.1)


def items(number: int, seed: int) -> tuple[Any, Any]:
    """Pictures of five kinds of item [N, 16, 16, 1], each of its own size, brightness and place."""
    draw = np.random.default_rng(seed)
    labels = np.arange(number) % KINDS
    images = np.zeros((number, SIDE, SIDE), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        half, light = int(draw.integers(3, 7)), int(draw.integers(90, 220))
        x, y = draw.integers(6, 10, 2).tolist()
        if label == 0:
            cv2.rectangle(image, (x - half, y - half), (x + half, y + half), light, -1)
        elif label == 1:
            cv2.circle(image, (x, y), half, light, -1)
        elif label == 2:
            cv2.line(image, (x, 0), (x, SIDE), light, half)
        elif label == 3:
            cv2.line(image, (0, y), (SIDE, y), light, half)
        else:
            cv2.line(image, (x - half, y - half), (x + half, y + half), light, 2)
            cv2.line(image, (x - half, y + half), (x + half, y - half), light, 2)
    soft = np.stack([cv2.GaussianBlur(image, (5, 5), 1.2) for image in images])  # as if photographed
    grain = draw.normal(0, 3, images.shape) * (soft > 0)
    return np.clip(soft + grain, 0, 255).astype(np.uint8)[..., None], labels


@pytest.fixture(scope="module")
def compute() -> Compute:
    return prepare(ComputeParams(seed=0, threads=1, precision="float32", deterministic=True))


@pytest.fixture(scope="module")
def measuring(compute: Compute) -> Measuring:
    """A classifier of the items, and how much is compared."""
    images, labels = items(1500, seed=1)
    config = {
        "classes": [str(kind) for kind in range(KINDS)],
        "mean": [0.3],
        "std": [0.3],
        "size": [SIDE, SIDE],
        "views": 1,
        "network": {"model": "compact", "widths": [[8], [16]], "grid": 2, "features": 16},
    }
    network = train_anew(build_classifier(config), images, labels, SCORE, compute, seed=0)
    params = GenerationParams(
        samples_per_class=200,
        neighbours=5,
        nearest_pictures=100,
        score=SCORE,
        inception=None,
    )
    return Measuring(classifier=network, sha256="", params=params, batch_size=250, compute=compute, seed=0)


@pytest.fixture(scope="module")
def found(measuring: Measuring) -> dict[str, Compared]:
    """Figures of failures against the same real pictures."""
    real, _ = items(1000, seed=2)
    good, labels = items(1000, seed=3)
    draw = np.random.default_rng(0)
    few = np.concatenate([np.flatnonzero(labels == kind)[:4] for kind in range(KINDS)])
    collapsed = few[draw.integers(0, len(few), 1000)]
    blurred = np.stack([cv2.blur(image, (3, 3))[..., None] for image in good])
    cases = {
        "good": (good, labels),
        "missing": (good[labels > 0], labels[labels > 0]),
        "collapsed": (good[collapsed], labels[collapsed]),
        "blurred": (blurred, labels),
        "noise": (draw.integers(0, 256, good.shape, dtype=np.uint8), labels),
    }
    return dict(zip(cases, compare(measuring, real, list(cases.values())), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("figure", "rising"),
    [
        ("frechet_distance", ["good", "missing", "blurred", "noise"]),
        ("frechet_distance", ["good", "collapsed", "blurred"]),
        ("kernel_distance", ["good", "missing", "blurred", "noise"]),
        ("kernel_distance", ["good", "collapsed", "blurred"]),
        ("recall", ["noise", "blurred", "missing"]),
        ("recall", ["collapsed", "missing", "good"]),
        ("coverage", ["noise", "collapsed", "missing", "good"]),
        ("coverage", ["noise", "blurred", "missing"]),
        ("conditional_accuracy", ["noise", "blurred", "good"]),
    ],
)
def test_failures_come_out_in_the_right_order(
    found: dict[str, Compared], figure: str, rising: list[str]
) -> None:
    figures = [found[name].figures[figure] for name in rising]
    assert figures == sorted(figures), dict(zip(rising, figures, strict=True))


@pytest.mark.slow
def test_a_collapse_is_seen_by_recall_and_coverage_alone(found: dict[str, Compared]) -> None:
    assert found["collapsed"].figures["conditional_accuracy"] > 0.9
    assert found["collapsed"].figures["precision"] > 0.8
    assert found["collapsed"].figures["recall"] < 0.05
    assert found["collapsed"].figures["coverage"] < 0.5 < 0.8 < found["good"].figures["coverage"]


@pytest.mark.slow
def test_halves_of_the_pictures_tell_how_far_figures_can_be_believed(found: dict[str, Compared]) -> None:
    labels = items(1000, seed=3)[1]
    pupil = np.arange(50) < 40

    def drawn(name: str) -> dict[str, Any]:
        return resampled_generation(found[name], labels < 4, pupil, neighbours=5, resamples=20)

    good, noise = drawn("good"), drawn("noise")
    assert good["conditional_accuracy"].mean() == pytest.approx(0.8, abs=0.02)
    assert good["accuracy_trained_on_it"].mean() == pytest.approx(0.8, abs=0.05)
    assert good["frechet_distance"].max() < noise["frechet_distance"].min()
    assert good["coverage"].min() > noise["coverage"].max()


@pytest.mark.slow
def test_a_pupil_of_good_pictures_does_well_and_of_wrong_ones_does_not(
    measuring: Measuring, compute: Compute
) -> None:
    test, truth = items(500, seed=4)
    good, labels = items(1000, seed=5)
    taught = {"good": labels, "wrong": (labels + 1) % KINDS}
    reached = {
        name: recognised(
            train_anew(measuring.classifier, good, of, SCORE, compute, seed=0), test, truth, compute, 250
        ).mean()
        for name, of in taught.items()
    }
    assert reached["good"] > 0.9
    assert reached["wrong"] < 0.1


@pytest.mark.slow
def test_figures_on_inceptions_features_say_of_which_weights(measuring: Measuring, tmp_path: Path) -> None:
    real, labels = items(10, seed=2)
    weights = random_weights(tmp_path)
    params = measuring.params.model_copy(update={"inception": weights, "neighbours": 2})
    (compared,) = compare(replace(measuring, params=params), real, [(real[:8], labels[:8])])
    assert compared.figures["inception"].pop("features") == {
        "network": "inception_v3",
        "file": "inception_v3.safetensors",
        "sha256": weights.sha256,
    }
    assert compared.figures["inception"].keys() == compared.figures.keys() - {
        "conditional_accuracy",
        "inception",
    }


def test_of_each_class_the_nearest_is_shown() -> None:
    distances, labels = np.array([5.0, 2.0, 9.0, 2.0, 7.0]), np.array([0, 0, 2, 0, 2])
    assert nearest_of_each(distances, labels).tolist() == [1, 4]  # of equal ones the first; none of class 1


def test_by_class_by_hand() -> None:
    counts = np.array([[3, 1], [0, 0]])  # four of the first asked for, one taken for the second
    assert figures_by_class(counts, np.array([0, 0, 1, 1]), ["coat", "bag"]) == {
        "coat": {"asked": 4, "recognised": 0.75, "taken_for_it": 3, "real_taken_for_it": 2}
    }


def test_large_pictures_are_compared_reduced() -> None:
    images = np.zeros((3, 64, 64, 3), dtype=np.uint8)
    images[:, :, :32] = 200
    assert reduced(images).shape == (3, 32 * 32 * 3)
    assert sorted(np.unique(reduced(images).round())) == [0, 200]
    assert reduced(images[:, :16, :16, :1]).shape == (3, 256)


def test_sample_takes_as_many_of_each_class_or_all_there_are() -> None:
    labels = np.array([0] * 10 + [1] * 2)
    images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
    split = ClassificationSplit(images=images, labels=labels, classes=["dark", "bright", "absent"])
    chosen, of = sample(split, 4, np.random.default_rng(0))
    assert of.tolist() == [0] * 4 + [1] * 2
    assert (labels[chosen.ravel()] == of).all()
    assert len(set(chosen.ravel().tolist())) == 6


def test_two_samples_have_no_picture_in_common() -> None:
    labels = np.array([0] * 10 + [1] * 5)
    images = np.arange(15, dtype=np.uint8).reshape(15, 1, 1, 1)
    split = ClassificationSplit(images=images, labels=labels, classes=["dark", "bright", "absent"])
    (first, of_first), (second, of_second) = samples_apart(split, 4, np.random.default_rng(0))
    assert of_first.tolist() == of_second.tolist() == [0] * 4 + [1] * 2
    assert (labels[second.ravel()] == of_second).all()
    assert not set(first.ravel().tolist()) & set(second.ravel().tolist())
