"""What a generator's pictures are worth against real ones; beside each figure that of real pictures.

Features are those of the frozen classifier, named by its file's hash: figures of two generators compare under
the same classifier alone. Where a weights file is given there are Inception's too.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from stages.classifier.network import Classifier, predict
from stages.core.packed import ClassificationSplit, load_classification
from stages.core.params import StageParams
from stages.drawing.sheets import Picture, save_png
from stages.evaluate.of_classifier.metrics import confusion
from stages.evaluate.of_classifier.sheets import confusion_sheet
from stages.evaluate.of_generator.inception import inception_features, load_inception
from stages.evaluate.of_generator.metrics import (
    Memory,
    conditional_accuracy,
    frechet_distance,
    kernel_distance,
    memory,
    nearest,
    resampled_distances,
)
from stages.evaluate.of_generator.pupil import ScoreParams, recognised, train_anew
from stages.evaluate.of_generator.sheets import generated_sheet, nearest_sheet
from stages.evaluate.resampling import Counts, Resampled, draws, mean_of
from stages.generator.network import Generator, generate
from stages.generator.overlap import Features, Overlap, overlap
from stages.networks.compute import Compute, to_unit
from stages.networks.weights import WeightsParams

Labels = npt.NDArray[np.int64]
Rights = npt.NDArray[np.bool_]

SIDE = 32  # pixels that are compared with the training's; larger pictures are reduced


class GenerationParams(StageParams):
    """`evaluate.generation`: how generated pictures are measured."""

    samples_per_class: int = Field(ge=1)
    """Generated, test and training pictures that are compared; where a class has fewer, all of them."""

    neighbours: int = Field(ge=1)
    """k of precision, recall, density and coverage."""

    kernel_subsets: int = Field(ge=1)
    """Random subsets that the kernel distance is the mean of."""

    kernel_subset_share: float = Field(gt=0, le=1)
    """Size of each of them, as a share of the pictures compared."""

    nearest_pictures: int = Field(ge=1)
    """Generated ones, and ones of the test, whose nearest training picture is looked for among all."""

    score: ScoreParams

    inception: WeightsParams | None
    """torchvision's weights of inception_v3; null: the classifier's features alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measuring:
    """What pictures are measured with."""

    classifier: Classifier
    sha256: str
    """Of the classifier's file."""
    params: GenerationParams
    batch_size: int
    compute: Compute
    seed: int

    def features(self, images: Picture) -> Features:
        """The classifier's layer before its head, [N, D], of pictures [N, H, W, C]."""
        return features_of(self.classifier, images, self.compute, self.batch_size)

    def taken_for(self, images: Picture) -> Labels:
        """What the classifier takes pictures [N, H, W, C] for: [N]."""
        found = predict(self.classifier, images, compute=self.compute, batch_size=self.batch_size)
        return found.argmax(dim=1).numpy()

    def make(self, generator: Generator, labels: Labels) -> Picture:
        """Pictures [N, H, W, C] of these classes."""
        return generate(generator, labels, seed=self.seed, compute=self.compute, batch_size=self.batch_size)


def measuring(
    path: Path,
    classifier: Classifier,
    params: GenerationParams,
    compute: Compute,
    *,
    batch_size: int,
    seed: int,
) -> Measuring:
    """What measures with the classifier, which was loaded from `path`."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Measuring(
        classifier=classifier, sha256=sha256, params=params, batch_size=batch_size, compute=compute, seed=seed
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A set of pictures against real ones."""

    figures: dict[str, Any]
    features: Features
    """The classifier's, [M, D]."""
    overlap: Overlap
    """By them."""


def evaluate_generated(
    generator: Generator, data: Path, how: Measuring, *, resamples: int, sheets: Path, columns: int
) -> tuple[dict[str, Any], Resampled]:
    """Figures of generated pictures against the test split, and under `floor` those of training pictures.

    Then the first in draws of the pictures. Sheets of `columns` pictures a row go to the folder `sheets`.
    """
    draw = np.random.default_rng(how.seed)
    test, train = load_classification(data, "test"), load_classification(data, "train")
    (real, labels), (seen, seen_labels) = (
        sample(s, how.params.samples_per_class, draw) for s in (test, train)
    )
    made = how.make(generator, labels)
    taken = how.taken_for(made)
    save_png(sheets / "generated.png", generated_sheet(made, labels, test.classes, columns))
    counts = confusion(labels, taken, len(test.classes))
    save_png(sheets / "generated-confusion.png", confusion_sheet(counts, test.classes))
    own, floor = compare(how, real, [(made, labels), (seen, seen_labels)])
    pupils = list(train_pupils(generator, test, train, how, draw))
    for one, right in zip((own, floor), pupils, strict=True):
        one.figures["accuracy_trained_on_it"] = float(right.mean())
    for one, near in zip((own, floor), copies(made, labels, real, train, how, sheets, columns), strict=True):
        one.figures.update(nearest_distance=near.distance, memorised=near.memorised)
    figures = {
        **own.figures,
        "floor": floor.figures,
        "features": {"network": "classifier", "sha256": how.sha256},
        "by_class": by_class(counts, how.taken_for(real), test.classes),
    }
    return figures, resampled(own, how.features(real), taken == labels, pupils[0], resamples)


def resampled(own: Compared, real: Features, right: Rights, pupil: Rights, resamples: int) -> Resampled:
    """Figures in draws of real pictures of features [N, D], of the generated, and of the test split.

    `right` [M]: is a generated picture taken for its class; `pupil`: is one of the test, by the classifier
    that was trained on generated ones. Precision and coverage are told under the balls of all pictures: a
    picture that is drawn twice would have none of its own.
    """

    def of_real() -> Iterator[Counts]:
        return draws(len(real), resamples)

    def of_own() -> Iterator[Counts]:
        return draws(len(own.features), resamples)

    return {
        "conditional_accuracy": mean_of(right, of_own()),
        "frechet_distance": resampled_distances(real, own.features, of_real(), of_own()),
        "precision": mean_of(own.overlap.precision, of_own()),
        "recall": mean_of(own.overlap.recall, of_real()),
        "density": mean_of(own.overlap.density, of_own()),
        "coverage": mean_of(own.overlap.coverage, of_real()),
        "accuracy_trained_on_it": mean_of(pupil, draws(len(pupil), resamples)),
    }


def compare(how: Measuring, real: Picture, sets: Sequence[tuple[Picture, Labels]]) -> list[Compared]:
    """Figures of each of the sets of pictures and labels against real pictures [N, H, W, C]."""
    aim, made = how.features(real), []
    for images, labels in sets:
        features = how.features(images)
        found = overlap(aim, features, neighbours=how.params.neighbours)
        figures = {
            "conditional_accuracy": conditional_accuracy(how.taken_for(images), labels),
            **distances(aim, features, found, how),
        }
        made.append(Compared(figures=figures, features=features, overlap=found))
    if how.params.inception is not None:
        network = load_inception(how.params.inception)
        by_inception = [
            inception_features(network, images, how.compute, how.batch_size)
            for images in (real, *(images for images, _ in sets))
        ]
        for one, features in zip(made, by_inception[1:], strict=True):
            found = overlap(by_inception[0], features, neighbours=how.params.neighbours)
            one.figures["inception"] = {
                "features": {
                    "network": "inception_v3",
                    "file": Path(how.params.inception.file).name,
                    "sha256": how.params.inception.sha256,
                },
                **distances(by_inception[0], features, found, how),
            }
    return made


def distances(real: Features, features: Features, found: Overlap, how: Measuring) -> dict[str, float]:
    """Every figure of features [M, D] against those of real pictures [N, D]."""
    size = max(2, round(min(len(real), len(features)) * how.params.kernel_subset_share))
    subsets = how.params.kernel_subsets
    return {
        "frechet_distance": frechet_distance(real, features),
        "kernel_distance": kernel_distance(real, features, subsets=subsets, subset_size=size, seed=how.seed),
        **asdict(found.figures()),
    }


def train_pupils(
    generator: Generator,
    test: ClassificationSplit,
    train: ClassificationSplit,
    how: Measuring,
    draw: np.random.Generator,
) -> Iterator[Rights]:
    """What of the test split classifiers recognise: one trained on generated pictures, one on real ones."""
    score = how.params.score
    rows = np.sort(draw.permutation(len(train.labels))[: score.pictures])
    labels = train.labels[rows]
    for images in (how.make(generator, labels), np.asarray(train.images[rows])):
        pupil = train_anew(how.classifier, images, labels, score, how.compute, seed=how.seed)
        yield recognised(pupil, np.asarray(test.images[:]), test.labels, how.compute, how.batch_size)


def copies(
    made: Picture,
    labels: Labels,
    real: Picture,
    train: ClassificationSplit,
    how: Measuring,
    sheets: Path,
    columns: int,
) -> Iterator[Memory]:
    """How near to training pictures lie generated ones, and ones of the test; a sheet of the nearest.

    It shows one pair of each class: of all, those of the class whose pictures differ least would be nearest.
    """
    each = max(1, len(made) // how.params.nearest_pictures)  # evenly from all, which are sorted by nothing
    training = small(np.asarray(train.images[:]))
    shown = made[::each]
    of_made, places = nearest(small(shown), training)
    of_real, _ = nearest(small(real[::each]), training)
    closest = nearest_of_each(of_made, labels[::each])
    names = [train.classes[label] for label in labels[::each][closest]]
    sheet = nearest_sheet(shown[closest], train.images[places[closest]], of_made[closest], names, columns)
    save_png(sheets / "generated-nearest.png", sheet)
    yield memory(of_made, of_real)
    yield memory(of_real, of_real)


def nearest_of_each(distances: Features, labels: Labels) -> npt.NDArray[np.int64]:
    """The place in [N] of each class's least distance, by class; of equal ones the first."""
    by_distance = np.argsort(distances, kind="stable")
    return by_distance[np.unique(labels[by_distance], return_index=True)[1]]


def small(images: Picture) -> Features:
    """Pictures [N, H, W, C] in a row each, float32 [N, h * w * C] in grey levels, reduced where large."""
    if max(images.shape[1:3]) <= SIDE:
        return images.reshape(len(images), -1).astype(np.float32)
    parts = [
        F.interpolate(batch, size=(SIDE, SIDE), mode="area").flatten(1) * 255
        for batch in map(to_unit, np.array_split(images, -(-len(images) // 1000)))
    ]
    rows: Features = torch.cat(parts).numpy()
    return rows


def by_class(
    counts: npt.NDArray[np.int64], real_taken: Labels, classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Of each class that was asked for: how many, the share recognised, how many of all were taken for it.

    `counts` [K, K]: asked for, taken for. `real_taken` [N]: what as many test pictures were taken for.
    """
    asked, taken = counts.sum(axis=1), counts.sum(axis=0)
    of_real = np.bincount(real_taken, minlength=len(classes))
    return {
        name: {
            "asked": int(asked[label]),
            "recognised": float(counts[label, label] / asked[label]),
            "taken_for_it": int(taken[label]),
            "real_taken_for_it": int(of_real[label]),
        }
        for label, name in enumerate(classes)
        if asked[label]
    }


def sample(split: ClassificationSplit, per_class: int, draw: np.random.Generator) -> tuple[Picture, Labels]:
    """Up to `per_class` pictures [N, H, W, C] of each class and their labels [N], in the split's order."""
    shuffled = draw.permutation(len(split.labels))
    of_class = [shuffled[split.labels[shuffled] == label][:per_class] for label in range(len(split.classes))]
    rows = np.sort(np.concatenate(of_class))
    return np.asarray(split.images[rows]), split.labels[rows]


@torch.inference_mode()
def features_of(
    network: Classifier, images: Picture, compute: Compute, batch_size: int
) -> npt.NDArray[np.float32]:
    """The classifier's layer before its head, [N, D], of pictures [N, H, W, C]."""
    features: list[Tensor] = []
    for batch in torch.split(to_unit(images), batch_size):
        with compute.autocast():
            features.append(network.features(compute.images(batch)).float().cpu())
    stacked: npt.NDArray[np.float32] = torch.cat(features).numpy()
    return stacked
