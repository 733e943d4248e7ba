"""Train a generator of pictures of what is asked for, against a discriminator.

In: the train split, with captions and numbers where the data has them. Out: the averaged generator, its
metrics and history, pictures of the same latents on its way, which `evaluate` draws; a checkpoint until they
are there.
By default hinge loss, spectral normalisation, class projection and an auxiliary classifier (Odena et al.
2017); one step each per batch, on the same fakes. Pictures with captions of their own are asked for by them
or by class, the others by class alone, and captions made of class names are learned to mean the class;
numbers are told for half of the pictures, so that they may be left open. What is kept is a moving average of
the generator's weights (Yazici et al. 2019): sharper and steadier than the last ones.

How good its pictures are is for `evaluate` to say (data/metrics/evaluate.json): the figures of training only
tell whether the two keep up with each other. Training that fails gives no generator.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F
from tqdm import tqdm

from stages.core.errors import DataError
from stages.core.files import write_json
from stages.core.libraries import check_libraries
from stages.core.packed import ClassificationSplit, load_classification
from stages.core.params import ComputeParams, load_params
from stages.core.tables import write_table
from stages.generator.network import Generator, draw_fixed, generate
from stages.networks.compute import Compute, prepare
from stages.networks.model_files import save_model
from stages.train_gan.failures import fail, recall, troubles
from stages.train_gan.frames import Frames, frame_steps, samples_of
from stages.train_gan.losses import WassersteinParams
from stages.train_gan.material import Batch, draw_batch, material_of
from stages.train_gan.params import TrainGanParams
from stages.train_gan.steps import (
    Adversaries,
    build_adversaries,
    make_fakes,
    train_discriminator_step,
    train_generator_step,
)
from stages.training.checkpoint import Checkpoint, CheckpointParams, Course, decisive
from stages.training.loop import Progress, batch_count, finite, shuffled_batches
from stages.training.samples import write_samples

SAMPLE = 1000  # pictures, for spread and recall: enough for two digits, a second of work


def train_one_epoch(
    networks: Adversaries,
    batches: Iterable[Batch],
    *,
    params: TrainGanParams,
    compute: Compute,
    course: Course,
    done: int,
) -> Iterator[int]:
    """One pass over the batches, `done` steps into the training; yields the number of each step, from 1.

    Each step is noted in `course`.

    Raises:
        TrainingError: a loss is not finite.

    """
    for number, batch in enumerate(batches, start=course.step + 1):
        step = done + number
        fakes = make_fakes(networks.generator, batch, compute)
        figures = train_discriminator_step(networks, batch, fakes, params, compute, step=step)
        if step % params.discriminator_steps == 0:
            figures |= train_generator_step(networks, batch, fakes, params, compute)
        course.figures.append(
            {name: finite(value, epoch=course.epoch, step=number) for name, value in figures.items()}
        )
        yield step


def train(
    split: ClassificationSplit,
    params: TrainGanParams,
    compute: Compute,
    *,
    seed: int,
    checkpoint: Checkpoint,
) -> "Trained":
    """The averaged generator, a row of figures per epoch, and what its pictures looked like on the way.

    Raises:
        DataError: oblong pictures, or ones that cannot be halved.
        ParamsError: text or attributes that the data does not have.
        TrainingError: a loss is not finite, the discriminator wins outright, or the generator collapsed.

    """
    height, width = split.images.shape[1:3]
    if height != width:
        raise DataError(
            f"pictures of {height}x{width}: the generator makes square ones; preprocess to a square"
        )
    material, scale = material_of(split, params)
    networks, course = build_adversaries(split, params, compute, material, scale), Course()
    averaged: Generator = networks.averaged.module  # type: ignore[assignment]  # Module to the stubs
    epochs, frames = Frames(), Frames()
    steps = batch_count(len(split.images), params.batch_size)
    film = frame_steps(params.epochs * steps, params.film_frames)
    a_pass = min(len(split.images), steps * params.batch_size)  # pictures; what fills no batch waits its turn
    with checkpoint.keeping(course, **networks.parts(), sheets=epochs, film=frames):
        progress = Progress(params.epochs, done=course.epoch - 1)
        while (epoch := course.epoch) <= params.epochs:
            done = course.step
            order = shuffled_batches(len(split.images), params.batch_size, seed=seed, epoch=epoch, done=done)
            rows = checkpoint.steps(progress.batches(order, total=steps, epoch=epoch, done=done))
            batches = (draw_batch(material, chosen, params, compute) for chosen in rows)
            stepping = train_one_epoch(
                networks, batches, params=params, compute=compute, course=course, done=(epoch - 1) * steps
            )
            for step in stepping:
                if step in film:
                    frames.add(step, draw_fixed(averaged, compute, columns=params.sheet_columns, seed=seed))
            with checkpoint.interruptible():
                figures, said = judge_epoch(averaged, split, course, params, compute, seed=seed)
                shown = draw_fixed(averaged, compute, columns=params.sheet_columns, seed=seed)
            if epoch % params.sheet_every == 0:
                epochs.add(epoch, shown)
            progress.epoch_done(epoch, **{name: one for name, one in figures.items() if name != "troubles"})
            for trouble in said:
                tqdm.write(f"epoch {epoch}, {trouble}", file=sys.stderr)
            course.end_epoch({"epoch": epoch, "pictures_seen": epoch * a_pass, **figures})
            fail(course.history, said, params.failure, epochs=params.epochs)
    return Trained(generator=averaged, history=course.history, epochs=epochs, frames=frames)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What training ends with."""

    generator: Generator
    """The averaged one."""
    history: list[dict[str, float]]
    """A row an epoch."""
    epochs: Frames
    """Pictures of the same latents after some of the epochs."""
    frames: Frames
    """Those of the film."""


def judge_epoch(
    network: Generator,
    split: ClassificationSplit,
    course: Course,
    params: TrainGanParams,
    compute: Compute,
    *,
    seed: int,
) -> tuple[dict[str, float], list[str]]:
    """The means of the epoch's figures, spread and recall of the generator; what is wrong, in words."""
    figures = {str(name): float(mean) for name, mean in pd.DataFrame(course.figures).mean().items()}
    # Evenly from all of the split, which may be sorted by class.
    sample = np.linspace(0, len(split.images) - 1, min(SAMPLE, len(split.images))).astype(np.int64)
    real, labels = split.images[sample], split.labels[sample]
    generated = generate(network, labels, seed=seed, compute=compute, batch_size=SAMPLE)
    figures["spread"] = relative_spread(real, generated, labels)
    figures["recall"] = recall(real, generated)
    wins = not isinstance(params.loss, WassersteinParams)  # a critic may tell all apart: its slope is bounded
    young = course.epoch <= min(params.failure.grace, params.epochs - 1)
    said = list(troubles(course.figures, figures["recall"], params.failure, wins=wins, young=young))
    return {**figures, "troubles": len(said)}, said


def relative_spread(
    real: npt.NDArray[np.uint8], generated: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]
) -> float:
    """Mean distance between two pictures of a class, generated ones' over real ones'."""
    # Real pictures that are all alike would divide by nought: one grey level at the least.
    return _spread(generated, labels) / max(_spread(real, labels), 1.0)


def _spread(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> float:
    flat = torch.tensor(images).flatten(1).float()  # [N, H * W * C]
    distances = torch.cat([F.pdist(flat[labels == label]) for label in np.unique(labels)])
    return float(distances.sum() / max(len(distances), 1))


def main(
    *, data: Path, params: Path, model: Path, metrics: Path, history: Path, samples: Path, checkpoint: Path
) -> None:
    """Train a generator of pictures of what is asked for."""
    libraries = check_libraries(params)
    settings = load_params(params, "train-gan", TrainGanParams)
    compute_params = load_params(params, "compute", ComputeParams)
    seconds = load_params(params, "checkpoints", CheckpointParams).seconds
    compute, seed = prepare(compute_params), compute_params.seed
    split = load_classification(data, "train")
    key = decisive(data=data, params=[settings, compute_params], libraries=libraries, compute=compute)
    kept = Checkpoint(checkpoint, key=key, seconds=seconds)
    trained = train(split, settings, compute, seed=seed, checkpoint=kept)
    write_samples(samples, samples_of(trained.epochs, trained.frames))
    save_model(model, trained.generator, kind="generator", config=trained.generator.config)
    write_json(metrics, {name: value for name, value in trained.history[-1].items() if name != "epoch"})
    write_table(history, trained.history)
    kept.remove()
