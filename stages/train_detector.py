"""Train Faster R-CNN: its proposals and its heads together.

In: the train and val splits. Out: the averaged weights of the epoch that was best on val, val metrics,
the history; a checkpoint until they are there.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stages.checkpoints import save_model, write_json
from stages.command import run_stage
from stages.compute import Compute, prepare
from stages.datasets import DetectionSplit, load_detection, to_unit
from stages.detection_metrics import AveragePrecision, average_precision, precision
from stages.libraries import check_libraries
from stages.models.detector import DetectorParams, build_detector, detect, to_targets
from stages.params import ComputeParams, StageParams, load_params
from stages.resume import Checkpoint, CheckpointParams, Course, Part, TransformGenerators, decisive
from stages.tables import write_table
from stages.training import Progress, batch_count, decay_groups, finite, one_cycle, shuffled_batches


class TrainDetectorParams(StageParams):
    """Section `train-detector`."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    """Peak of the one-cycle schedule."""
    warmup: float = Field(gt=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(ge=0)
    average_decay: float = Field(ge=0, lt=1)
    """A step's part in the averaged weights, which are validated and saved, is one minus this."""
    gradient_max: float = Field(gt=0)
    """Gradients with a larger norm are scaled down to it."""
    validate_every: int = Field(ge=1)
    """Epochs between two validations; the last epoch is validated in any case."""
    flip: float = Field(ge=0, le=1)
    """Probability that a training picture is mirrored."""
    brightness: float = Field(ge=0, lt=1)
    """Brightness and contrast of a training picture vary by up to this share either way."""
    network: DetectorParams


@dataclass(frozen=True, kw_only=True, slots=True)
class Learner:
    """The network with what trains it."""

    network: nn.Module
    averaged: AveragedModel
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler

    def parts(self) -> dict[str, Part]:
        """What a checkpoint keeps of it: all."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What training found."""

    network: nn.Module
    """The averaged weights of the best epoch."""
    scores: dict[str, Any]
    """Its `AveragePrecision` on val."""
    history: list[dict[str, float]]
    """A row an epoch; `val_map50` is missing where the epoch was not validated."""


def main(*, data: Path, params: Path, model: Path, metrics: Path, history: Path, checkpoint: Path) -> None:
    """Train on `data`/train, choose the epoch on `data`/val, write the model and how it came about."""
    libraries = check_libraries(params)
    settings = load_params(params, "train-detector", TrainDetectorParams)
    compute_params = load_params(params, "compute", ComputeParams)
    seconds = load_params(params, "checkpoints", CheckpointParams).seconds
    compute = prepare(compute_params)
    train, val = load_detection(data, "train"), load_detection(data, "val")
    config = {
        "classes": train.classes,
        "channels": train.images.shape[3],
        "network": settings.network.model_dump(),
    }
    network = compute.network(build_detector(config))
    key = decisive(data=data, params=[settings, compute_params], libraries=libraries, compute=compute)
    kept = Checkpoint(checkpoint, key=key, seconds=seconds)
    trained = fit(network, train, val, settings, compute, seed=compute_params.seed, checkpoint=kept)
    save_model(model, trained.network, kind="detector", config=config)
    write_json(metrics, {"val": trained.scores})
    write_table(history, trained.history)
    kept.remove()


def fit(
    network: nn.Module,
    train: DetectionSplit,
    val: DetectionSplit,
    params: TrainDetectorParams,
    compute: Compute,
    *,
    seed: int,
    checkpoint: Checkpoint,
) -> Trained:
    """Train the network on `train`; of the epochs validated, the one with the highest mAP at IoU .50.

    Raises:
        TrainingError: a loss is not finite.
        DataError: no picture of `val` has a box.

    """
    steps = params.epochs * batch_count(len(train.images), params.batch_size)
    learner = build_learner(network, params, steps=steps)
    augment = _augmentation(params, seed)
    course = Course()
    with checkpoint.keeping(course, augmentation=TransformGenerators(augment), **learner.parts()):
        progress = Progress(params.epochs, done=course.epoch - 1)
        while (epoch := course.epoch) <= params.epochs:
            batches = _shown_batches(train, params, progress, course, seed=seed)
            row = train_one_epoch(learner, train, checkpoint.steps(batches), augment, params, compute, course)
            if epoch % params.validate_every == 0 or epoch == params.epochs:
                with checkpoint.interruptible():
                    scores = evaluate(learner.averaged.module, val, compute, params.batch_size)
                row["val_map50"] = scores.map50
                if not course.best or scores.map50 > course.best["scores"]["map50"]:
                    weights = {name: w.clone() for name, w in learner.averaged.module.state_dict().items()}
                    course.best = {"scores": asdict(scores), "weights": weights}
            course.end_epoch({"epoch": epoch, **row})
            progress.epoch_done(epoch, **row)
    best = learner.averaged.module
    best.load_state_dict(course.best["weights"])  # the last epoch is validated: there is one
    return Trained(network=best, scores=course.best["scores"], history=course.history)


def _shown_batches(
    split: DetectionSplit, params: TrainDetectorParams, progress: Progress, course: Course, *, seed: int
) -> Iterable[Tensor]:
    """What is left of the epoch: rows [B] a batch."""
    count, epoch, done = len(split.images), course.epoch, course.step
    batches = shuffled_batches(count, params.batch_size, seed=seed, epoch=epoch, done=done)
    return progress.batches(batches, total=batch_count(count, params.batch_size), epoch=epoch, done=done)


def train_one_epoch(
    learner: Learner,
    split: DetectionSplit,
    batches: Iterable[Tensor],
    augment: A.Compose,
    params: TrainDetectorParams,
    compute: Compute,
    course: Course,
) -> dict[str, float]:
    """One step a batch, noted in `course`; the means of the losses, and the last step's learning rate."""
    learner.network.train()
    for step, rows in enumerate(batches, start=course.step + 1):
        images, targets = _batch(split, rows.tolist(), augment, compute)
        with compute.autocast():
            losses: dict[str, Tensor] = learner.network(images, targets)
        loss = torch.stack(list(losses.values())).sum()
        finite(loss, epoch=course.epoch, step=step)
        rate = float(learner.schedule.get_last_lr()[0])
        _descend(learner, loss, params.gradient_max)
        said = {str(name): value.item() for name, value in losses.items()}
        course.figures.append(said | {"learning_rate": rate})
    last = course.figures[-1]
    means = {name: sum(step[name] for step in course.figures) / len(course.figures) for name in last}
    return means | {"learning_rate": last["learning_rate"]}


def evaluate(
    network: nn.Module, split: DetectionSplit, compute: Compute, batch_size: int
) -> AveragePrecision:
    """COCO's average precision of the network on the split."""
    detections = detect(network, split.images, compute, batch_size)
    return average_precision(precision(detections, split.boxes, split.labels, split.classes))


def _descend(learner: Learner, loss: Tensor, gradient_max: float) -> None:
    learner.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(learner.network.parameters(), gradient_max)
    learner.optimizer.step()
    learner.schedule.step()
    learner.averaged.update_parameters(learner.network)


def build_learner(network: nn.Module, params: TrainDetectorParams, *, steps: int) -> Learner:
    """What trains `network` for so many steps."""
    groups = decay_groups(network, params.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=params.learning_rate, fused=True)
    averaging = get_ema_multi_avg_fn(params.average_decay)  # type: ignore[no-untyped-call]
    return Learner(
        network=network,
        averaged=AveragedModel(network, multi_avg_fn=averaging, use_buffers=True),
        optimizer=optimizer,
        schedule=one_cycle(optimizer, steps=steps, warmup=params.warmup, peaks=params.learning_rate),
    )


def _augmentation(params: TrainDetectorParams, seed: int) -> A.Compose:
    """One pipeline for all epochs, drawing from one generator: loader workers would all draw alike."""
    return A.Compose(
        [
            A.HorizontalFlip(p=params.flip),
            A.RandomBrightnessContrast(params.brightness, params.brightness, p=float(params.brightness > 0)),
        ],
        bbox_params=A.BboxParams(format="pascal_voc", label_fields=["labels"]),
        seed=seed,
    )


def _batch(
    split: DetectionSplit, rows: list[int], augment: A.Compose, compute: Compute
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """The rows' pictures and boxes, each augmented, as the network takes them."""
    images, boxes, labels = [], [], []
    for row in rows:
        drawn = augment(image=split.images[row], bboxes=split.boxes[row], labels=split.labels[row])
        images.append(drawn["image"])
        boxes.append(np.asarray(drawn["bboxes"], dtype=np.float32).reshape(-1, 4))
        labels.append(np.asarray(drawn["labels"], dtype=np.int64))
    return list(compute.images(to_unit(np.stack(images)))), to_targets(boxes, labels, compute)


if __name__ == "__main__":
    run_stage(main)
