"""A generator of pictures of a class asked for, and the discriminator that trains it.

Both are convolutional and small: nothing is convolved at full resolution, which is where a processor
without an accelerator spends its time. The generator's last layer makes every 2x2 block of pixels at
once (pixel shuffle, Shi et al. 2016); the discriminator's first layer strides over them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stages.checkpoints import load_model
from stages.compute import Compute
from stages.errors import DataError

COARSEST = 8
"""Pictures are halved until they are this small or odd: 28 -> 14 -> 7, 64 -> 32 -> 16 -> 8."""


class Generator(nn.Module):
    """Latent vector and embedded class, together the vector that the picture grows from."""

    def __init__(
        self, *, size: int, channels: int, classes: int, latent: int, embedding: int, width: int
    ) -> None:
        super().__init__()
        self.config = {
            "size": size,
            "channels": channels,
            "classes": classes,
            "latent": latent,
            "embedding": embedding,
            "width": width,
        }
        base, doublings = coarsest(size)
        self.latent = latent
        self.embed = nn.Embedding(classes, embedding)
        wide = width * 2 ** (doublings - 1)
        layers: list[nn.Module] = [
            nn.Linear(latent + embedding, wide * base * base, bias=False),
            nn.Unflatten(1, (wide, base, base)),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
        ]
        for level in reversed(range(doublings - 1)):
            inputs, outputs = width * 2 ** (level + 1), width * 2**level
            layers += [
                nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.Conv2d(width, 4 * channels, kernel_size=3, padding=1), nn.PixelShuffle(2), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents [N, Z] and labels int64 [N] -> pictures [N, C, H, W] in -1..1."""
        images: Tensor = self.layers(torch.cat([latents, self.embed(labels)], dim=1))  # [N, Z + E] in
        return images.float()


class Discriminator(nn.Module):
    """Is it real, given its class (projection, Miyato & Koyama 2018); and which class it is.

    Spectral normalisation (Miyato et al. 2018) keeps every layer's slope at 1.
    """

    def __init__(self, *, size: int, channels: int, classes: int, width: int, hidden: int) -> None:
        super().__init__()
        base, halvings = coarsest(size)
        layers: list[nn.Module] = []
        inputs, outputs = channels, width
        for level in range(halvings):
            outputs = width * 2**level
            layers += [
                spectral_norm(nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1)),
                nn.LeakyReLU(0.2),
            ]
            inputs = outputs
        layers += [nn.Flatten(), spectral_norm(nn.Linear(outputs * base * base, hidden)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.real = spectral_norm(nn.Linear(hidden, 1))
        self.project = spectral_norm(nn.Embedding(classes, hidden))
        self.classify = nn.Linear(hidden, classes)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images [N, C, H, W] in -1..1, labels int64 [N] -> realness [N], class logits [N, classes]."""
        features: Tensor = self.layers(images)  # [N, hidden]
        realness = self.real(features).squeeze(1) + (self.project(labels) * features).sum(dim=1)  # [N]
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
    """A generator from `size`, `channels`, `classes`, `latent`, `embedding` and `width`."""
    return Generator(**config)


def build_discriminator(config: dict[str, Any]) -> Discriminator:
    """A discriminator from `size`, `channels`, `classes`, `width` and `hidden`."""
    return Discriminator(**config)


def load_generator(path: Path) -> Generator:
    """The generator that train-gan wrote, in evaluation mode.

    Raises:
        ModelError: no such file, or no generator.

    """
    return load_model(path, kind="generator", build=build_generator)


def draw_latents(number: int, dimensions: int, *, seed: int) -> Tensor:
    """Standard normal latents [number, dimensions], the same for the same seed on any device."""
    return torch.randn(number, dimensions, generator=torch.Generator().manual_seed(seed))


def generate(
    network: Generator, labels: npt.NDArray[np.int64], *, seed: int, compute: Compute, batch_size: int
) -> npt.NDArray[np.uint8]:
    """Pictures uint8 [N, H, W, C] of the classes `labels` int64 [N].

    Latents are drawn for all of them at once: a picture depends on the seed and on its row.
    """
    latents = torch.split(draw_latents(len(labels), network.latent, seed=seed), batch_size)
    chosen = torch.split(torch.from_numpy(labels), batch_size)
    return np.concatenate([render(network, z, y, compute) for z, y in zip(latents, chosen, strict=True)])


@torch.inference_mode()
def render(network: Generator, latents: Tensor, labels: Tensor, compute: Compute) -> npt.NDArray[np.uint8]:
    """Pictures uint8 [N, H, W, C] of latents [N, Z] and labels int64 [N]; the network is left as it was."""
    training = network.training
    network.to(compute.device).eval()
    with compute.autocast():
        images = network(latents.to(compute.device), labels.to(compute.device))  # [N, C, H, W] in -1..1
    network.train(training)
    pixels: npt.NDArray[np.uint8] = (
        ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    )
    return pixels
