"""Train a detector.

in   data/prepared/detection (train, val)
out  the model: the averaged weights of the best validation; its metrics on val; one row of history an epoch;
     samples of pictures with their boxes as they are shown, which `evaluate` draws; a checkpoint until they
     are there
run  python -m stages.train_detector --help

What it reaches: data/metrics/train-detector.json on val, data/metrics/evaluate.json on test;
`python -m benchmarks.stages.detectors` compares models and seeds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from stages.augmentation.pipeline import TransformGenerators, TransformSpec, check_on
from stages.core.files import write_json
from stages.core.libraries import check_libraries
from stages.core.packed import DetectionSplit, load_detection
from stages.core.params import ComputeParams, StageParams, load_params
from stages.core.tables import write_table
from stages.detector.average_precision import AveragePrecision, average_precision, precision
from stages.detector.network import build_detector, detect, given_proposals, to_targets
from stages.detector.params import DetectorParams
from stages.networks.compute import Compute, prepare, to_unit
from stages.networks.model_files import save_model
from stages.networks.weights import WeightsParams
from stages.train_detector.batches import (
    Boxes,
    DetectorBatches,
    Shown,
    build_detector_batches,
    samples_of,
    with_boxes,
)
from stages.train_detector.start import begin, detector_config, set_training
from stages.training.averaging import averaged_model
from stages.training.checkpoint import Checkpoint, CheckpointParams, Course, Part, decisive
from stages.training.loop import Progress, decay_groups, finite, one_cycle
from stages.training.samples import write_samples

SAMPLE_COLUMNS = 4  # a picture as it is, and three times as it is shown


class TrainDetectorParams(StageParams):
    """Section `train-detector`."""

    network: DetectorParams
    """Which network, and how large."""

    weights: WeightsParams | None
    """What it begins with: those of the same network on perhaps other classes, or of torchvision's ResNet."""

    frozen: int = Field(ge=0)
    """So many first parts keep the weights they began with: of the backbone or, r-cnn, of the classifier."""

    epochs: int = Field(ge=1)
    """At most."""

    epoch_pictures: int | None = Field(ge=1)
    """Training pictures that an epoch shows at most, the next one the following; null: all of them.

    So many pictures are validated more often than once a pass.
    """

    batch_size: int = Field(ge=1)
    """Pictures a step."""

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

    patience: int | None = Field(ge=1)
    """Stop when so many validations were no better than the best before; null: never."""

    scales: list[PositiveFloat] = Field(min_length=1)
    """Each batch is shown at one of these sizes; the trained network sees pictures at their own."""

    augmentations: list[TransformSpec]
    """albumentations in their order, boxes with them: {Name: {argument: value}}."""

    visible_min: float = Field(ge=0, le=1)
    """A box of which augmentation leaves a smaller share in the picture is dropped."""

    sheet_rows: int = Field(ge=1)
    """Samples: pictures as they are, and as they are shown."""


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
class Held:
    """The val split, with its proposals where they are given."""

    split: DetectionSplit
    proposals: list[Boxes] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What training found."""

    network: nn.Module
    """The averaged weights of the best validation."""
    scores: dict[str, Any]
    """Its `AveragePrecision` on val."""
    history: list[dict[str, float]]
    """A row an epoch; what begins with `val_` is missing where the epoch was not validated."""


def main(
    *, data: Path, params: Path, model: Path, metrics: Path, history: Path, samples: Path, checkpoint: Path
) -> None:
    """Train on `data`/train, choose the epoch on `data`/val, write the model and how it came about."""
    libraries = check_libraries(params)
    settings = load_params(params, "train-detector", TrainDetectorParams)
    compute_params = load_params(params, "compute", ComputeParams)
    seconds = load_params(params, "checkpoints", CheckpointParams).seconds
    compute = prepare(compute_params)
    train, val = load_detection(data, "train"), load_detection(data, "val")
    check_on(
        train.images[0],
        settings.augmentations,
        where="train-detector.augmentations",
        bbox_params=with_boxes(settings.visible_min),
    )
    config = detector_config(settings.network, train)
    network = build_detector(config)
    begin(network, settings.network, settings.weights)
    compute.network(network)
    batches = batches_of(train, settings, config, seed=compute_params.seed)
    held = Held(split=val, proposals=given_proposals(config, "val", len(val.images)))
    again = batches_of(train, settings, config, seed=compute_params.seed)  # with generators of its own
    write_samples(samples, samples_of(again, columns=SAMPLE_COLUMNS, rows=settings.sheet_rows))
    key = decisive(data=data, params=[settings, compute_params], libraries=libraries, compute=compute)
    kept = Checkpoint(checkpoint, key=key, seconds=seconds)
    trained = fit(network, batches, held, settings, compute, checkpoint=kept)
    save_model(model, trained.network, kind="detector", config=config)
    write_json(metrics, {"val": trained.scores})
    write_table(history, trained.history)
    kept.remove()


def batches_of(
    train: DetectionSplit, settings: TrainDetectorParams, config: dict[str, Any], *, seed: int
) -> DetectorBatches:
    """The training pictures as the settings want them shown."""
    return build_detector_batches(
        train,
        size=settings.batch_size,
        seed=seed,
        scales=settings.scales,
        transforms=settings.augmentations,
        visible_min=settings.visible_min,
        proposals=given_proposals(config, "train", len(train.images)),
        epoch_pictures=settings.epoch_pictures,
    )


def fit(
    network: nn.Module,
    batches: DetectorBatches,
    held: Held,
    params: TrainDetectorParams,
    compute: Compute,
    *,
    checkpoint: Checkpoint,
) -> Trained:
    """Train the network; of the epochs validated, the one with the highest mAP at IoU .50.

    Raises:
        TrainingError: a loss is not finite.
        DataError: no picture of val has a box.

    """
    learner = build_learner(network, params, steps=params.epochs * batches.steps)
    course = Course()
    drawing = TransformGenerators(batches.pipeline)
    with checkpoint.keeping(course, augmentation=drawing, **learner.parts()):
        progress = Progress(params.epochs, done=course.epoch - 1)
        while course.epoch <= params.epochs and not is_stopped(course.history, params.patience):
            epoch = course.epoch
            todo = batches.epoch(epoch, done=course.step)
            shown = progress.batches(todo, total=batches.steps, epoch=epoch, done=course.step)
            row = train_one_epoch(learner, checkpoint.steps(shown), params, compute, course)
            if epoch % params.validate_every == 0 or epoch == params.epochs:
                with checkpoint.interruptible():
                    row |= validate(learner.averaged.module, held, params, compute, course)
            course.end_epoch({"epoch": epoch, **row})
            progress.epoch_done(epoch, **row)
    best = learner.averaged.module
    best.load_state_dict(course.best["weights"])  # the last epoch is validated: there is one
    return Trained(network=best, scores=course.best["scores"], history=course.history)


def is_stopped(history: Sequence[dict[str, float]], patience: int | None) -> bool:
    """Whether the last `patience` validations were no better than the best before them."""
    judged = [row["val_map50"] for row in history if "val_map50" in row]
    if patience is None or len(judged) <= patience:
        return False
    return max(judged[-patience:]) <= max(judged[:-patience])


def validate(
    network: nn.Module, held: Held, params: TrainDetectorParams, compute: Compute, course: Course
) -> dict[str, float]:
    """Loss and average precision on val; `course` keeps weights and scores that are the best so far."""
    loss = validation_loss(network, held, compute, params.batch_size)
    scores = evaluate(network, held, compute, params.batch_size)
    if not course.best or scores.map50 > course.best["scores"]["map50"]:
        weights = {name: weight.clone() for name, weight in network.state_dict().items()}
        course.best = {"scores": asdict(scores), "weights": weights}
    return {"val_loss": loss, "val_map50": scores.map50, "val_map": scores.map}


def train_one_epoch(
    learner: Learner,
    batches: Iterable[Shown],
    params: TrainDetectorParams,
    compute: Compute,
    course: Course,
) -> dict[str, float]:
    """One step a batch, noted in `course`; the means of the losses, and the last step's learning rate."""
    set_training(learner.network, params.frozen)
    for step, shown in enumerate(batches, start=course.step + 1):
        losses = losses_of(learner.network, shown, compute)
        loss = torch.stack(list(losses.values())).sum()
        finite(loss, epoch=course.epoch, step=step)
        rate = float(learner.schedule.get_last_lr()[0])
        _descend(learner, loss, params.gradient_max)
        said = {str(name): value.item() for name, value in losses.items()}
        course.figures.append(said | {"learning_rate": rate})
    last = course.figures[-1]
    means = {name: sum(step[name] for step in course.figures) / len(course.figures) for name in last}
    return means | {"learning_rate": last["learning_rate"]}


def losses_of(network: nn.Module, shown: Shown, compute: Compute) -> dict[str, Tensor]:
    """The losses of a network in training mode, by name."""
    targets = to_targets(shown.boxes, shown.labels, compute, shown.proposals)
    with compute.autocast():
        losses: dict[str, Tensor] = network(list(compute.images(shown.images)), targets)
    return losses


@torch.no_grad()
def validation_loss(network: nn.Module, held: Held, compute: Compute, batch_size: int) -> float:
    """The mean, over the pictures of val, of the sum of the losses.

    The networks tell losses in training mode alone; normalisations are kept as they are in use. Which anchors
    and proposals count is drawn at random: the same ones at every validation, so that no draw of training
    depends on when it is validated.
    """
    network.train()
    for layer in network.modules():
        if not list(layer.children()):  # normalisation, dropout
            layer.eval()
    total = 0.0
    split = held.split
    devices = [compute.device] if compute.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        for start in range(0, len(split.images), batch_size):
            rows = slice(start, start + batch_size)
            shown = Shown(
                images=to_unit(split.images[rows]),
                boxes=split.boxes[rows],
                labels=split.labels[rows],
                proposals=None if held.proposals is None else held.proposals[rows],
            )
            losses = losses_of(network, shown, compute)
            total += sum(loss.item() for loss in losses.values()) * len(shown.boxes)
    return total / len(split.images)


def evaluate(network: nn.Module, held: Held, compute: Compute, batch_size: int) -> AveragePrecision:
    """COCO's average precision of the network on val."""
    split = held.split
    detections = detect(network, split.images, compute, batch_size, held.proposals)
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
    return Learner(
        network=network,
        averaged=averaged_model(network, params.average_decay),
        optimizer=optimizer,
        schedule=one_cycle(optimizer, steps=steps, warmup=params.warmup, peaks=params.learning_rate),
    )
