"""Train a generator of pictures of a class asked for, against a discriminator.

In: the train split. Out: the averaged generator, its metrics and history, a sheet of every class; a
checkpoint until they are there.
Hinge loss (Lim & Ye 2017), spectral normalisation, class projection and an auxiliary classifier
(Odena et al. 2017); one step each per batch, on the same fakes. What is kept is a moving average of the
generator's weights (Yazici et al. 2019): sharper and steadier than the last ones.

How good its pictures are is for `evaluate` to say (data/metrics/evaluate.json): the figures of training only
tell whether the two keep up with each other.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F
from PIL.Image import Image
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from stages.checkpoints import save_model, write_json
from stages.command import run_stage
from stages.compute import Compute, prepare
from stages.datasets import ClassificationSplit, load_classification
from stages.errors import DataError
from stages.libraries import check_libraries
from stages.models.gan import Generator, build_discriminator, build_generator, draw_latents, generate, render
from stages.params import ComputeParams, StageParams, load_params
from stages.resume import Checkpoint, CheckpointParams, Course, Part, decisive
from stages.sheets import image_grid, save_png
from stages.tables import write_table
from stages.training import Progress, batch_count, finite, shuffled_batches

Figures = dict[str, Tensor]
"""Named scalars of one step, averaged over an epoch into a row of the history."""

SPREAD_SAMPLE = 1000  # pictures: enough for two digits, a second of work
DISCRIMINATOR_WINS = 0.99  # of real and of fake pictures told apart: the generator learns nothing from it
COLLAPSED = 0.3  # of the real pictures' spread within a class


class TrainGanParams(StageParams):
    """Section `train-gan`."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    latent: int = Field(ge=1)
    """Dimensions of the random vector: what varies within a class."""
    embedding: int = Field(ge=1)
    """Dimensions of the class, beside the random vector."""
    generator_width: int = Field(ge=1)
    """Channels at half resolution; twice as many at each halving."""
    discriminator_width: int = Field(ge=1)
    discriminator_hidden: int = Field(ge=1)
    """Dimensions that realness and class are read from."""
    generator_learning_rate: float = Field(gt=0)
    discriminator_learning_rate: float = Field(gt=0)
    beta1: float = Field(ge=0, lt=1)
    beta2: float = Field(ge=0, lt=1)
    """Adam's, of both networks."""
    class_weight: float = Field(ge=0)
    """Of the auxiliary classifier's cross-entropy beside the hinge loss."""
    average_decay: float = Field(ge=0, lt=1)
    """A step's part in the averaged generator is one minus this."""
    sheet_columns: int = Field(ge=1)
    """Pictures a class on the sheet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adversaries:
    """Both networks with what trains them."""

    generator: Generator
    discriminator: nn.Module
    averaged: AveragedModel
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer

    def parts(self) -> dict[str, Part]:
        """What a checkpoint keeps of them: all."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


def train_discriminator_step(
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    fakes: Tensor,
    labels: Tensor,
    *,
    class_weight: float,
) -> Figures:
    """One step on real pictures [N, C, H, W] and on fakes of the same `labels` [N].

    The classifier learns from real pictures alone: from fakes it would learn what the generator makes
    of a class.
    """
    realness, logits = discriminator(torch.cat([real, fakes.detach()]), labels.repeat(2))
    on_real, on_fakes = realness.chunk(2)
    hinge = F.relu(1 - on_real).mean() + F.relu(1 + on_fakes).mean()
    classification = F.cross_entropy(logits[: len(real)], labels)
    optimizer.zero_grad()
    torch.autograd.backward(hinge + class_weight * classification)
    optimizer.step()
    return {
        "d_loss": hinge.detach(),
        "d_class_loss": classification.detach(),
        "d_accuracy_real": (on_real > 0).float().mean(),
        "d_accuracy_fake": (on_fakes < 0).float().mean(),
    }


def train_generator_step(
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    fakes: Tensor,
    labels: Tensor,
    *,
    class_weight: float,
) -> Figures:
    """One step towards fakes [N, C, H, W], still tied to the generator, passing for real `labels` [N]."""
    with _frozen(discriminator):
        realness, logits = discriminator(fakes, labels)
    adversarial, classification = -realness.mean(), F.cross_entropy(logits, labels)
    optimizer.zero_grad()
    torch.autograd.backward(adversarial + class_weight * classification)
    optimizer.step()
    return {"g_loss": adversarial.detach(), "g_class_loss": classification.detach()}


def train_one_epoch(
    networks: Adversaries,
    images: Tensor,
    labels: Tensor,
    batches: Iterable[Tensor],
    *,
    params: TrainGanParams,
    compute: Compute,
    course: Course,
) -> dict[str, float]:
    """One pass over images uint8 [N, C, H, W] and labels [N] by `batches` of indices; the figures' means.

    Each step is noted in `course`.

    Raises:
        TrainingError: a loss is not finite.

    """
    for step, rows in enumerate(batches, start=course.step + 1):
        real = compute.images(images[rows].float().div_(127.5).sub_(1))  # 0..255 -> -1..1
        figures = _step(networks, real, labels[rows].to(compute.device), params, compute)
        course.figures.append(
            {name: finite(value, epoch=course.epoch, step=step) for name, value in figures.items()}
        )
    return {str(name): float(mean) for name, mean in pd.DataFrame(course.figures).mean().items()}


def _step(
    networks: Adversaries, real: Tensor, labels: Tensor, params: TrainGanParams, compute: Compute
) -> Figures:
    latents = torch.randn(len(real), params.latent).to(compute.device)
    with compute.autocast():
        fakes = networks.generator(latents, labels)
        judged = train_discriminator_step(
            networks.discriminator,
            networks.discriminator_optimizer,
            real,
            fakes,
            labels,
            class_weight=params.class_weight,
        )
        made = train_generator_step(
            networks.discriminator,
            networks.generator_optimizer,
            fakes,
            labels,
            class_weight=params.class_weight,
        )
    networks.averaged.update_parameters(networks.generator)
    return judged | made


def train(
    split: ClassificationSplit,
    params: TrainGanParams,
    compute: Compute,
    *,
    seed: int,
    checkpoint: Checkpoint,
) -> tuple[Generator, list[dict[str, float]]]:
    """The averaged generator and a row of figures per epoch.

    Raises:
        DataError: oblong pictures, or ones that cannot be halved.
        TrainingError: a loss is not finite.

    """
    height, width = split.images.shape[1:3]
    if height != width:
        raise DataError(
            f"pictures of {height}x{width}: the generator makes square ones; preprocess to a square"
        )
    networks, course = build_adversaries(split, params, compute), Course()
    averaged: Generator = networks.averaged.module  # type: ignore[assignment]  # Module to the stubs
    images = torch.tensor(split.images).permute(0, 3, 1, 2)  # [N, H, W, C] -> [N, C, H, W], channels last
    labels = torch.from_numpy(split.labels)
    steps = batch_count(len(images), params.batch_size)
    a_pass = min(len(images), steps * params.batch_size)  # pictures; what fills no batch waits its turn
    with checkpoint.keeping(course, **networks.parts()):
        progress = Progress(params.epochs, done=course.epoch - 1)
        while (epoch := course.epoch) <= params.epochs:
            done = course.step
            order = shuffled_batches(len(images), params.batch_size, seed=seed, epoch=epoch, done=done)
            batches = checkpoint.steps(progress.batches(order, total=steps, epoch=epoch, done=done))
            figures = train_one_epoch(
                networks, images, labels, batches, params=params, compute=compute, course=course
            )
            with checkpoint.interruptible():
                figures["spread"] = relative_spread(averaged, split, compute, seed=seed)
            progress.epoch_done(epoch, **figures)
            for warning in _warnings(figures):
                tqdm.write(f"epoch {epoch}: {warning}", file=sys.stderr)
            course.end_epoch({"epoch": epoch, "pictures_seen": epoch * a_pass, **figures})
    return averaged, course.history


def relative_spread(network: Generator, split: ClassificationSplit, compute: Compute, *, seed: int) -> float:
    """Mean distance between two pictures of a class, generated ones' over real ones'; 0 is collapse."""
    # Evenly from all of the split, which may be sorted by class.
    sample = np.linspace(0, len(split.images) - 1, min(SPREAD_SAMPLE, len(split.images))).astype(np.int64)
    labels = split.labels[sample]
    generated = generate(network, labels, seed=seed, compute=compute, batch_size=SPREAD_SAMPLE)
    # Real pictures that are all alike would divide by nought: one grey level at the least.
    return _spread(generated, labels) / max(_spread(split.images[sample], labels), 1.0)


def _spread(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> float:
    flat = torch.tensor(images).flatten(1).float()  # [N, H * W * C]
    distances = torch.cat([F.pdist(flat[labels == label]) for label in np.unique(labels)])
    return float(distances.sum() / max(len(distances), 1))


def draw_sheet(network: Generator, classes: list[str], compute: Compute, *, columns: int, seed: int) -> Image:
    """A row of pictures per class; a column is one latent vector, so that it shows what the class changes."""
    latents = draw_latents(columns, network.latent, seed=seed).repeat(len(classes), 1)
    labels = torch.arange(len(classes)).repeat_interleave(columns)
    return image_grid(render(network, latents, labels, compute), columns, scale=2, rows=classes)


def main(
    *, data: Path, params: Path, model: Path, metrics: Path, history: Path, sheet: Path, checkpoint: Path
) -> None:
    """Train a generator of pictures of a class asked for."""
    libraries = check_libraries(params)
    settings = load_params(params, "train-gan", TrainGanParams)
    compute_params = load_params(params, "compute", ComputeParams)
    seconds = load_params(params, "checkpoints", CheckpointParams).seconds
    compute, seed = prepare(compute_params), compute_params.seed
    split = load_classification(data, "train")
    key = decisive(data=data, params=[settings, compute_params], libraries=libraries, compute=compute)
    kept = Checkpoint(checkpoint, key=key, seconds=seconds)
    generator, rows = train(split, settings, compute, seed=seed, checkpoint=kept)
    save_model(model, generator, kind="generator", config=generator.config)
    write_json(metrics, {name: value for name, value in rows[-1].items() if name != "epoch"})
    write_table(history, rows)
    save_png(sheet, draw_sheet(generator, split.classes, compute, columns=settings.sheet_columns, seed=seed))
    kept.remove()


def _warnings(figures: dict[str, float]) -> Iterator[str]:
    if min(figures["d_accuracy_real"], figures["d_accuracy_fake"]) > DISCRIMINATOR_WINS:
        yield "the discriminator wins outright: lower train-gan.discriminator_learning_rate"
    if figures["spread"] < COLLAPSED:
        yield "pictures of a class hardly differ (collapse): lower train-gan.class_weight or train longer"


def build_adversaries(split: ClassificationSplit, params: TrainGanParams, compute: Compute) -> Adversaries:
    """Fresh networks for the split's pictures and classes, on the device."""
    pictures = {
        "size": split.images.shape[1],
        "channels": split.images.shape[3],
        "classes": len(split.classes),
    }
    generator = build_generator(
        pictures | {"latent": params.latent, "embedding": params.embedding, "width": params.generator_width}
    )
    discriminator = build_discriminator(
        pictures | {"width": params.discriminator_width, "hidden": params.discriminator_hidden}
    )
    for network in (generator, discriminator):
        compute.network(network)
    averaging = get_ema_multi_avg_fn(params.average_decay)  # type: ignore[no-untyped-call]
    betas = (params.beta1, params.beta2)
    return Adversaries(
        generator=generator,
        discriminator=discriminator,
        averaged=AveragedModel(generator, multi_avg_fn=averaging, use_buffers=True),
        generator_optimizer=torch.optim.Adam(
            generator.parameters(), params.generator_learning_rate, betas, fused=True
        ),
        discriminator_optimizer=torch.optim.Adam(
            discriminator.parameters(), params.discriminator_learning_rate, betas, fused=True
        ),
    )


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for the network's weights: a third of its backward pass saved."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


if __name__ == "__main__":
    run_stage(main)
