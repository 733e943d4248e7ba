"""Train a detector.

in   data/prepared/detection (train, val)
out  the model: the averaged weights of the best validation; its metrics on val; one row of history an epoch;
     samples of training pictures with their boxes, which `evaluate` draws; and a checkpoint, until all of
     these are written
run  python -m stages.train_detector --help

Its results are in data/metrics/train-detector.json on val and in data/metrics/evaluate.json on test; `python
-m benchmarks.stages.detectors` compares models and seeds.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from stages.augmentation.pipeline import check_on
from stages.core.libraries import check_libraries
from stages.core.packed import DetectionSplit, load_detection, why_left_out
from stages.core.params import ComputeParams, is_wanted, load_params
from stages.core.tables import write_metrics, write_table
from stages.detector.network import build_detector, given_proposals
from stages.networks.compute import Compute, prepare
from stages.networks.model_files import save_model
from stages.train_detector.batches import DetectorBatches, build_detector_batches, samples_of, with_boxes
from stages.train_detector.params import TrainDetectorParams
from stages.train_detector.start import begin, detector_config
from stages.train_detector.trainer import DetectorTrainer
from stages.train_detector.validation import Held, calibration_on
from stages.training.checkpoint import Checkpoint, decisive
from stages.training.loop import Training
from stages.training.optimization import build_learner
from stages.training.params import CheckpointParams
from stages.training.samples import leave_out, write_samples

HISTORY = ("epoch", "learning_rate", "val_loss", "val_map50", "val_map")
"""Columns of a history without epochs: some of those that a training writes."""

SAMPLE_COLUMNS = 4  # a picture as it is, and three times as it is shown


def main(
    *, data: Path, params: Path, model: Path, metrics: Path, history: Path, samples: Path, checkpoint: Path
) -> None:
    """Train a detector; the epoch that is best on val counts.

    Args:
        data: Folder of pictures with boxes that preprocess packed.
        params: params.yaml.
        model: Model file to write.
        metrics: JSON file for the average precision on val.
        history: CSV file with a row for each epoch.
        samples: File for training pictures as the network is shown them, which evaluate draws.
        checkpoint: File that keeps a training under way; it is removed at the end.

    """
    libraries = check_libraries(params)
    why = why_left_out(data) or (None if is_wanted(params, "train-detector") else "train-detector is null")
    if why is not None:
        leave_out(
            "train-detector",
            why,
            model=model,
            samples=samples,
            metrics=metrics,
            tables={history: HISTORY},
            checkpoint=checkpoint,
        )
        return
    train, val = load_detection(data, "train"), load_detection(data, "val")
    settings = load_params(params, "train-detector", TrainDetectorParams, pictures=len(train.images))
    compute_params = load_params(params, "compute", ComputeParams)
    seconds = load_params(params, "checkpoints", CheckpointParams).seconds
    compute = prepare(compute_params)
    check_on(
        train.images[0],
        settings.augmentations,
        where="train-detector.augmentations",
        bbox_params=with_boxes(settings.visible_min),
    )
    config = detector_config(settings.network, train)
    print(f"{len(train.images):,} pictures: {settings.epochs} epochs in batches of {settings.batch_size}")
    if anchors := anchors_of(config["network"]):
        print(f"anchors: {anchors}")
    network = build_detector(config)
    begin(network, settings.network, settings.weights)
    compute.network(network)
    batches = batches_of(train, settings, config, seed=compute_params.seed)
    held = Held(split=val, proposals=given_proposals(config, "val", len(val.images)))
    alike = batches_of(train, settings, config, seed=compute_params.seed)  # with generators of its own
    write_samples(samples, samples_of(alike, columns=SAMPLE_COLUMNS, rows=settings.sheet_rows))
    key = decisive(data=data, params=[settings, compute_params], libraries=libraries, compute=compute)
    kept = Checkpoint(checkpoint, key=key, seconds=seconds)
    training, trainer = training_of(network, batches, held, settings, compute)
    state = training.run(trainer, kept)
    if settings.calibrate:
        config["calibration"] = asdict(calibration_on(trainer.judged, held, compute, settings.batch_size))
    save_model(model, trainer.judged, kind="detector", config=config)
    # the last epoch is validated: there is a best one
    write_metrics(metrics, {"val": state.best["details"], "epochs": len(state.history)})
    write_table(history, state.history)
    kept.remove()


def anchors_of(network: dict[str, Any]) -> str:
    """Sizes and ratios of a network's anchors in words; empty where it has none."""
    if "anchor_sizes" not in network:
        return ""
    sizes, ratios = (
        ", ".join(f"{value:g}" for value in network[key]) for key in ("anchor_sizes", "anchor_ratios")
    )
    return f"{sizes} px, height over width {ratios}"


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


def training_of(
    network: nn.Module,
    batches: DetectorBatches,
    held: Held,
    settings: TrainDetectorParams,
    compute: Compute,
) -> tuple[Training, DetectorTrainer]:
    """The loop as the settings want it, and what the detector adds to it."""
    learner = build_learner(
        network,
        optimizer=settings.descent,
        schedule=settings.rates,
        steps=settings.epochs * batches.steps,
        average_decay=settings.average_decay,
        gradient_max=settings.gradient_max,
        fused=True,
    )
    training = Training(
        epochs=settings.epochs,
        steps=batches.steps,
        judged_by="val_map50",
        keeps_best=True,
        patience=settings.patience,
    )
    return training, DetectorTrainer(
        learner=learner, train=batches, val=held, params=settings, compute=compute
    )
