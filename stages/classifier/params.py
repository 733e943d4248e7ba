"""What the classifier's networks need to be told, by name; `trunks` builds them.

simple-cnn  the textbook's: convolutions with pooling, a dense layer, dropout
compact     small and quick to train: pooling first, normalised, a grid of means for the large dense layer
resnet      torchvision's (He et al. 2015, https://arxiv.org/abs/1512.03385)
timm        any of timm's by its name there, where timm is installed
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from stages.core.params import StageParams, WeightsParams


class SimpleCnnParams(StageParams):
    """`model: simple-cnn`."""

    model: Literal["simple-cnn"]

    widths: list[PositiveInt] = Field(min_length=1, default=[32, 64, 128])
    """Channels of every convolution; each is followed by pooling, which halves the picture."""

    dense: int = Field(ge=1, default=128)
    """Width of the dense layer."""

    dropout: float = Field(ge=0, lt=1, default=0.5)
    """Share of the dense layer that each training step leaves out."""


class CompactParams(StageParams):
    """`model: compact`."""

    model: Literal["compact"]

    widths: list[Annotated[list[PositiveInt], Field(min_length=1)]] = Field(
        min_length=1, default=[[32], [64], [128]]
    )
    """Channels of every convolution, a list a stage; a stage halves the picture."""

    grid: int = Field(ge=1, default=3)
    """The last maps are averaged over so many fields each way."""

    features: int = Field(ge=1, default=128)
    """Width of the layer before the head."""


class ResNetParams(StageParams):
    """`model: resnet`."""

    model: Literal["resnet"]

    depth: Literal[18, 34, 50, 101, 152] = 18
    """Layers: ResNet-18, ResNet-34 and so on."""

    stem: Literal["imagenet", "small"] = "imagenet"
    """imagenet: reduces the picture to a quarter at once; small: leaves it so, for pictures under 64 px."""

    weights: WeightsParams | None = None
    """Pretrained ones of torchvision's layout; the head is always new."""


class TimmParams(StageParams):
    """`model: timm`."""

    model: Literal["timm"]

    name: str
    """timm's name of it, such as mobilenetv3_small_100."""

    weights: WeightsParams | None = None
    """Pretrained ones of timm's layout; the head is always new."""


NetworkParams = Annotated[
    SimpleCnnParams | CompactParams | ResNetParams | TimmParams, Field(discriminator="model")
]


def least_side(params: NetworkParams) -> int:
    """Pixels that a picture's shorter side needs, as far as can be told from the params."""
    return 2 ** len(params.widths) if isinstance(params, SimpleCnnParams | CompactParams) else 1
