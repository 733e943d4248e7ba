"""A small convolutional classifier, and how it is asked: logits, features, feature maps, predictions.

Built from its config alone, so that a model file needs no other key:
    classes   ["T-shirt/top", ...]
    mean, std one of each per colour channel, of the training pictures in 0..1
    widths    [[32], [64], [128]]: channels of every convolution, a list a stage; a stage halves the picture
    grid      3: the last maps are averaged over 3 x 3 fields, whatever their size
    features  128: width of the layer before the head
    views     how many views of a picture `predict` averages over: 1, 2 or 6
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stages.checkpoints import load_model
from stages.compute import Compute
from stages.datasets import to_unit

SHIFT = 1  # pixels of the shifted views: as much as the training's own shifts do not distort


class GridMeans(nn.Module):
    """Maps [N, D, h, w] to means over a grid of fields, [N, D, size, size], as matrix products.

    The values are nn.AdaptiveAvgPool2d's, whose backward pass on CUDA has no form with a fixed order.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, maps: Tensor) -> Tensor:
        """Fields next to each other share a row where the height is no multiple of the size."""
        down, across = (self._weights(cells, maps) for cells in maps.shape[-2:])
        return down @ maps @ across.T

    def _weights(self, cells: int, like: Tensor) -> Tensor:
        """How much each of the map's `cells` counts in each field: [size, cells]."""
        fields = torch.arange(self.size, device=like.device)[:, None]
        cell = torch.arange(cells, device=like.device)
        first, end = fields * cells // self.size, -(-(fields + 1) * cells // self.size)
        within = ((first <= cell) & (cell < end)).to(like.dtype)
        return within / within.sum(dim=1, keepdim=True)


class Classifier(nn.Module):
    """Stages of convolutions, a grid of means over what is left of the picture, two linear layers.

    The pictures' height and width are free, from 2 ** stages upwards. A grid rather than one mean: where
    things stand tells much in pictures taken alike, and training gets there in fewer epochs.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.tensor(config["mean"]).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(1, -1, 1, 1), persistent=False)
        inputs = len(config["mean"])
        self.stages = nn.ModuleList()
        for widths in config["widths"]:
            self.stages.append(_stage(inputs, widths))
            inputs = widths[-1]
        self.features_of = nn.Sequential(
            GridMeans(config["grid"]),
            nn.Flatten(),  # [N, D, g, g] -> [N, D * g * g]
            nn.Linear(inputs * config["grid"] ** 2, config["features"], bias=False),
            nn.BatchNorm1d(config["features"]),
            nn.ReLU(),
        )
        self.head = nn.Linear(config["features"], len(config["classes"]))

    def feature_maps(self, images: Tensor, stages: int = 1) -> Tensor:
        """What the first `stages` stages make of images [N, C, H, W] in 0..1.

        [N, D, h, w]: h and w are H and W halved `stages` times, rounded down. D is the last width.
        """
        maps = (images - self.mean) / self.std
        for stage in self.stages[:stages]:
            maps = stage(maps)
        return maps

    def logits_of(self, maps: Tensor) -> Tensor:
        """Logits [N, K] of the last stage's feature maps [N, D, h, w]: what Grad-CAM differentiates."""
        logits: Tensor = self.head(self.features_of(maps))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """The layer before the head, [N, F], of images [N, C, H, W] in 0..1."""
        features: Tensor = self.features_of(self.feature_maps(images, len(self.stages)))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, K] of images [N, C, H, W] in 0..1."""
        return self.logits_of(self.feature_maps(images, len(self.stages)))


def build_classifier(config: dict[str, Any]) -> Classifier:
    """A fresh classifier; the module's docstring names the config's keys."""
    return Classifier(config)


def load_classifier(path: Path) -> Classifier:
    """The trained classifier at `path`, in evaluation mode, on the CPU.

    Raises:
        ModelError: no such file, or no classifier in it.

    """
    return load_model(path, kind="classifier", build=build_classifier)


@torch.inference_mode()
def predict(
    network: Classifier,
    images: npt.NDArray[np.uint8],
    *,
    compute: Compute,
    batch_size: int = 500,
    views: int | None = None,
) -> Tensor:
    """Probabilities [N, K], float32 on the CPU, of pictures uint8 [N, H, W, C].

    Averages the logits over `views` views of each picture, or as many as the network's config says.
    `network` is on `compute`'s device, in evaluation mode.
    """
    count = network.config["views"] if views is None else views
    logits = []
    for start in range(0, len(images), batch_size):
        batch = to_unit(images[start : start + batch_size])
        with compute.autocast():
            seen = [network(compute.images(view)).float() for view in _views(batch, count)]
        logits.append(torch.stack(seen).mean(dim=0).cpu())
    return torch.cat(logits).softmax(dim=1)


def _views(images: Tensor, count: int) -> list[Tensor]:
    """The pictures; their mirror images; both shifted up-left and down-right, as many as `count`."""
    mirrored = [images, images.flip(-1)]
    height, width = images.shape[-2:]
    padded = [F.pad(view, [SHIFT] * 4, mode="replicate") for view in mirrored]
    shifted = [view[..., at : at + height, at : at + width] for at in (0, 2 * SHIFT) for view in padded]
    return [*mirrored, *shifted][:count]


def _stage(inputs: int, widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, width in enumerate(widths):
        layers.append(nn.Conv2d(inputs, width, 3, padding=1, bias=False))
        if index == 0:
            # Pooling before the normalisation: both work on a quarter of the pixels from here on.
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        inputs = width
    return nn.Sequential(*layers)
