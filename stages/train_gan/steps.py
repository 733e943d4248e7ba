"""The generator and the discriminator, and one step of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stages.core.packed import ClassificationSplit
from stages.generator.network import Discriminator, Generator, build_discriminator, build_generator
from stages.networks.compute import Compute
from stages.train_gan.losses import change, discriminator_loss, generator_loss, slope_penalty
from stages.train_gan.material import Batch, Material
from stages.train_gan.params import TrainGanParams
from stages.training.optimization import Learner, build_learner
from stages.training.state import Part

Figures = dict[str, Tensor]
"""Named scalars of one step, averaged over an epoch into a row of the history."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adversaries:
    """Generator and discriminator, each with what trains it."""

    generator: Learner[Generator]
    discriminator: Learner[Discriminator]

    def parts(self) -> dict[str, Part]:
        """What a checkpoint keeps of them: all."""
        return {**self.generator.parts("generator_"), **self.discriminator.parts("discriminator_")}


def train_discriminator_step(
    networks: Adversaries, batch: Batch, fakes: Tensor, params: TrainGanParams, compute: Compute, *, step: int
) -> Figures:
    """One step on real pictures and on fakes [B, C, H, W] in their place.

    The classifier learns from real pictures alone: from fakes it would learn what the generator makes
    of a class.
    """
    discriminator = networks.discriminator.network
    real, fakes = change(batch.real, params.augment), change(fakes.detach(), params.augment)
    with compute.autocast():
        realness, logits = discriminator(
            torch.cat([real, fakes]), batch.labels.repeat(2), batch.given.repeat(2, 1)
        )
    on_real, on_fakes = realness.chunk(2)
    adversarial = discriminator_loss(params.loss, on_real, on_fakes)
    classification = F.cross_entropy(logits[: len(real)], batch.labels)
    loss = adversarial + params.class_weight * classification

    def judge(images: Tensor) -> Tensor:
        realness: Tensor = discriminator(images, batch.labels, batch.given)[0]
        return realness

    penalty = slope_penalty(params.loss, judge, real, fakes, step=step)
    networks.discriminator.step(loss if penalty is None else loss + penalty)
    return {
        "d_loss": adversarial.detach(),
        "d_class_loss": classification.detach(),
        "d_accuracy_real": (on_real > 0).float().mean(),
        "d_accuracy_fake": (on_fakes < 0).float().mean(),
    }


def train_generator_step(
    networks: Adversaries, batch: Batch, fakes: Tensor, params: TrainGanParams, compute: Compute
) -> Figures:
    """One step towards fakes [B, C, H, W], still tied to the generator, passing for what was asked for."""
    discriminator = networks.discriminator.network
    with _frozen(discriminator), compute.autocast():
        realness, logits = discriminator(change(fakes, params.augment), batch.labels, batch.given)
    adversarial = generator_loss(params.loss, realness)
    classification = F.cross_entropy(logits, batch.labels)
    loss = adversarial + params.class_weight * classification
    figures = {"g_loss": adversarial.detach(), "g_class_loss": classification.detach()}
    if batch.texts is not None:
        reading = reading_loss(networks.generator.network, batch)
        loss, figures["g_text_loss"] = loss + reading, reading.detach()
    networks.generator.step(loss)
    return figures


def reading_loss(generator: Generator, batch: Batch) -> Tensor:
    """How far what is read from captions made of class names is from the class: they tell no more than it.

    Were pictures asked for by them, the many ways to name a class would take the place of the latents'.
    """
    assert batch.texts is not None
    aim = generator.by_class(batch.labels).detach()  # [B, E]
    distance = (generator.by_text(batch.texts) - aim).square().mean(dim=1)
    return torch.where(batch.own, 0.0, distance).mean()


def make_fakes(generator: Generator, batch: Batch, compute: Compute) -> Tensor:
    """A picture in place of each real one, [B, C, H, W] in -1..1, from fresh latents."""
    latents = torch.randn(len(batch.real), generator.latent).to(compute.device)
    with compute.autocast():
        kinds = generator.by_class(batch.labels)
        if batch.texts is not None and batch.by_text.any():
            kinds = torch.where(batch.by_text, generator.by_text(batch.texts), kinds)
        fakes: Tensor = generator(latents, generator.ask(kinds, batch.numbers))
    return fakes


def build_adversaries(
    split: ClassificationSplit,
    params: TrainGanParams,
    compute: Compute,
    material: Material,
    scale: dict[str, Any] | None,
    *,
    steps: int,
) -> Adversaries:
    """Fresh networks for the split's pictures and classes, on the device, to be trained for so many steps."""
    pictures = {"size": split.images.shape[1], "channels": split.images.shape[3]}
    captions = material.captions
    text = None
    given = material.numbers.shape[1]
    if captions is not None:
        text = captions.config
        given += captions.encoder.dimensions if captions.own is not None else 0
    generator = build_generator(
        {
            **pictures,
            "classes": split.classes,
            "latent": params.latent,
            "condition": params.condition,
            "width": params.generator_width,
            "text": text,
            "attributes": scale,
        }
    )
    discriminator = build_discriminator(
        {
            **pictures,
            "classes": len(split.classes),
            "width": params.discriminator_width,
            "hidden": params.discriminator_hidden,
            "given": given,
            "spectral": params.spectral_norm,
        }
    )
    for network in (generator, discriminator):
        compute.network(network)
    return Adversaries(
        generator=build_learner(
            generator,
            optimizer=params.descent.generator,
            schedule=params.schedule,
            steps=max(1, steps // params.discriminator_steps),
            average_decay=params.average_decay,
            fused=True,
        ),
        discriminator=build_learner(
            discriminator,
            optimizer=params.descent.discriminator,
            schedule=params.schedule,
            steps=steps,
            fused=True,
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
