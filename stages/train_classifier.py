"""Train the classifier.

in   data/prepared/classification (train, val)
out  the model, its metrics and one row of history an epoch; a checkpoint until they are there
run  python -m stages.train_classifier --help

What it reaches: data/metrics/train-classifier.json on val, data/metrics/evaluate.json on test.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from stages.augment import mirror, shift
from stages.checkpoints import save_model, write_json
from stages.command import run_stage
from stages.compute import Compute, prepare
from stages.datasets import ClassificationSplit, load_classification, to_unit
from stages.errors import ParamsError
from stages.libraries import check_libraries
from stages.models.classifier import Classifier, build_classifier, predict
from stages.params import ComputeParams, StageParams, load_params
from stages.resume import Checkpoint, CheckpointParams, Course, decisive
from stages.tables import write_table
from stages.training import (
    Progress,
    batch_count,
    decay_groups,
    epoch_generator,
    finite,
    one_cycle,
    shuffled_batches,
)

GREY_LEVELS = np.arange(256) / 255


class TrainClassifierParams(StageParams):
    """Section `train-classifier`."""

    epochs: int = Field(ge=1)
    """Passes over the training pictures."""

    batch_size: int = Field(ge=2)
    """Pictures a step."""

    widths: list[Annotated[list[PositiveInt], Field(min_length=1)]] = Field(min_length=1)
    """Channels of every convolution, a list a stage; a stage halves the picture."""

    grid: int = Field(ge=1)
    """The last maps are averaged over so many fields each way."""

    features: int = Field(ge=1)
    """Width of the layer before the head."""

    learning_rate: float = Field(gt=0)
    """The one-cycle schedule's peak."""

    warmup: float = Field(gt=0, lt=1)
    """Share of the steps in which the learning rate rises."""

    momentum: float = Field(ge=0, lt=1)
    """Nesterov's."""

    weight_decay: float = Field(ge=0)
    """Of convolutions and head; normalisations and biases are left free."""

    label_smoothing: float = Field(ge=0, lt=1)
    """Share of the target that is spread over all classes."""

    mirror: bool
    """Show each picture mirrored in every second epoch. Not for pictures whose left and right matter."""

    shift: int = Field(ge=0)
    """Shift each picture by up to so many pixels."""

    views: Literal[1, 2, 6]
    """Views of a picture that a prediction averages over: itself, mirrored, both shifted two ways."""


def main(*, data: Path, params: Path, model: Path, metrics: Path, history: Path, checkpoint: Path) -> None:
    """Train the classifier on DATA with section train-classifier of PARAMS."""
    libraries = check_libraries(params)
    settings = load_params(params, "train-classifier", TrainClassifierParams)
    compute_settings = load_params(params, "compute", ComputeParams)
    seconds = load_params(params, "checkpoints", CheckpointParams).seconds
    compute = prepare(compute_settings)
    train, val = load_classification(data, "train"), load_classification(data, "val")
    check_size(settings, train)
    network = compute.network(build_classifier(classifier_config(settings, train)))
    key = decisive(data=data, params=[settings, compute_settings], libraries=libraries, compute=compute)
    kept = Checkpoint(checkpoint, key=key, seconds=seconds)
    rows = fit(
        network, train, val, settings=settings, compute=compute, seed=compute_settings.seed, checkpoint=kept
    )
    figures = evaluate(network, val, compute=compute, views=settings.views)
    parameters = sum(p.numel() for p in network.parameters())
    save_model(model, network, kind="classifier", config=network.config)
    write_table(history, rows)
    write_json(metrics, {**figures, "epochs": settings.epochs, "parameters": parameters})
    kept.remove()


def check_size(settings: TrainClassifierParams, train: ClassificationSplit) -> None:
    """Refuse more stages than the pictures can be halved.

    Raises:
        ParamsError: nothing would be left of the pictures.

    """
    least = 2 ** len(settings.widths)
    height, width = train.images.shape[1:3]
    if min(height, width) < least:
        raise ParamsError(
            f"train-classifier.widths: {len(settings.widths)} stages need pictures of at least {least} px,"
            f" these have {height} x {width}; take fewer stages"
        )


def classifier_config(settings: TrainClassifierParams, train: ClassificationSplit) -> dict[str, Any]:
    """What `build_classifier` builds the network from."""
    mean, std = channel_statistics(train.images)
    return {
        "classes": train.classes,
        "mean": mean,
        "std": std,
        "widths": settings.widths,
        "grid": settings.grid,
        "features": settings.features,
        "views": settings.views,
    }


def channel_statistics(images: npt.NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel of pictures uint8 [N, H, W, C], on the scale 0..1.

    The deviation is at least one grey level, so that a channel which never changes does not divide by zero.
    """
    # Counting grey levels is exact and, by the chunk, needs no memory beside the mapped file.
    chunks = [images[start : start + 256] for start in range(0, len(images), 256)]
    mean, std = [], []
    for channel in range(images.shape[-1]):
        counts = sum(np.bincount(chunk[..., channel].ravel(), minlength=256) for chunk in chunks)
        mean.append(float(np.average(GREY_LEVELS, weights=counts)))
        variance = float(np.average((GREY_LEVELS - mean[-1]) ** 2, weights=counts))
        std.append(max(variance**0.5, 1 / 255))
    return mean, std


def fit(
    network: Classifier,
    train: ClassificationSplit,
    val: ClassificationSplit,
    *,
    settings: TrainClassifierParams,
    compute: Compute,
    seed: int,
    checkpoint: Checkpoint,
) -> list[dict[str, float]]:
    """Train `network` in place and leave it in evaluation mode; one row of history an epoch."""
    steps = batch_count(len(train.images), settings.batch_size)
    optimizer = build_optimizer(network, settings)
    scheduler = one_cycle(
        optimizer, steps=steps * settings.epochs, warmup=settings.warmup, peaks=settings.learning_rate
    )
    course = Course()
    with checkpoint.keeping(course, network=network, optimizer=optimizer, scheduler=scheduler):
        progress = Progress(settings.epochs, done=course.epoch - 1)
        while (epoch := course.epoch) <= settings.epochs:
            batches = augmented_batches(train, settings=settings, epoch=epoch, seed=seed, done=course.step)
            shown = progress.batches(batches, total=steps, epoch=epoch, done=course.step)
            train_loss = train_one_epoch(
                network,
                checkpoint.steps(shown),
                optimizer,
                scheduler,
                course=course,
                smoothing=settings.label_smoothing,
                compute=compute,
            )
            with checkpoint.interruptible():
                figures = evaluate(network, val, compute=compute, views=1)  # more would only cost time
            rate = float(scheduler.get_last_lr()[0])
            course.end_epoch({"epoch": epoch, "train_loss": train_loss, **figures, "learning_rate": rate})
            progress.epoch_done(epoch, loss=train_loss, val_accuracy=figures["val_accuracy"])
    return course.history


def build_optimizer(network: nn.Module, settings: TrainClassifierParams) -> torch.optim.SGD:
    """SGD with Nesterov's momentum; weight decay on matrices and kernels alone."""
    groups = decay_groups(network, settings.weight_decay)
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=True)


def augmented_batches(
    train: ClassificationSplit, *, settings: TrainClassifierParams, epoch: int, seed: int, done: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images [B, C, H, W] in 0..1 and labels [B] of one epoch (the first is 1), shuffled and augmented.

    How a picture is augmented depends on seed and epoch alone; the first `done` batches are left out.
    """
    labels = torch.from_numpy(train.labels)
    shifts = shifts_in(epoch, len(labels), settings.shift, seed)
    mirrored = mirrored_in(epoch, len(labels), seed) if settings.mirror else None
    for indices in shuffled_batches(len(labels), settings.batch_size, seed=seed, epoch=epoch, done=done):
        images = to_unit(train.images[indices.numpy()])
        if mirrored is not None:
            images = mirror(images, mirrored[indices])
        yield shift(images, shifts[:, indices]), labels[indices]


def shifts_in(epoch: int, count: int, pixels: int, seed: int) -> Tensor:
    """By how much each of `count` pictures is shifted down and right in `epoch`: int64 [2, count]."""
    generator = epoch_generator(seed, -epoch)  # not the one that shuffles
    return torch.randint(-pixels, pixels + 1, (2, count), generator=generator)


def mirrored_in(epoch: int, count: int, seed: int) -> Tensor:
    """Which of `count` pictures, bool [count], are mirrored in `epoch`: each in every second one.

    Drawn afresh, a picture would come the same way round twice running half of the time
    (K. Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", https://arxiv.org/abs/2404.00498).
    """
    first = torch.rand(count, generator=epoch_generator(seed, 0)) < 0.5
    return first ^ (epoch % 2 == 1)


def train_one_epoch(
    network: Classifier,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler,
    *,
    course: Course,
    smoothing: float,
    compute: Compute,
) -> float:
    """One step a batch, noted in `course`; the mean loss.

    Raises:
        TrainingError: a loss is not finite.

    """
    network.train()
    for step, (images, labels) in enumerate(batches, start=course.step + 1):
        with compute.autocast():
            logits = network(compute.images(images))
        loss = F.cross_entropy(logits.float(), labels.to(compute.device), label_smoothing=smoothing)
        course.figures.append({"loss": finite(loss, epoch=course.epoch, step=step)})
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
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


if __name__ == "__main__":
    run_stage(main)
