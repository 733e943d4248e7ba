"""Train the classifier.

in   data/prepared/classification (train, val)
out  the model, its metrics, one row of history an epoch, the learning rates tried, samples of augmented
     pictures, which `evaluate` draws; a checkpoint until they are there
run  python -m stages.train_classifier --help

What it reaches: data/metrics/train-classifier.json on val, data/metrics/evaluate.json on test;
`python -m benchmarks.stages.classifier` compares models and seeds.
"""

from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stages.augmentation.pipeline import check_on
from stages.classifier.loss import Loss, class_weights
from stages.classifier.network import (
    Classifier,
    attributes_of,
    build_classifier,
    mean_logits,
    to_probabilities,
)
from stages.classifier.params import least_side
from stages.core.errors import ParamsError
from stages.core.libraries import check_libraries
from stages.core.packed import (
    UNCLASSED,
    ClassificationSplit,
    binary_names,
    load_classification,
    targets_of,
    why_left_out,
)
from stages.core.params import ComputeParams, is_wanted, load_params
from stages.core.tables import write_metrics, write_table
from stages.networks.calibration import best_thresholds, fitted_binary_temperature, fitted_temperature
from stages.networks.compute import Compute, prepare
from stages.networks.model_files import save_model
from stages.train_classifier.batches import Batches, build_batches, channel_statistics, samples_of
from stages.train_classifier.learning_rates import range_test
from stages.train_classifier.params import TrainClassifierParams
from stages.train_classifier.start import load_pretrained
from stages.train_classifier.trainer import ClassifierTrainer, validate
from stages.training.budget import batch_count
from stages.training.checkpoint import Checkpoint, decisive
from stages.training.loop import Training
from stages.training.optimization import build_learner, build_optimizer
from stages.training.params import CheckpointParams
from stages.training.samples import leave_out, write_samples

HISTORY = ("epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate")
"""Columns of a history without epochs: some of those that a training writes."""
RATES = ("log10_learning_rate", "loss")


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
    """Train the classifier.

    Args:
        data: Folder of labelled pictures that preprocess packed.
        params: params.yaml.
        model: Model file to write.
        metrics: JSON file for loss, accuracy and mAP on val, the number of epochs and of parameters.
        history: CSV file with a row for each epoch.
        rates: CSV file for the loss at learning rates that rise from step to step.
        samples: File for training pictures as the network is shown them, which evaluate draws.
        checkpoint: File that keeps a training under way; it is removed at the end.

    """
    why = why_left_out(data) or (
        None if is_wanted(params, "train-classifier") else "train-classifier is null"
    )
    if why is not None:
        leave_out(
            "train-classifier",
            why,
            model=model,
            samples=samples,
            metrics=metrics,
            tables={history: HISTORY, rates: RATES},
            checkpoint=checkpoint,
        )
        return
    wanted = load_params(params, "train-classifier", TrainClassifierParams).attributes
    train, val = (load_classification(data, split, unclassed=bool(wanted)) for split in ("train", "val"))
    settings = load_params(params, "train-classifier", TrainClassifierParams, pictures=len(train.labels))
    attributes = learnt_attributes(wanted, train)
    print(f"{len(train.labels):,} pictures: {settings.epochs} epochs in batches of {settings.batch_size}")
    compute_params = load_params(params, "compute", ComputeParams)
    seconds = load_params(params, "checkpoints", CheckpointParams).seconds
    compute = prepare(compute_params)
    check_pictures(settings, train)
    network = build_classifier(classifier_config(settings, train, attributes))
    later = ("scikit-learn",) if attributes else ()
    libraries = check_libraries(params, later=later)  # not before: a network may bring its own
    load_pretrained(network, settings.network)
    compute.network(network)
    # each has generators of its own
    batches = partial(batches_of, train, settings, compute_params.seed, attributes)
    loss = loss_for(train, settings, compute)
    write_samples(samples, samples_of(batches(), settings.sheet_columns))
    tried = range_test(
        network,
        chain.from_iterable(map(batches().epoch, count(1))),
        settings.range_test,
        optimizer_of=partial(build_optimizer, params=settings.optimizer),
        loss_of=loss,
    )
    key = decisive(data=data, params=[settings, compute_params], libraries=libraries, compute=compute)
    kept = Checkpoint(checkpoint, key=key, seconds=seconds)
    training, trainer = training_of(network, batches(), val, loss, settings, compute)
    state = training.run(trainer, kept)
    trained = trainer.judged.eval()
    if settings.calibrate or attributes:
        trained.config |= fitted_on(
            mean_logits(trained, val.images, compute=compute),
            val,
            trained.config,
            calibrate=settings.calibrate,
        )
    figures = validate(trained, val, compute=compute, views=settings.views)
    parameters = sum(p.numel() for p in network.parameters())
    save_model(model, trained, kind="classifier", config=trained.config)
    write_table(history, state.history)
    write_table(rates, tried)
    write_metrics(metrics, {**figures, "epochs": len(state.history), "parameters": parameters})
    kept.remove()


def training_of(
    network: Classifier,
    batches: Batches,
    val: ClassificationSplit,
    loss: Loss,
    settings: TrainClassifierParams,
    compute: Compute,
) -> tuple[Training, ClassifierTrainer]:
    """The loop as the settings want it, and what the classifier adds to it."""
    steps = batch_count(len(batches.split.labels), settings.batch_size)
    learner = build_learner(
        network,
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        steps=steps * settings.epochs,
        average_decay=settings.average_decay,
    )
    training = Training(
        epochs=settings.epochs,
        steps=steps,
        judged_by=judged_by(network),
        keeps_best=settings.patience is not None,
        patience=settings.patience,
    )
    return training, ClassifierTrainer(learner=learner, train=batches, val=val, loss=loss, compute=compute)


def judged_by(network: Classifier) -> str:
    """The figure of `validate` that epochs are compared by."""
    if not attributes_of(network.config):
        return "val_accuracy"
    return "val_score" if network.config["classes"] else "val_map"


def learnt_attributes(wanted: list[str] | Literal["all"], train: ClassificationSplit) -> list[str]:
    """The names of the attributes to learn.

    Raises:
        ParamsError: One is not in the data, is not yes or no, or is the same for all training pictures; or
            there is nothing to learn.

    """
    key, columns = "train-classifier.attributes", train.attributes or {}
    known = binary_names(columns)
    same = [name for name in known if len(np.unique(columns[name][~np.isnan(columns[name])])) < 2]
    if wanted == "all":
        if same:
            print(f"{key}: left out, since they are the same for all training pictures: {', '.join(same)}")
        names = [name for name in known if name not in same]
        if not names:
            raise ParamsError(
                f"{key}: no attribute of the training pictures is yes for some and no for others"
            )
        return names
    for name in wanted:
        if name not in columns:
            has = ", ".join(known) or "none; preprocess.classification.columns names them"
            raise ParamsError(f"{key}: {name!r} is no attribute of the pictures; they have {has}")
        if name not in known:
            raise ParamsError(f"{key}: {name!r} holds numbers other than 0 and 1, or -1 and 1")
        if name in same:
            raise ParamsError(f"{key}: {name!r} is the same for all training pictures of which it is known")
    return list(dict.fromkeys(wanted))


def fitted_on(
    logits: Tensor, val: ClassificationSplit, config: dict[str, Any], *, calibrate: bool
) -> dict[str, Any]:
    """What val decides, by its key in the config: temperatures, and the thresholds of attributes.

    `logits` [N, K + A] are those of its pictures, averaged over the views of the config.
    """
    classes, names = len(config["classes"]), attributes_of(config)
    classed = val.labels != UNCLASSED
    fitted: dict[str, Any] = {}
    if calibrate and classes and classed.any():
        fitted["temperature"] = fitted_temperature(
            logits[torch.from_numpy(classed)][:, :classes], val.labels[classed]
        )
    if names:
        targets = targets_of(val.attributes, names, len(val.labels))
        if calibrate:
            shared = fitted_binary_temperature(logits[:, classes:], targets)
            fitted["attribute_temperatures"] = [shared] * len(names)
        found = to_probabilities(logits, config | fitted).attributes.numpy()
        fitted["thresholds"] = best_thresholds(found, targets)
    return fitted


def check_pictures(settings: TrainClassifierParams, train: ClassificationSplit) -> None:
    """Refuse what does not go with the pictures, before any work is done.

    Raises:
        ParamsError: The network wants larger pictures, or an augmentation fails on them.

    """
    least = least_side(settings.network)
    height, width = train.images.shape[1:3]
    if min(height, width) < least:
        raise ParamsError(
            f"train-classifier.network.widths: so many stages need pictures of at least {least} px,"
            f" these have {height} x {width}; take fewer stages"
        )
    check_on(train.images[0], settings.augmentations, where="train-classifier.augmentations")


def classifier_config(
    settings: TrainClassifierParams, train: ClassificationSplit, attributes: list[str]
) -> dict[str, Any]:
    """What `build_classifier` builds the network from."""
    mean, std = channel_statistics(train.images)
    return {
        "classes": train.classes,
        "mean": mean,
        "std": std,
        "size": list(train.images.shape[1:3]),
        "network": settings.network.model_dump(),
        "views": settings.views,
        **({"attributes": attributes} if attributes else {}),
    }


def batches_of(
    train: ClassificationSplit, settings: TrainClassifierParams, seed: int, attributes: list[str]
) -> Batches:
    """The training pictures as the settings want them shown."""
    return build_batches(
        train,
        size=settings.batch_size,
        seed=seed,
        mirror=settings.mirror,
        shift=settings.shift,
        balanced=settings.balance == "sampler",
        transforms=settings.augmentations,
        attributes=attributes,
    )


def loss_for(train: ClassificationSplit, settings: TrainClassifierParams, compute: Compute) -> Loss:
    """What is minimised, as the settings want it."""
    weighted = settings.balance == "class-weights"
    return Loss(
        compute=compute,
        smoothing=settings.label_smoothing,
        weights=class_weights(train.labels, len(train.classes)) if weighted else None,
        attribute_weight=settings.attribute_weight,
    )
