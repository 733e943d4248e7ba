"""Train Faster R-CNN: its proposals and its heads together.

In: the train and val splits. Out: the averaged weights of the epoch that was best on val, val metrics,
the history.
"""

import copy
from dataclasses import asdict, dataclass
from pathlib import Path

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
from stages.datasets import DetectionSplit, load_detection
from stages.detection_metrics import AveragePrecision, average_precision
from stages.models.detector import DetectorParams, build_detector, detect, to_targets, to_tensor
from stages.params import ComputeParams, StageParams, load_params
from stages.training import Progress, finite, one_cycle, shuffled_batches, write_history


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What training found."""

    network: nn.Module
    """The averaged weights of the best epoch."""
    scores: AveragePrecision
    """Its figures on val."""
    history: list[dict[str, float]]
    """A row an epoch; `val_map50` is missing where the epoch was not validated."""


def main(*, data: Path, params: Path, model: Path, metrics: Path, history: Path) -> None:
    """Train on `data`/train, choose the epoch on `data`/val, write the model and how it came about."""
    settings = load_params(params, "train-detector", TrainDetectorParams)
    compute_params = load_params(params, "compute", ComputeParams)
    compute = prepare(compute_params)
    train, val = load_detection(data, "train"), load_detection(data, "val")
    config = {
        "classes": train.classes,
        "channels": train.images.shape[3],
        "network": settings.network.model_dump(),
    }
    network = compute.network(build_detector(config))
    trained = fit(network, train, val, settings, compute, seed=compute_params.seed)
    save_model(model, trained.network, kind="detector", config=config)
    write_json(metrics, {"val": asdict(trained.scores)})
    write_history(history, trained.history)


def fit(
    network: nn.Module,
    train: DetectionSplit,
    val: DetectionSplit,
    params: TrainDetectorParams,
    compute: Compute,
    *,
    seed: int,
) -> Trained:
    """Train the network on `train`; of the epochs validated, the one with the highest mAP at IoU .50.

    Raises:
        TrainingError: a loss is not finite.
        DataError: no picture of `val` has a box.

    """
    learner = _learner(network, params, steps=params.epochs * max(1, len(train.images) // params.batch_size))
    augment = _augmentation(params, seed)
    progress = Progress(params.epochs)
    best: Trained | None = None
    history: list[dict[str, float]] = []
    for epoch in range(1, params.epochs + 1):
        row = train_one_epoch(learner, train, augment, params, compute, progress, seed=seed, epoch=epoch)
        if epoch % params.validate_every == 0 or epoch == params.epochs:
            scores = evaluate(learner.averaged.module, val, compute, params.batch_size)
            row["val_map50"] = scores.map50
            if best is None or scores.map50 > best.scores.map50:
                kept = copy.deepcopy(learner.averaged.module)
                best = Trained(network=kept, scores=scores, history=history)
        history.append({"epoch": epoch, **row})
        progress.epoch_done(epoch, **row)
    assert best is not None  # the last epoch is validated
    return best


def train_one_epoch(
    learner: Learner,
    split: DetectionSplit,
    augment: A.Compose,
    params: TrainDetectorParams,
    compute: Compute,
    progress: Progress,
    *,
    seed: int,
    epoch: int,
) -> dict[str, float]:
    """One pass over the split; the means of the losses, and the learning rate of the last step."""
    learner.network.train()
    sums: dict[str, float] = {}
    rate = 0.0
    batches = shuffled_batches(len(split.images), params.batch_size, seed=seed, epoch=epoch)
    total = max(1, len(split.images) // params.batch_size)
    for step, rows in enumerate(progress.batches(batches, total=total, epoch=epoch), start=1):
        images, targets = _batch(split, rows.tolist(), augment, compute)
        with compute.autocast():
            losses: dict[str, Tensor] = learner.network(images, targets)
        loss = torch.stack(list(losses.values())).sum()
        finite(loss, epoch=epoch, step=step)
        rate = float(learner.schedule.get_last_lr()[0])
        _descend(learner, loss, params.gradient_max)
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + loss.item()
    return {name: value / total for name, value in sums.items()} | {"learning_rate": rate}


def evaluate(
    network: nn.Module, split: DetectionSplit, compute: Compute, batch_size: int
) -> AveragePrecision:
    """COCO's average precision of the network on the split."""
    detections = detect(network, split.images, compute, batch_size)
    return average_precision(detections, split.boxes, split.labels, split.classes)


def _descend(learner: Learner, loss: Tensor, gradient_max: float) -> None:
    learner.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(learner.network.parameters(), gradient_max)
    learner.optimizer.step()
    learner.schedule.step()
    learner.averaged.update_parameters(learner.network)


def _learner(network: nn.Module, params: TrainDetectorParams, *, steps: int) -> Learner:
    # Weight decay is for matrices: on biases and normalisation it only shifts the outputs.
    decayed = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": params.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
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
    return list(to_tensor(np.stack(images), compute)), to_targets(boxes, labels, compute)


if __name__ == "__main__":
    run_stage(main)
