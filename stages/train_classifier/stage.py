"""Train the classifier.

in   data/prepared/classification (train, val)
out  the model, its metrics, one row of history an epoch, the learning rates tried, samples of augmented
     pictures, which `evaluate` draws; a checkpoint until they are there
run  python -m stages.train_classifier --help

What it reaches: data/metrics/train-classifier.json on val, data/metrics/evaluate.json on test;
`python -m benchmarks.stages.classifier` compares models and seeds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from stages.augmentation.pipeline import TransformGenerators, TransformSpec, check_on
from stages.classifier.loss import Loss, class_weights
from stages.classifier.network import Classifier, build_classifier, predict
from stages.classifier.trunks import NetworkParams, least_side
from stages.core.errors import ParamsError
from stages.core.files import write_json
from stages.core.libraries import check_libraries
from stages.core.packed import ClassificationSplit, load_classification
from stages.core.params import ComputeParams, StageParams, load_params
from stages.core.tables import write_table
from stages.networks.compute import Compute, prepare
from stages.networks.model_files import save_model
from stages.train_classifier.batches import Batches, build_batches, channel_statistics, samples_of
from stages.train_classifier.learning_rates import RangeTestParams, range_test
from stages.train_classifier.start import load_pretrained
from stages.training.checkpoint import Checkpoint, CheckpointParams, Course, decisive
from stages.training.loop import Progress, batch_count, finite, is_stopped
from stages.training.optimization import (
    Learner,
    OptimizerParams,
    ScheduleParams,
    build_learner,
    build_optimizer,
)
from stages.training.samples import write_samples


class TrainClassifierParams(StageParams):
    """Section `train-classifier`."""

    network: NetworkParams
    """Which network, and how large."""

    epochs: int = Field(ge=1)
    """Passes over the training pictures, at most."""

    batch_size: int = Field(ge=2)
    """Pictures a step."""

    optimizer: OptimizerParams

    schedule: ScheduleParams

    average_decay: float | None = Field(gt=0, lt=1)
    """A step's part in averaged weights, which are validated and saved, is one minus this; null: none are."""

    patience: int | None = Field(ge=1)
    """Stop when so many epochs were no better on val, and take the best's weights; null: the last's."""

    label_smoothing: float = Field(ge=0, lt=1)
    """Share of the target that is spread over all classes."""

    balance: Literal["none", "class-weights", "sampler"]
    """Of unbalanced classes: in the loss, or in how often their pictures are shown."""

    mirror: bool
    """Show each picture mirrored in every second epoch. Not for pictures whose left and right matter."""

    shift: int = Field(ge=0)
    """Shift each picture by up to so many pixels."""

    augmentations: list[TransformSpec]
    """albumentations in their order, before mirroring and shifts: {Name: {argument: value}}."""

    views: Literal[1, 2, 6]
    """Views of a picture that a prediction averages over: itself, mirrored, both shifted two ways."""

    range_test: RangeTestParams
    """Learning rates that are tried before training, for the plot alone."""

    sheet_columns: int = Field(ge=2)
    """Samples of each class: a picture as it is, and as it is shown in the epochs after."""


def main(
    *,
    data: Path,
    params: Path,
    model: Path,
    metrics: Path,
    history: Path,
    rates: Path,
    samples: Path,
    checkpoint: Path,
) -> None:
    """Train the classifier on DATA with section train-classifier of PARAMS."""
    settings = load_params(params, "train-classifier", TrainClassifierParams)
    compute_settings = load_params(params, "compute", ComputeParams)
    seconds = load_params(params, "checkpoints", CheckpointParams).seconds
    compute = prepare(compute_settings)
    train, val = load_classification(data, "train"), load_classification(data, "val")
    check_pictures(settings, train)
    network = build_classifier(classifier_config(settings, train))
    libraries = check_libraries(params)  # not before: a network may bring its own
    load_pretrained(network, settings.network)
    compute.network(network)
    batches = partial(batches_of, train, settings, compute_settings.seed)  # each with generators of its own
    loss_of = loss_for(train, settings, compute)
    write_samples(samples, samples_of(batches(), settings.sheet_columns))
    tried = range_test(
        network,
        chain.from_iterable(map(batches().epoch, count(1))),
        settings.range_test,
        optimizer_of=partial(build_optimizer, params=settings.optimizer),
        loss_of=loss_of,
    )
    key = decisive(data=data, params=[settings, compute_settings], libraries=libraries, compute=compute)
    kept = Checkpoint(checkpoint, key=key, seconds=seconds)
    trained = fit(
        network, batches(), val, settings=settings, compute=compute, loss_of=loss_of, checkpoint=kept
    )
    figures = evaluate(trained.network, val, compute=compute, views=settings.views)
    parameters = sum(p.numel() for p in network.parameters())
    save_model(model, trained.network, kind="classifier", config=network.config)
    write_table(history, trained.history)
    write_table(rates, tried)
    write_json(metrics, {**figures, "epochs": len(trained.history), "parameters": parameters})
    kept.remove()


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What training found."""

    network: Classifier
    """In evaluation mode."""
    history: list[dict[str, float]]
    """A row an epoch."""


def check_pictures(settings: TrainClassifierParams, train: ClassificationSplit) -> None:
    """Refuse what does not go with the pictures, before any work is done.

    Raises:
        ParamsError: the network wants larger pictures, or an augmentation fails on them.

    """
    least = least_side(settings.network)
    height, width = train.images.shape[1:3]
    if min(height, width) < least:
        raise ParamsError(
            f"train-classifier.network.widths: so many stages need pictures of at least {least} px,"
            f" these have {height} x {width}; take fewer stages"
        )
    check_on(train.images[0], settings.augmentations, where="train-classifier.augmentations")


def classifier_config(settings: TrainClassifierParams, train: ClassificationSplit) -> dict[str, Any]:
    """What `build_classifier` builds the network from."""
    mean, std = channel_statistics(train.images)
    return {
        "classes": train.classes,
        "mean": mean,
        "std": std,
        "size": list(train.images.shape[1:3]),
        "network": settings.network.model_dump(),
        "views": settings.views,
    }


def batches_of(train: ClassificationSplit, settings: TrainClassifierParams, seed: int) -> Batches:
    """The training pictures as the settings want them shown."""
    return build_batches(
        train,
        size=settings.batch_size,
        seed=seed,
        mirror=settings.mirror,
        shift=settings.shift,
        balanced=settings.balance == "sampler",
        transforms=settings.augmentations,
    )


def loss_for(train: ClassificationSplit, settings: TrainClassifierParams, compute: Compute) -> Loss:
    """What is minimised, as the settings want it."""
    weighted = settings.balance == "class-weights"
    return Loss(
        compute=compute,
        smoothing=settings.label_smoothing,
        weights=class_weights(train.labels, len(train.classes)) if weighted else None,
    )


def fit(
    network: Classifier,
    batches: Batches,
    val: ClassificationSplit,
    *,
    settings: TrainClassifierParams,
    compute: Compute,
    loss_of: Loss,
    checkpoint: Checkpoint,
) -> Trained:
    """Train `network` until its epochs are over or val has been no better for long enough.

    Raises:
        TrainingError: a loss is not finite.

    """
    steps = batch_count(len(batches.split.labels), settings.batch_size)
    learner = build_learner(
        network,
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        steps=steps * settings.epochs,
        average_decay=settings.average_decay,
    )
    course = Course()
    with checkpoint.keeping(course, augmentation=TransformGenerators(batches.pipeline), **learner.parts()):
        progress = Progress(settings.epochs, done=course.epoch - 1)
        while course.epoch <= settings.epochs and not is_stopped(course.history, settings.patience):
            epoch = course.epoch
            todo = batches.epoch(epoch, done=course.step)
            shown = progress.batches(todo, total=steps, epoch=epoch, done=course.step)
            train_loss = train_one_epoch(learner, checkpoint.steps(shown), loss_of, course)
            with checkpoint.interruptible():
                figures = evaluate(learner.judged, val, compute=compute, views=1)  # more would only cost time
            keep_best(course, learner, figures["val_accuracy"], settings.patience)
            rate = float(learner.schedule.get_last_lr()[0])
            course.end_epoch({"epoch": epoch, "train_loss": train_loss, **figures, "learning_rate": rate})
            progress.epoch_done(epoch, loss=train_loss, val_accuracy=figures["val_accuracy"])
    if course.best:
        learner.judged.load_state_dict(course.best["weights"])
    return Trained(network=learner.judged.eval(), history=course.history)


def keep_best(course: Course, learner: Learner[Classifier], accuracy: float, patience: int | None) -> None:
    """Keep the weights in `course` if they are the best so far and could be asked for."""
    if patience is not None and (not course.best or accuracy > course.best["val_accuracy"]):
        weights = {name: weight.clone() for name, weight in learner.judged.state_dict().items()}
        course.best = {"val_accuracy": accuracy, "weights": weights}


def train_one_epoch(
    learner: Learner[Classifier], batches: Iterable[tuple[Tensor, Tensor]], loss_of: Loss, course: Course
) -> float:
    """One step a batch, noted in `course`; the mean loss.

    Raises:
        TrainingError: a loss is not finite.

    """
    learner.network.train()
    for step, (images, labels) in enumerate(batches, start=course.step + 1):
        loss = loss_of(learner.network, images, labels)
        course.figures.append({"loss": finite(loss, epoch=course.epoch, step=step)})
        learner.step(loss)
    return sum(figures["loss"] for figures in course.figures) / len(course.figures)


def evaluate(
    network: Classifier, split: ClassificationSplit, *, compute: Compute, views: int
) -> dict[str, float]:
    """Cross-entropy and accuracy of `network`'s predictions on the validation split, from so many views."""
    probabilities = predict(network.eval(), split.images, compute=compute, views=views)
    labels = torch.from_numpy(split.labels)
    return {
        # A probability that underflowed to zero would make the loss infinite, which JSON cannot hold.
        "val_loss": F.nll_loss(probabilities.clamp_min(torch.finfo(torch.float32).tiny).log(), labels).item(),
        "val_accuracy": (probabilities.argmax(dim=1) == labels).float().mean().item(),
    }
