"""What a generator's pictures are worth against real ones; beside each figure that of unseen real pictures.

Features are those of the frozen classifier, named by its file's hash: figures of two generators compare under
the same classifier alone. Without a classifier they are pixels, seen from far away, and nothing tells whether
a picture shows what was asked for. Where a weights file is given there are Inception's too.
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
from PIL import Image

from stages.classifier.network import Classifier, features_of, predict
from stages.core.packed import ClassificationSplit, load_classification
from stages.core.splits import Split
from stages.drawing.sheets import Picture
from stages.evaluate.drawing import confusion_sheet
from stages.evaluate.of_classifier.metrics import confusion
from stages.evaluate.of_generator.inception import inception_features, load_inception
from stages.evaluate.of_generator.metrics import (
    conditional_accuracy,
    frechet_distance,
    kernel_distance,
    memorisation,
    nearest,
)
from stages.evaluate.of_generator.pupil import recognised, train_anew
from stages.evaluate.of_generator.resampled import halves_of_generated, resampled_distances
from stages.evaluate.of_generator.sheets import generated_sheet, nearest_sheet
from stages.evaluate.params import GenerationParams
from stages.evaluate.resampling import Resampled, halves, mean_of
from stages.evaluate.result import Evaluation, Sheet
from stages.generator.network import Generator, generate
from stages.generator.overlap import Features, Overlap, overlap
from stages.networks.compute import Compute, to_unit

Labels = npt.NDArray[np.int64]
Rights = npt.NDArray[np.bool_]

SIDE = 32  # pixels that are compared with the training's; larger pictures are reduced
COARSE_SIDE = 16  # pixels that are features without a classifier: details below say little of what is shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Measuring:
    """The classifier and the settings that pictures are measured with."""

    classifier: Classifier | None
    sha256: str | None
    """Hash of the classifier's file; None without one."""
    params: GenerationParams
    batch_size: int
    compute: Compute
    seed: int

    def features(self, images: Picture) -> Features:
        """The classifier's layer before its head, [N, D], of pictures [N, H, W, C]; without one, pixels."""
        if self.classifier is None:
            return reduced(images, COARSE_SIDE) / 255
        return features_of(self.classifier, images, self.compute, self.batch_size)

    @property
    def described(self) -> dict[str, Any]:
        """What the features are."""
        if self.classifier is None:
            return {"network": "none: pixels", "side": COARSE_SIDE}
        return {"network": "classifier", "sha256": self.sha256}

    def predict(self, images: Picture) -> Labels:
        """What the classifier, which there is, takes pictures [N, H, W, C] for: [N]."""
        assert self.classifier is not None
        found = predict(self.classifier, images, compute=self.compute, batch_size=self.batch_size)
        return found.argmax(dim=1).numpy()

    def make(self, generator: Generator, labels: Labels) -> Picture:
        """Pictures [N, H, W, C] of these classes."""
        return generate(generator, labels, seed=self.seed, compute=self.compute, batch_size=self.batch_size)


def measuring_with(
    path: Path | None,
    classifier: Classifier | None,
    params: GenerationParams,
    compute: Compute,
    *,
    batch_size: int,
    seed: int,
) -> Measuring:
    """What measures with `classifier`, which was loaded from the file `path` and is on `compute`'s device.

    None: there is no classifier, whatever the file says.
    """
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if classifier is not None and path else None
    return Measuring(
        classifier=classifier, sha256=sha256, params=params, batch_size=batch_size, compute=compute, seed=seed
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """The figures of a set of pictures against real ones."""

    figures: dict[str, Any]
    features: Features
    """Features [M, D] of the pictures."""
    aim: Features
    """Features [N, D] of the real pictures."""
    predicted: Labels | None
    """What the classifier takes the pictures for, [M]; None without one."""
    overlap: Overlap
    """Precision, recall, density and coverage by these features."""


def evaluate_generator(
    generator: Generator,
    data: Path,
    measuring: Measuring,
    *,
    resamples: int,
    columns: int,
    split: Split = "test",
) -> Evaluation:
    """Measure generated pictures against test pictures, and beside them other test pictures, as `floor`.

    What compares settings takes val as `split`: test decides nothing.

    Training pictures would not do for it: the classifier was trained on them, so that it recognises more of
    them than of any others, and their features are not those of pictures that it sees for the first time.
    `data` is the folder that preprocess packed for classification. The sheets have `columns` pictures a row.

    Raises:
        DataError: There are too few pictures for a figure.
        ModelError: The file with Inception's weights is missing or another one.

    """
    draw = np.random.default_rng(measuring.seed)
    test, train = load_classification(data, split), load_classification(data, "train")
    (real, labels), others = samples_apart(test, measuring.params.samples_per_class, draw)
    made = measuring.make(generator, labels)
    own, floor = compare(measuring, real, [(made, labels), others])
    pupils: list[Rights | None] = [*train_pupils(generator, test, train, measuring, draw)] or [None, None]
    neighbours = find_neighbours(made, labels, real, train, measuring)
    right = None if own.predicted is None else own.predicted == labels
    return Evaluation(
        figures={
            **own.figures,
            **training_figures(pupils[0], neighbours.of_made, neighbours.of_real),
            "floor": {
                **floor.figures,
                **training_figures(pupils[1], neighbours.of_real, neighbours.of_real),
            },
            "features": measuring.described,
            **named_figures(own.predicted, labels, real, measuring, test.classes),
        },
        resampled=resampled_generation(
            own, right, pupils[0], neighbours=measuring.params.neighbours, resamples=resamples
        ),
        shares=shares(own, pupils[0]),
        tables={},
        curves=[],
        sheets={
            "generated": Sheet(
                caption="Generated pictures of each class",
                image=generated_sheet(made, labels, test.classes, columns),
            ),
            **named_sheets(own.predicted, labels, test.classes),
            "generated-nearest": Sheet(
                caption="Generated pictures over their nearest training pictures, with distances",
                image=neighbours.sheet(train.classes, columns),
            ),
        },
    )


def named_figures(
    predicted: Labels | None, labels: Labels, real: Picture, measuring: Measuring, classes: Sequence[str]
) -> dict[str, Any]:
    """`by_class`, of pictures of `labels` [N], what they were `predicted` as, and real ones; {} for None."""
    if predicted is None:
        return {}
    counts = confusion(labels, predicted, len(classes))
    return {"by_class": figures_by_class(counts, measuring.predict(real), classes)}


def named_sheets(predicted: Labels | None, labels: Labels, classes: Sequence[str]) -> dict[str, Sheet]:
    """The sheet of what generated pictures are taken for; {} without a classifier."""
    if predicted is None:
        return {}
    said = "What was asked for (rows), and what the classifier sees (columns)"
    counts = confusion(labels, predicted, len(classes))
    return {
        "generated-confusion": Sheet(
            caption=said, image=confusion_sheet(counts, classes, f"Generated pictures. {said}")
        )
    }


def training_figures(
    pupil: Rights | None, distances: Features, unseen_distances: Features
) -> dict[str, float]:
    """What pictures are worth as training pictures, and how near they lie to those of the training.

    `pupil` [T]: is a test picture recognised by a classifier that was trained on them; None: there is none.
    `distances` [N]: to the nearest training picture; `unseen_distances` [M]: the same of pictures that nobody
    trained on.
    """
    copied = memorisation(distances, unseen_distances)
    return {
        **({} if pupil is None else {"accuracy_trained_on_it": float(pupil.mean())}),
        "nearest_distance": copied.distance,
        "memorised": copied.memorised,
    }


def resampled_generation(
    own: Compared, right: Rights | None, pupil: Rights | None, *, neighbours: int, resamples: int
) -> Resampled:
    """Figures in halves of generated, of real, and of test pictures, each [R].

    `right` [M]: is a generated picture taken for its class. `pupil` [T]: is a test picture recognised by the
    classifier that was trained on generated pictures. None, of both: there is no classifier.
    """
    named = {}
    if right is not None:
        named["conditional_accuracy"] = mean_of(right, halves_of_generated(len(right), resamples))
    learnt = {}
    if pupil is not None:
        learnt["accuracy_trained_on_it"] = mean_of(pupil, halves(len(pupil), resamples))
    return {
        **named,
        **resampled_distances(own.aim, own.features, neighbours=neighbours, resamples=resamples),
        **learnt,
    }


def shares(own: Compared, pupil: Rights | None) -> dict[str, int]:
    """How many pictures each figure between 0 and 1 is measured on; of two sets the smaller one counts."""
    least = min(len(own.aim), len(own.features))
    tested = {} if pupil is None else {"accuracy_trained_on_it": len(pupil)}
    of_both = dict.fromkeys(("precision", "recall", "coverage"), least)
    return {"conditional_accuracy": len(own.features), **of_both, **tested}


def compare(measuring: Measuring, real: Picture, sets: Sequence[tuple[Picture, Labels]]) -> list[Compared]:
    """Measure sets of pictures [M, H, W, C] and their labels [M] against real pictures [N, H, W, C].

    Raises:
        DataError: There are too few pictures for a figure.
        ModelError: The file with Inception's weights is missing or another one.

    """
    aim, compared = measuring.features(real), []
    for images, labels in sets:
        features = measuring.features(images)
        found = overlap(aim, features, neighbours=measuring.params.neighbours)
        predicted = None if measuring.classifier is None else measuring.predict(images)
        figures: dict[str, Any] = distances(aim, features, found)
        if predicted is not None:
            figures = {"conditional_accuracy": conditional_accuracy(predicted, labels), **figures}
        compared.append(
            Compared(figures=figures, features=features, aim=aim, predicted=predicted, overlap=found)
        )
    if measuring.params.inception is not None:
        network = load_inception(measuring.params.inception)
        by_inception = [
            inception_features(network, images, measuring.compute, measuring.batch_size)
            for images in (real, *(images for images, _ in sets))
        ]
        for item, features in zip(compared, by_inception[1:], strict=True):
            found = overlap(by_inception[0], features, neighbours=measuring.params.neighbours)
            item.figures["inception"] = {
                "features": {
                    "network": "inception_v3",
                    "file": Path(measuring.params.inception.file).name,
                    "sha256": measuring.params.inception.sha256,
                },
                **distances(by_inception[0], features, found),
            }
    return compared


def distances(real: Features, features: Features, found: Overlap) -> dict[str, float]:
    """Every figure of features [M, D] against those of real pictures [N, D]."""
    return {
        "frechet_distance": frechet_distance(real, features),
        "kernel_distance": kernel_distance(real, features),
        **asdict(found.figures()),
    }


def train_pupils(
    generator: Generator,
    test: ClassificationSplit,
    train: ClassificationSplit,
    measuring: Measuring,
    draw: np.random.Generator,
) -> Iterator[Rights]:
    """What of the test split classifiers recognise: one trained on generated pictures, one on real ones.

    They are built like the classifier; nothing is yielded where there is none.
    """
    if measuring.classifier is None:
        return
    score = measuring.params.score
    rows = np.sort(draw.permutation(len(train.labels))[: score.pictures])
    labels = train.labels[rows]
    for images in (measuring.make(generator, labels), np.asarray(train.images[rows])):
        pupil = train_anew(
            measuring.classifier, images, labels, score, measuring.compute, seed=measuring.seed
        )
        yield recognised(
            pupil, np.asarray(test.images[:]), test.labels, measuring.compute, measuring.batch_size
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """Generated pictures and the training pictures nearest to them."""

    made: Picture
    """[N, H, W, C]."""
    labels: Labels
    """[N]: the classes that were asked for."""
    training: Picture
    """[N, H, W, C]: the nearest training picture of each."""
    of_made: Features
    """[N]: the distance to it, in grey levels a pixel."""
    of_real: Features
    """[M]: the same distance of pictures of the test split, which nobody trained on."""

    def sheet(self, classes: Sequence[str], columns: int) -> Image.Image:
        """Draw the nearest pair of each class.

        The nearest of all would be those of the class whose pictures differ least.
        """
        rows = nearest_of_each(self.of_made, self.labels)
        names = [classes[label] for label in self.labels[rows]]
        return nearest_sheet(self.made[rows], self.training[rows], self.of_made[rows], names, columns)


def find_neighbours(
    made: Picture, labels: Labels, real: Picture, train: ClassificationSplit, measuring: Measuring
) -> Neighbours:
    """Find the training pictures nearest to an even choice of the generated ones and of the test split.

    `made` and `real` are [N, H, W, C], `labels` [N] the classes of both.
    """
    step = max(1, len(made) // measuring.params.nearest_pictures)  # the pictures are in no order
    chosen = made[::step]
    training = reduced(np.asarray(train.images[:]))
    of_made, places = nearest(reduced(chosen), training)
    of_real, _ = nearest(reduced(real[::step]), training)
    return Neighbours(
        made=chosen,
        labels=labels[::step],
        training=train.images[places],
        of_made=of_made,
        of_real=of_real,
    )


def nearest_of_each(distances: Features, labels: Labels) -> npt.NDArray[np.int64]:
    """The place in [N] of each class's least distance, by class; of equal ones the first."""
    by_distance = np.argsort(distances, kind="stable")
    return by_distance[np.unique(labels[by_distance], return_index=True)[1]]


def reduced(images: Picture, side: int = SIDE) -> Features:
    """Pictures [N, H, W, C] in a row each, float32 [N, h * w * C] in grey levels.

    They are reduced to `side` pixels where one of theirs is longer.
    """
    if max(images.shape[1:3]) <= side:
        return images.reshape(len(images), -1).astype(np.float32)
    parts = [
        F.interpolate(batch, size=(side, side), mode="area").flatten(1) * 255
        for batch in map(to_unit, np.array_split(images, -(-len(images) // 1000)))
    ]
    rows: Features = torch.cat(parts).numpy()
    return rows


def figures_by_class(
    counts: npt.NDArray[np.int64], real_taken: Labels, classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Figures of each class that was asked for.

    They are the number `asked` for, the share `recognised`, and how many of all generated pictures, and of as
    many test pictures, were taken for it. `counts` [K, K]: asked for in rows, taken for in columns.
    `real_taken` [N]: the labels that the test pictures were taken for.
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
    return _pictures(split, [rows[:per_class] for rows in _shuffled_by_class(split, draw)])


def samples_apart(
    split: ClassificationSplit, per_class: int, draw: np.random.Generator
) -> tuple[tuple[Picture, Labels], tuple[Picture, Labels]]:
    """Two samples as `sample` draws them, without a picture in common, with as many of each class in both.

    Where a class has fewer than twice `per_class` pictures, each takes half of them; if they are odd, one is
    left out.
    """
    by_class = [(rows, min(per_class, len(rows) // 2)) for rows in _shuffled_by_class(split, draw)]
    first = _pictures(split, [rows[:number] for rows, number in by_class])
    return first, _pictures(split, [rows[number : 2 * number] for rows, number in by_class])


def _shuffled_by_class(split: ClassificationSplit, draw: np.random.Generator) -> list[Labels]:
    shuffled = draw.permutation(len(split.labels))
    return [shuffled[split.labels[shuffled] == label] for label in range(len(split.classes))]


def _pictures(split: ClassificationSplit, of_class: Sequence[Labels]) -> tuple[Picture, Labels]:
    rows = np.sort(np.concatenate(of_class))
    return np.asarray(split.images[rows]), split.labels[rows]
