"""What a trained generator would draw in the missing part: the latent that explains the rest is sought.

R. Yeh et al. 2017, "Semantic image inpainting with deep generative models", https://arxiv.org/abs/1607.07539,
with a distance in place of their context and prior losses: what is drawn must be like the known part, and its
latent vector no longer than those that the generator was trained with.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.core.errors import DataError
from stages.generator.network import Generator, draw_latents

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

STARTS = 64
"""Latent vectors of each class that are tried before any is improved."""
KEPT = 6
"""How many of all these are improved."""
STEPS = 200
RATE = 0.05
PRIOR = 1e-3
"""Weight of the mean square of the latent vector's numbers, beside the mean square of the pixels' errors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inversion:
    """What the generator draws that is most like the known part of a picture."""

    picture: Picture
    """[H, W, C]: all of it, the known part too."""
    label: str
    """The class that it was asked for."""
    error: float
    """The mean square of the differences in the known part, pixels on a scale of -1 to 1."""


def inverted(network: Generator, picture: Picture, missing: Mask, *, seed: int) -> Inversion:
    """What the generator draws that is most like a picture [H, W, C] where it is not `missing` [H, W].

    Every class is tried. The same seed gives the same picture.

    Raises:
        DataError: The picture has another size or other channels than those that the generator draws.

    """
    size, channels = network.config["size"], network.config["channels"]
    if picture.shape != (size, size, channels):
        height, width, own = picture.shape
        raise DataError(
            f"a picture of {width} x {height} px and {own} channels: the generator draws {size} x {size} px "
            f"and {channels} channels; fill it by telea or navier-stokes"
        )
    network = network.eval().requires_grad_(requires_grad=False)
    target = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1  # [1, C, H, W]
    known = torch.from_numpy(~missing)[None, None].float()
    classes = network.config["classes"]
    first = draw_latents(STARTS, network.latent, seed=seed)
    kinds = network.by_class(torch.arange(len(classes)))
    asked = network.ask(kinds)

    def errors(latents: Tensor, wanted: Tensor) -> Tensor:
        differences = (network(latents, wanted) - target) * known
        squares: Tensor = differences.square().sum(dim=(1, 2, 3)) / (known.sum() * channels)
        return squares

    with torch.no_grad():
        tried = torch.cat([errors(first, one.expand(STARTS, -1)) for one in asked])
    best = tried.argsort()[:KEPT]
    labels = best // STARTS
    latents = first[best % STARTS].clone().requires_grad_()
    optimizer = torch.optim.Adam([latents], lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = errors(latents, asked[labels]) + PRIOR * latents.square().mean(dim=1)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        found = errors(latents, asked[labels])
        place = int(found.argmin())
        image = network(latents[place : place + 1], asked[labels][place : place + 1])[0]
    drawn = ((image + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return Inversion(picture=drawn, label=classes[int(labels[place])], error=float(found[place]))
