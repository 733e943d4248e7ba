"""What makes feature maps of pictures for the detectors: a body, and a pyramid of its maps.

K. He et al. 2015, "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385;
T.-Y. Lin et al. 2016, "Feature Pyramid Networks for Object Detection", https://arxiv.org/abs/1612.03144.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import assert_never

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet

from stages.core.errors import ParamsError
from stages.detector.params import BackboneParams, ResidualParams, ResNetBackboneParams

FIRST_STRIDE = 4


def convolution(width_in: int, width_out: int, kernel: int, stride: int) -> nn.Sequential:
    """A convolution and its normalisation."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width_out),
    )


class _Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut, halving the resolution where `stride` is 2."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(width_in, width_out, 3, stride)
        self.second = convolution(width_out, width_out, 3, 1)
        plain = width_in == width_out and stride == 1
        self.shortcut = nn.Identity() if plain else convolution(width_in, width_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.second(F.relu(self.first(x)))
        return F.relu(residual + self.shortcut(x))


def _residual(params: ResidualParams, channels: int) -> tuple[nn.Module, list[nn.Module], list[int]]:
    stem = nn.Sequential(convolution(channels, params.widths[0], 3, 2), nn.ReLU())
    stages: list[nn.Module] = [
        nn.Sequential(
            _Residual(narrow, wide, stride=2), *(_Residual(wide, wide, stride=1) for _ in range(blocks - 1))
        )
        for (narrow, wide), blocks in zip(pairwise(params.widths), params.blocks, strict=True)
    ]
    return stem, stages, params.widths[1:]


def _resnet(params: ResNetBackboneParams, channels: int) -> tuple[nn.Module, list[nn.Module], list[int]]:
    network: resnet.ResNet = getattr(resnet, f"resnet{params.depth}")()
    if channels != network.conv1.in_channels:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    stages = [network.layer1, network.layer2, network.layer3, network.layer4][: params.stages]
    expansion = network.layer1[0].expansion
    return stem, stages, [width * expansion for width in (64, 128, 256, 512)[: params.stages]]


def _body(params: BackboneParams, channels: int) -> tuple[nn.Module, list[nn.Module], list[int]]:
    """The stem, the stages after it, and how many channels each stage gives."""
    match params:
        case ResidualParams():
            return _residual(params, channels)
        case ResNetBackboneParams():
            return _resnet(params, channels)
        case _:
            assert_never(params)


class Backbone(nn.Module):
    """Pictures [N, C, H, W] to a map [N, F, H/s, W/s] of each stride s that was asked for.

    A coarse map is enough to find items; telling them apart asks for a fine one.
    """

    def __init__(self, channels: int, params: BackboneParams, features: int, strides: Sequence[int]) -> None:
        """`strides` are the maps'.

        Raises:
            ParamsError: The body has no map of one of the strides.

        """
        super().__init__()
        self.stem, stages, widths = _body(params, channels)
        self.stages = nn.ModuleList(stages)
        self.strides = [FIRST_STRIDE << number for number in range(len(stages))]
        if absent := [stride for stride in strides if stride not in self.strides]:
            raise ParamsError(
                f"train-detector.network: no map of stride {absent[0]}: the backbone's {len(stages)} stages "
                f"have {', '.join(map(str, self.strides))}; add a stage or take one of these"
            )
        # What lies under the finest map asked for is not merged.
        self.finest = self.strides.index(min(strides))
        self.laterals = nn.ModuleList(nn.Conv2d(width, features, 1) for width in widths[self.finest :])
        # The topmost map is a sum of one: its readers' first layer can scale it.
        normalised = [stride for stride in strides if stride != self.strides[-1]]
        self.normalise = nn.ModuleDict(
            {str(stride): nn.Sequential(nn.BatchNorm2d(features), nn.ReLU()) for stride in normalised}
        )
        self.asked = sorted(strides)
        self.out_channels = features

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps by stride, the finest first: to each stage's map the coarser ones are added."""
        x, maps = self.stem(images), []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number >= self.finest:
                maps.append(self.laterals[number - self.finest](x))
        merged = {str(self.strides[-1]): maps.pop()}
        above = merged[str(self.strides[-1])]
        for stride in reversed(self.strides[self.finest : -1]):
            fine = maps.pop()
            above = fine + F.interpolate(above, size=fine.shape[-2:])
            merged[str(stride)] = above
        return {
            str(stride): self.normalise[str(stride)](merged[str(stride)])
            if str(stride) in self.normalise
            else merged[str(stride)]
            for stride in self.asked
        }
