"""The classifier, and how it is asked: logits, features, feature maps, predictions.

Built from its config alone, so that a model file needs no other key:
    classes   ["T-shirt/top", ...]; none where pictures have attributes alone
    attributes   ["smiling", ...], of which a picture has any number; none where it is missing
    mean, std one of each per colour channel, of the training pictures in 0..1
    size      height and width of the training pictures
    network   section `network` of the params: which, and how large
    views     how many views of a picture `predict` averages over: 1, 2 or 6
    temperature  what logits are divided by before they become probabilities; 1 where it is missing
    attribute_temperatures, thresholds  of each attribute: what its logit is divided by, and the probability
              from which on a picture counts as having it; 1 and 0.5 where they are missing
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from torch import Tensor, nn

from stages.classifier.params import NetworkParams
from stages.classifier.trunks import build_trunk
from stages.core.errors import ModelError
from stages.networks.compute import Compute, to_unit
from stages.networks.model_files import load_model

SHIFT = 1  # pixels of the shifted views: as much as the training's own shifts do not distort


class Classifier(nn.Module):
    """Stages that make feature maps, a neck that makes features of the last ones, linear heads.

    One head is for the K classes, of which a picture has one, another for the A attributes, where there are
    any.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.tensor(config["mean"]).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(1, -1, 1, 1), persistent=False)
        params: NetworkParams = TypeAdapter(NetworkParams).validate_python(config["network"])
        trunk = build_trunk(params, channels=len(config["mean"]), size=config["size"])
        self.stages = nn.ModuleList(trunk.stages)
        self.features_of = trunk.neck
        classes, attributes = len(config["classes"]), len(attributes_of(config))
        if classes:
            self.head = nn.Linear(trunk.features, classes)
        if attributes:
            self.attribute_head = nn.Linear(trunk.features, attributes)
        self.heads = ("head",) * bool(classes) + ("attribute_head",) * bool(attributes)

    def feature_maps(self, images: Tensor, stages: int = 1) -> Tensor:
        """What the first `stages` stages make of images [N, C, H, W] in 0..1: [N, D, h, w]."""
        maps = (images - self.mean) / self.std
        for stage in self.stages[:stages]:
            maps = stage(maps)
        return maps

    def logits_of(self, maps: Tensor, stages: int | None = None) -> Tensor:
        """Logits [N, K + A] of feature maps [N, D, h, w] after `stages` stages, or after all."""
        for stage in self.stages[len(self.stages) if stages is None else stages :]:
            maps = stage(maps)
        features = self.features_of(maps)
        logits: list[Tensor] = [getattr(self, name)(features) for name in self.heads]
        return logits[0] if len(logits) == 1 else torch.cat(logits, dim=1)

    def features(self, images: Tensor) -> Tensor:
        """The layer before the head, [N, F], of images [N, C, H, W] in 0..1."""
        features: Tensor = self.features_of(self.feature_maps(images, len(self.stages)))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, K + A] of images [N, C, H, W] in 0..1: of the classes, then of the attributes."""
        return self.logits_of(self.feature_maps(images, len(self.stages)))


def attributes_of(config: dict[str, Any]) -> list[str]:
    """The names of the attributes that a classifier of this config tells."""
    return list(config.get("attributes", []))


def thresholds_of(config: dict[str, Any]) -> list[float]:
    """The least probability [A] at which a picture counts as having each attribute."""
    return list(config.get("thresholds", [0.5] * len(attributes_of(config))))


def build_classifier(config: dict[str, Any]) -> Classifier:
    """A fresh classifier; the module's docstring names the config's keys."""
    return Classifier(config)


def load_classifier(path: Path) -> Classifier:
    """The trained classifier at `path`, in evaluation mode, on the CPU.

    Raises:
        ModelError: The file is missing, or holds no classifier.

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

    They are those of the classes alone, as `ask` gives them.

    Raises:
        ModelError: A logit is not finite.

    """
    return ask(network, images, compute=compute, batch_size=batch_size, views=views).classes


@dataclass(frozen=True, kw_only=True, slots=True)
class Probabilities:
    """What a classifier says of N pictures; float32, on the CPU."""

    classes: Tensor
    """[N, K]: each row sums to 1."""
    attributes: Tensor
    """[N, A]: each by itself."""


@torch.inference_mode()
def ask(
    network: Classifier,
    images: npt.NDArray[np.uint8],
    *,
    compute: Compute,
    batch_size: int = 500,
    views: int | None = None,
) -> Probabilities:
    """Probabilities of the classes and the attributes of pictures uint8 [N, H, W, C].

    They are those of `mean_logits`, divided by the temperatures of the network's config.

    Raises:
        ModelError: A logit is not finite.

    """
    logits = mean_logits(network, images, compute=compute, batch_size=batch_size, views=views)
    return to_probabilities(logits, network.config)


def to_probabilities(logits: Tensor, config: dict[str, Any]) -> Probabilities:
    """The probabilities of logits [N, K + A] by the temperatures of a network's config."""
    classes = len(config["classes"])
    temperature: float = config.get("temperature", 1.0)
    temperatures = logits.new_tensor(config.get("attribute_temperatures", [1.0] * len(attributes_of(config))))
    return Probabilities(
        classes=(logits[:, :classes] / temperature).softmax(dim=1),
        attributes=(logits[:, classes:] / temperatures).sigmoid(),
    )


@torch.inference_mode()
def mean_logits(
    network: Classifier,
    images: npt.NDArray[np.uint8],
    *,
    compute: Compute,
    batch_size: int = 500,
    views: int | None = None,
) -> Tensor:
    """Logits [N, K + A], float32 on the CPU, of pictures uint8 [N, H, W, C].

    Averages them over `views` views of each picture, or as many as the network's config says. `network` is on
    `compute`'s device, in evaluation mode.

    Raises:
        ModelError: A logit is not finite.

    """
    count = network.config["views"] if views is None else views
    logits = []
    for start in range(0, len(images), batch_size):
        batch = to_unit(images[start : start + batch_size])
        with compute.autocast():
            seen = [network(compute.images(view)).float() for view in views_of(batch, count)]
        logits.append(torch.stack(seen).mean(dim=0).cpu())
    found = torch.cat(logits)
    if not (finite := found.isfinite().all(dim=1)).all():
        raise ModelError(
            f"the classifier's logits are not finite for {int((~finite).sum())} of {len(found)} pictures, "
            f"first for number {int((~finite).nonzero()[0])}; train it again, or set compute.precision to "
            "float32"
        )
    return found


def views_of(images: Tensor, count: int) -> list[Tensor]:
    """The pictures; their mirror images; both shifted up-left and down-right, as many as `count`."""
    mirrored = [images, images.flip(-1)]
    height, width = images.shape[-2:]
    padded = [F.pad(view, [SHIFT] * 4, mode="replicate") for view in mirrored]
    shifted = [
        view[..., edge : edge + height, edge : edge + width] for edge in (0, 2 * SHIFT) for view in padded
    ]
    return [*mirrored, *shifted][:count]


@torch.inference_mode()
def features_of(
    network: Classifier, images: npt.NDArray[np.uint8], compute: Compute, batch_size: int
) -> npt.NDArray[np.float32]:
    """The layer before the classifier's head, float32 [N, F], of pictures uint8 [N, H, W, C].

    `network` is on `compute`'s device, in evaluation mode.
    """
    features: list[Tensor] = []
    for batch in torch.split(to_unit(images), batch_size):
        with compute.autocast():
            features.append(network.features(compute.images(batch)).float().cpu())
    stacked: npt.NDArray[np.float32] = torch.cat(features).numpy()
    return stacked
