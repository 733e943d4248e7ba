"""The classifier's networks: what makes features of pictures, built from what `params` says of each."""

import importlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet

from stages.classifier.params import CompactParams, NetworkParams, ResNetParams, SimpleCnnParams, TimmParams
from stages.core.errors import ParamsError


@dataclass(frozen=True, kw_only=True, slots=True)
class Trunk:
    """A network without its head."""

    stages: list[nn.Module]
    """One after the other: images [N, C, H, W] to feature maps [N, D, h, w]."""

    neck: nn.Module
    """The last maps to features [N, F]."""

    features: int
    """F."""


def build_trunk(params: NetworkParams, *, channels: int, size: list[int]) -> Trunk:
    """A fresh one for pictures of so many `channels` and of `size` (height and width in pixels).

    Raises:
        ParamsError: The package timm is not installed, or does not know the name.

    """
    match params:
        case SimpleCnnParams():
            return _simple_cnn(params, channels, size)
        case CompactParams():
            return _compact(params, channels)
        case ResNetParams():
            return _resnet(params, channels)
        case TimmParams():
            return _timm(params, channels)


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


def _simple_cnn(params: SimpleCnnParams, channels: int, size: list[int]) -> Trunk:
    inputs = [channels, *params.widths]
    stages = [
        nn.Sequential(nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        for before, width in zip(inputs, params.widths, strict=False)
    ]
    height, width = (side >> len(params.widths) for side in size)
    neck = nn.Sequential(
        nn.Flatten(),  # [N, D, h, w] -> [N, D * h * w]
        nn.Linear(params.widths[-1] * height * width, params.dense),
        nn.ReLU(inplace=True),
        nn.Dropout(params.dropout),
    )
    return Trunk(stages=[*stages], neck=neck, features=params.dense)


def _compact(params: CompactParams, channels: int) -> Trunk:
    stages: list[nn.Module] = []
    inputs = channels
    for widths in params.widths:
        stages.append(_compact_stage(inputs, widths))
        inputs = widths[-1]
    neck = nn.Sequential(
        GridMeans(params.grid),
        nn.Flatten(),  # [N, D, g, g] -> [N, D * g * g]
        nn.Linear(inputs * params.grid**2, params.features, bias=False),
        nn.BatchNorm1d(params.features),
        nn.ReLU(),
    )
    return Trunk(stages=stages, neck=neck, features=params.features)


def _compact_stage(inputs: int, widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, width in enumerate(widths):
        layers.append(nn.Conv2d(inputs, width, 3, padding=1, bias=False))
        if index == 0:
            # Pooling before the normalisation: both work on a quarter of the pixels from here on.
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        inputs = width
    return nn.Sequential(*layers)


def _resnet(params: ResNetParams, channels: int) -> Trunk:
    network: resnet.ResNet = getattr(resnet, f"resnet{params.depth}")()
    if params.stem == "small":
        network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    elif channels != network.conv1.in_channels:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    layers = [network.layer1, network.layer2, network.layer3, network.layer4]
    neck = nn.Sequential(GridMeans(1), nn.Flatten())
    return Trunk(stages=[stem, *layers], neck=neck, features=network.fc.in_features)


class _TimmMaps(nn.Module):
    """A timm network up to its last maps, channels first; of a transformer, tokens [N, T, D]."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.network.forward_features(images)
        return maps.permute(0, 3, 1, 2) if self.channels_last else maps


class _TimmNeck(nn.Module):
    """The part of timm's network between its feature maps and its head."""

    def __init__(self, maps: _TimmMaps) -> None:
        super().__init__()
        self._maps = (maps,)  # in a tuple: its weights are counted where they are, not twice

    def forward(self, maps: Tensor) -> Tensor:
        (stem,) = self._maps
        features: Tensor = stem.network.forward_head(
            maps.permute(0, 2, 3, 1) if stem.channels_last else maps, pre_logits=True
        )
        return features


def _timm(params: TimmParams, channels: int) -> Trunk:
    try:
        timm = importlib.import_module("timm")  # by name: the project stands without it
    except ImportError:
        raise ParamsError(
            "train-classifier.network.model: timm is not installed; `pip install timm`, or take another model"
        ) from None
    try:
        network = timm.create_model(params.name, in_chans=channels, num_classes=0)
    except RuntimeError as error:
        raise ParamsError(f"train-classifier.network.name: {params.name!r}: {error}") from None
    maps = _TimmMaps(network)
    features = getattr(network, "head_hidden_size", None) or network.num_features
    return Trunk(stages=[maps], neck=_TimmNeck(maps), features=features)
