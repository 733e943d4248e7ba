"""A small convolutional classifier, and how it is asked: logits, features, feature maps, predictions.

Built from its config alone, so that a model file needs no other key:
    classes   ["T-shirt/top", ...]
    mean, std one of each per colour channel, of the training pictures in 0..1
    widths    [[32], [64], [128]]: channels of every convolution, a list a stage; a stage halves the picture
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


class Classifier(nn.Module):
    """Stages of convolutions, the mean over what is left of the picture, and a linear head.

    The pictures' height and width are free, from 2 ** stages upwards.
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
        self.head = nn.Linear(inputs, len(config["classes"]))

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
        logits: Tensor = self.head(_pool(maps))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """The layer before the head, [N, D], of images [N, C, H, W] in 0..1."""
        return _pool(self.feature_maps(images, len(self.stages)))

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
    network: Classifier, images: npt.NDArray[np.uint8], *, compute: Compute, batch_size: int
) -> Tensor:
    """Probabilities [N, K], float32 on the CPU, of pictures uint8 [N, H, W, C].

    Averages the logits over as many views of each picture as the network's config says. `network` is on
    `compute`'s device, in evaluation mode.
    """
    logits = []
    for start in range(0, len(images), batch_size):
        batch = compute.images(to_unit(images[start : start + batch_size]))
        with compute.autocast():
            views = [network(view).float() for view in _views(batch, network.config["views"])]
        logits.append(torch.stack(views).mean(dim=0).cpu())
    return torch.cat(logits).softmax(dim=1)


def _views(images: Tensor, count: int) -> list[Tensor]:
    """The pictures; their mirror images; both shifted up-left and down-right, as many as `count`."""
    mirrored = [images, images.flip(-1)]
    height, width = images.shape[-2:]
    padded = [F.pad(view, [SHIFT] * 4, mode="replicate") for view in mirrored]
    shifted = [view[..., at : at + height, at : at + width] for at in (0, 2 * SHIFT) for view in padded]
    return [*mirrored, *shifted][:count]


def _pool(maps: Tensor) -> Tensor:
    return maps.mean(dim=(2, 3))  # [N, D, h, w] -> [N, D]


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
