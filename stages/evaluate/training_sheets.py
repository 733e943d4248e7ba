"""What training looked like: pictures as the networks were shown them, the generator's own on its way.

The trainers leave arrays, so that a new font or a wider sheet trains nothing again. A sheet of the generator
has a row a class; a column is one latent vector, so that it shows what the class changes.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stages.classifier.network import Classifier
from stages.core.files import write_atomically
from stages.detector.network import Detector
from stages.drawing.sheets import SMALL_SIDE, Picture, draw_boxes, first_of, image_grid, save_png, scale_to
from stages.evaluate.drawing import PICTURE_SIDE
from stages.generator.network import Generator, draw_classes, draw_fixed, draw_latents, render
from stages.networks.compute import Compute
from stages.training.samples import ClassifierSamples, DetectorSamples, GeneratorSamples

SCENE_SIDE = 240  # pixels that a small picture with boxes is enlarged to, about
LAST_FRAME = 2000  # milliseconds
TRUNCATIONS = (0.25, 0.5, 1.0, None)


def write_classifier_sheet(folder: Path, samples: ClassifierSamples, network: Classifier) -> None:
    """train-classifier.png, a row a class: a picture as it is, and as it was shown in the epochs after."""
    classes = network.config["classes"]
    rows, columns, _, width, _ = samples.pictures.shape
    sheet = image_grid(
        samples.pictures.reshape(rows * columns, *samples.pictures.shape[2:]),
        columns,
        scale=scale_to(PICTURE_SIDE, width),
        rows=[classes[label] if classes else f"picture {label + 1}" for label in samples.labels],
        note=first_of(classes),
        title="Training pictures: as they are (left), and as the classifier was shown them in later epochs",
    )
    save_png(folder / "train-classifier.png", sheet)


def write_detector_sheet(folder: Path, samples: DetectorSamples, network: Detector) -> None:
    """train-detector.png, a row a picture with its boxes: a column as it is, the others as it was shown."""
    classes = network.config["classes"]
    rows, columns, _, width, _ = samples.pictures.shape
    ends = np.cumsum(samples.box_counts)[:-1]
    boxes = np.split(samples.boxes, ends)
    labels = np.split(samples.labels, ends)
    pictures = samples.pictures.reshape(rows * columns, *samples.pictures.shape[2:])
    drawn = [
        draw_boxes(picture, box, [classes[row] for row in label], label, scale_to(SCENE_SIDE, width))
        for picture, box, label in zip(pictures, boxes, labels, strict=True)
    ]
    titles = ["as it is", *["as shown"] * (columns - 1)] * rows
    sheet = image_grid(
        [np.asarray(picture) for picture in drawn],
        columns,
        titles,
        title="Training pictures with their boxes: as they are, and as the detector was shown them",
    )
    save_png(folder / "train-detector.png", sheet)


def write_generator_sheets(
    folder: Path,
    samples: GeneratorSamples,
    network: Generator,
    compute: Compute,
    *,
    seed: int,
    milliseconds: int,
) -> None:
    """Fill `folder` with sheets as PNG and the film of training as WebP; the same pictures, the same bytes.

    `milliseconds` is how long each frame of the film is shown.
    """
    classes = network.config["classes"]
    columns = samples.step_pictures.shape[1] // len(classes)

    def save(name: str, pictures: Picture, title: str) -> None:
        scale = scale_to(SMALL_SIDE, pictures.shape[2])
        save_png(folder / name, image_grid(pictures, columns, scale=scale, rows=classes, title=title))

    for epoch, pictures in zip(samples.epochs, samples.epoch_pictures, strict=True):
        save(f"epoch-{epoch:03d}.png", pictures, f"Generated after epoch {epoch}: a row for each class")
    fixed = draw_fixed(network, compute, columns=columns, seed=seed)
    save("samples.png", fixed, "Generated after the training: a row for each class")
    ways = draw_ways(network, compute, columns=columns, seed=seed)
    save("interpolation.png", ways, "Generated, from one random vector (left) to another (right)")
    changes = draw_changes(network, compute, columns=columns, seed=seed)
    save("class-to-class.png", changes, "Generated, from each class (left) to the next (right)")
    save_png(folder / "truncation.png", truncation_sheet(network, compute, columns=columns, seed=seed))
    film = [image_grid(pictures, columns, rows=classes, scale=1) for pictures in samples.step_pictures]
    save_film(folder / "training.webp", film, milliseconds=milliseconds)


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


def truncation_sheet(network: Generator, compute: Compute, *, columns: int, seed: int) -> Image.Image:
    """Blocks of a row a class: latents within +-.25, .5, 1, and all."""
    blocks, rows = [], []
    for truncation in TRUNCATIONS:
        blocks.append(draw_fixed(network, compute, columns=columns, seed=seed, truncation=truncation))
        rows += [f"{name} {truncation or 'all'}" for name in network.config["classes"]]
    pictures = np.concatenate(blocks)
    title = "Generated of random vectors whose numbers lie within the bound beside the class"
    return image_grid(pictures, columns, rows=rows, title=title)


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
