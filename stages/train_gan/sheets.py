"""What a generator's training shows: the same latents time and again, ways between them, truncation, a film.

A sheet has a row a class; a column is one latent vector, so that it shows what the class changes.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stages.core.files import write_atomically
from stages.drawing.sheets import Picture, image_grid, save_png, scale_of
from stages.generator.network import Generator, draw_latents, render
from stages.networks.compute import Compute

LAST_FRAME = 2000  # milliseconds
TRUNCATIONS = (0.25, 0.5, 1.0, None)


class Frames:
    """Pictures of the same latents at several times of training; a part of the checkpoint."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, Tensor]] = []

    def add(self, at: int, pictures: Picture) -> None:
        """Keep pictures [N, H, W, C] of time `at`."""
        self._kept.append((at, torch.from_numpy(pictures)))

    def __iter__(self) -> Any:
        return ((at, pictures.numpy()) for at, pictures in self._kept)

    def state_dict(self) -> dict[str, Any]:
        """As a part of the checkpoint."""
        return {"kept": [[at, pictures] for at, pictures in self._kept]}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Have what the checkpoint had."""
        self._kept = [(at, pictures) for at, pictures in state["kept"]]


def draw_fixed(
    network: Generator, compute: Compute, *, columns: int, seed: int, truncation: float | None = None
) -> Picture:
    """Pictures [K * columns, H, W, C] of every class from the same latents."""
    latents = draw_latents(columns, network.latent, seed=seed, truncation=truncation)
    return draw_classes(network, latents, compute)


@torch.no_grad()
def draw_classes(network: Generator, latents: Tensor, compute: Compute) -> Picture:
    """Pictures [K * M, H, W, C] of every class from latents [M, Z]."""
    classes = len(network.config["classes"])
    device = network.embed.weight.device
    kinds = network.by_class(torch.arange(classes, device=device)).repeat_interleave(len(latents), dim=0)
    return render(network, latents.repeat(classes, 1), network.ask(kinds), compute)


def draw_ways(network: Generator, compute: Compute, *, columns: int, seed: int) -> Picture:
    """Pictures [K * columns, H, W, C]: in each class the way from one latent vector to another.

    On the sphere that latents lie about (White 2016, https://arxiv.org/abs/1609.04468).
    """
    start, end = draw_latents(2, network.latent, seed=seed)
    angle = torch.arccos(torch.cosine_similarity(start, end, dim=0))
    share = torch.linspace(0, 1, columns)[:, None]
    way = (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)
    return draw_classes(network, way, compute)


@torch.no_grad()
def draw_changes(network: Generator, compute: Compute, *, columns: int, seed: int) -> Picture:
    """Pictures [K * columns, H, W, C]: from each class to the next, the latent vector being the same."""
    classes = len(network.config["classes"])
    kinds = network.by_class(torch.arange(classes, device=network.embed.weight.device))  # [K, E]
    share = torch.linspace(0, 1, columns, device=kinds.device)[None, :, None]
    way = (1 - share) * kinds[:, None] + share * kinds.roll(-1, dims=0)[:, None]  # [K, columns, E]
    latents = draw_latents(1, network.latent, seed=seed).repeat(classes * columns, 1)
    return render(network, latents, network.ask(way.flatten(0, 1)), compute)


def write_sheets(
    folder: Path,
    network: Generator,
    compute: Compute,
    *,
    columns: int,
    seed: int,
    epochs: Frames,
    frames: Frames,
    milliseconds: int,
) -> None:
    """Fill `folder` with sheets as PNG and the film of training as WebP; the same pictures, the same bytes.

    `epochs` are pictures by epoch, `frames` those of the film, each shown so many milliseconds.
    """
    classes = network.config["classes"]

    def sheet(pictures: Picture) -> Image.Image:
        return image_grid(pictures, columns, scale=scale_of(pictures), rows=classes)

    for epoch, pictures in epochs:
        save_png(folder / f"epoch-{epoch:03d}.png", sheet(pictures))
    save_png(folder / "samples.png", sheet(draw_fixed(network, compute, columns=columns, seed=seed)))
    save_png(folder / "interpolation.png", sheet(draw_ways(network, compute, columns=columns, seed=seed)))
    changes = draw_changes(network, compute, columns=columns, seed=seed)
    save_png(folder / "class-to-class.png", sheet(changes))
    save_png(folder / "truncation.png", truncation_sheet(network, compute, columns=columns, seed=seed))
    film = [image_grid(pictures, columns, rows=classes, scale=1) for _, pictures in frames]
    save_film(folder / "training.webp", film, milliseconds=milliseconds)


def truncation_sheet(network: Generator, compute: Compute, *, columns: int, seed: int) -> Image.Image:
    """Blocks of a row a class: latents within +-.25, .5, 1, and all."""
    blocks, rows = [], []
    for truncation in TRUNCATIONS:
        blocks.append(draw_fixed(network, compute, columns=columns, seed=seed, truncation=truncation))
        rows += [f"{name} {truncation or 'all'}" for name in network.config["classes"]]
    pictures = np.concatenate(blocks)
    return image_grid(pictures, columns, rows=rows)


def save_film(path: Path, frames: Sequence[Image.Image], *, milliseconds: int) -> None:
    """Write an animated WebP without loss, atomically; the last frame stays, then it starts anew."""
    content = io.BytesIO()
    shown = [milliseconds] * (len(frames) - 1) + [LAST_FRAME]
    frames[0].save(
        content,
        format="WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=shown,
        loop=0,
        lossless=True,
        quality=50,  # of lossless: how hard it looks for fewer bytes
        method=3,
    )
    write_atomically(path, content.getvalue())
