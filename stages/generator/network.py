"""A generator that makes pictures of what it is asked for, and the discriminator that trains it.

Both are small convolutional networks. Nothing is convolved at full resolution, which would take most of the
time on a processor without an accelerator. The generator's last layer makes every 2x2 block of pixels at once
(pixel shuffle, Shi et al. 2016); the discriminator's first layer has a stride over such blocks.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stages.core.errors import DataError
from stages.networks.compute import Compute
from stages.networks.model_files import load_model

COARSEST = 8
"""Pictures are halved until they are this small or odd: 28 -> 14 -> 7, 64 -> 32 -> 16 -> 8."""


class Generator(nn.Module):
    """Makes a picture from a random vector and a request.

    The request is a class or a text, both encoded into the same dimensions, and numbers. Its
    config:
        size, channels   of the pictures
        classes          their names
        latent           dimensions of the random vector
        condition        dimensions that a class, or a text, is encoded into
        width            channels at half resolution; twice as many at each halving
        text             null, or the text encoder's config with the `dimensions` of its vectors and, where
                         params.yaml has some, `names` by class
        attributes       null, or `names`, `mean` and `std` of the numbers
    """

    def __init__(
        self,
        *,
        size: int,
        channels: int,
        classes: list[str],
        latent: int,
        condition: int,
        width: int,
        text: dict[str, Any] | None,
        attributes: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "size": size,
            "channels": channels,
            "classes": classes,
            "latent": latent,
            "condition": condition,
            "width": width,
            "text": text,
            "attributes": attributes,
        }
        self.latent = latent
        self.numbers = 2 * len(attributes["names"]) if attributes else 0
        self.embed = nn.Embedding(len(classes), condition)
        self.read = nn.Linear(text["dimensions"], condition) if text else None
        self.layers = _growing(latent + condition + self.numbers, size, channels, width)

    def by_class(self, labels: Tensor) -> Tensor:
        """Labels int64 [N] encoded: [N, E]."""
        return _on_sphere(self.embed(labels))

    def by_text(self, vectors: Tensor) -> Tensor:
        """Vectors [N, D] of the text encoder encoded: [N, E].

        Raises:
            DataError: The generator was trained without text.

        """
        if self.read is None:
            raise DataError(
                "the generator was trained without text: ask for a class, or train it with train-gan.text"
            )
        return _on_sphere(self.read(vectors))

    def ask(self, kinds: Tensor, numbers: Tensor | None = None) -> Tensor:
        """What is asked for, [N, E + 2 A], of a class or text [N, E] and of numbers [N, 2 A], or of none."""
        if numbers is None:
            numbers = kinds.new_zeros(len(kinds), self.numbers)
        return torch.cat([kinds, numbers], dim=1)

    def forward(self, latents: Tensor, asked: Tensor) -> Tensor:
        """Latents [N, Z] and what `ask` gives [N, E + 2 A] -> pictures [N, C, H, W] in -1..1."""
        images: Tensor = self.layers(torch.cat([latents, asked], dim=1))
        return images.float()


def _growing(inputs: int, size: int, channels: int, width: int) -> nn.Sequential:
    """Layers from a vector [N, inputs] to a picture."""
    base, doublings = coarsest(size)
    wide = width * 2 ** (doublings - 1)
    layers: list[nn.Module] = [
        nn.Linear(inputs, wide * base * base, bias=False),
        nn.Unflatten(1, (wide, base, base)),
        nn.BatchNorm2d(wide),
        nn.ReLU(inplace=True),
    ]
    for level in reversed(range(doublings - 1)):
        outputs = width * 2**level
        layers += [
            nn.ConvTranspose2d(2 * outputs, outputs, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    layers += [nn.Conv2d(width, 4 * channels, kernel_size=3, padding=1), nn.PixelShuffle(2), nn.Tanh()]
    return nn.Sequential(*layers)


def _on_sphere(vectors: Tensor) -> Tensor:
    """Vectors [N, E] brought to length sqrt(E): a text that is only near a known one says it as loudly."""
    return F.normalize(vectors.float(), dim=1) * math.sqrt(vectors.shape[1])


class Discriminator(nn.Module):
    """Says how real a picture is, given what it shall be, and its class (projection: Miyato & Koyama 2018).

    Spectral normalisation (Miyato et al. 2018), where it is wanted, keeps every layer's slope at 1.
    `given` counts the numbers that are known of a picture beside its class.
    """

    def __init__(
        self,
        *,
        size: int,
        channels: int,
        classes: int,
        width: int,
        hidden: int,
        given: int = 0,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        normed = spectral_norm if spectral else nn.Identity()
        base, halvings = coarsest(size)
        layers: list[nn.Module] = []
        inputs, outputs = channels, width
        for level in range(halvings):
            outputs = width * 2**level
            layers += [
                normed(nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1)),
                nn.LeakyReLU(0.2),
            ]
            inputs = outputs
        layers += [nn.Flatten(), normed(nn.Linear(outputs * base * base, hidden)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.real = normed(nn.Linear(hidden, 1))
        self.project = normed(nn.Embedding(classes, hidden))
        self.project_given = normed(nn.Linear(given, hidden, bias=False)) if given else None
        self.classify = nn.Linear(hidden, classes)

    def forward(self, images: Tensor, labels: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Say how real each picture looks, and which class it shows.

        Images [N, C, H, W] in -1..1, labels int64 [N], given [N, G] -> realness [N], class logits [N, K].
        """
        features: Tensor = self.layers(images)  # [N, hidden]
        wanted = self.project(labels)  # [N, hidden]
        if self.project_given is not None:
            wanted = wanted + self.project_given(given)
        realness = self.real(features).squeeze(1) + (wanted * features).sum(dim=1)  # [N]
        return realness.float(), self.classify(features).float()


def coarsest(size: int) -> tuple[int, int]:
    """Side of the smallest feature map for pictures of side `size`, and how often it is doubled.

    Raises:
        DataError: `size` is odd, so that it cannot be halved even once.

    """
    if size % 2:
        raise DataError(f"pictures of side {size}: the generator doubles; preprocess to an even side")
    halvings = 1
    while (size >> halvings) > COARSEST and (size >> halvings) % 2 == 0:
        halvings += 1
    return size >> halvings, halvings


def build_generator(config: dict[str, Any]) -> Generator:
    """Build a generator from the config whose keys its docstring names."""
    return Generator(**config)


def build_discriminator(config: dict[str, Any]) -> Discriminator:
    """Build a discriminator from the arguments of its `__init__`; those with defaults may be missing."""
    return Discriminator(**config)


def load_generator(path: Path) -> Generator:
    """The generator that train-gan wrote, in evaluation mode.

    Raises:
        ModelError: The file is missing, or holds no generator.

    """
    return load_model(path, kind="generator", build=build_generator)


def draw_latents(number: int, dimensions: int, *, seed: int, truncation: float | None = None) -> Tensor:
    """Standard normal latents [number, dimensions], the same for the same seed on any device.

    `truncation`: numbers beyond +-that are not drawn: more typical pictures, and fewer kinds of them
    (Brock et al. 2018, https://arxiv.org/abs/1809.11096).
    """
    draw = torch.Generator().manual_seed(seed)
    if truncation is None:
        return torch.randn(number, dimensions, generator=draw)
    latents = torch.empty(number, dimensions)
    return nn.init.trunc_normal_(latents, a=-truncation, b=truncation, generator=draw)


@torch.no_grad()
def generate(
    network: Generator,
    labels: npt.NDArray[np.int64],
    *,
    seed: int,
    compute: Compute,
    batch_size: int,
    truncation: float | None = None,
) -> npt.NDArray[np.uint8]:
    """Pictures uint8 [N, H, W, C] of the classes `labels` int64 [N].

    Latents are drawn for all of them at once: a picture depends on the seed and on its row.
    """
    kinds = network.by_class(torch.from_numpy(labels).to(network.embed.weight.device))
    latents = torch.split(
        draw_latents(len(labels), network.latent, seed=seed, truncation=truncation), batch_size
    )
    asked = torch.split(network.ask(kinds), batch_size)
    return np.concatenate([render(network, z, c, compute) for z, c in zip(latents, asked, strict=True)])


def draw_fixed(
    network: Generator, compute: Compute, *, columns: int, seed: int, truncation: float | None = None
) -> npt.NDArray[np.uint8]:
    """Pictures [K * columns, H, W, C] of every class from the same latents."""
    latents = draw_latents(columns, network.latent, seed=seed, truncation=truncation)
    return draw_classes(network, latents, compute)


@torch.no_grad()
def draw_classes(network: Generator, latents: Tensor, compute: Compute) -> npt.NDArray[np.uint8]:
    """Pictures [K * M, H, W, C] of every class from latents [M, Z]."""
    classes = len(network.config["classes"])
    device = network.embed.weight.device
    kinds = network.by_class(torch.arange(classes, device=device)).repeat_interleave(len(latents), dim=0)
    return render(network, latents.repeat(classes, 1), network.ask(kinds), compute)


@torch.inference_mode()
def render(network: Generator, latents: Tensor, asked: Tensor, compute: Compute) -> npt.NDArray[np.uint8]:
    """Pictures uint8 [N, H, W, C] of latents [N, Z] and what is asked for [N, E + 2 A].

    The network is left as it was.
    """
    training = network.training
    network.to(compute.device).eval()
    with compute.autocast():
        images = network(latents.to(compute.device), asked.to(compute.device))  # [N, C, H, W] in -1..1
    network.train(training)
    pixels: npt.NDArray[np.uint8] = (
        ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    )
    return pixels
