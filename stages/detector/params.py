"""The detectors by name, and what each needs to be told.

faster-rcnn  a network proposes boxes, heads name and mend them (Ren et al. 2015, arXiv:1506.01497)
fast-rcnn    the same heads on proposals that are given (Girshick 2015, arXiv:1504.08083)
r-cnn        each proposal cropped, scaled and classified by itself (Girshick et al. 2014, arXiv:1311.2524)
ssd          classes and boxes of every anchor at once (Liu et al. 2016, arXiv:1512.02325)
"""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, TypeAdapter, model_validator

from stages.classifier.params import NetworkParams
from stages.core.params import StageParams, WeightsParams


class ResidualParams(StageParams):
    """`backbone: {model: residual}`: small, for training from scratch."""

    model: Literal["residual"]

    widths: list[PositiveInt] = Field(min_length=3, max_length=5, default=[32, 64, 96])
    """Channels after the stem (stride 2) and after each residual stage (strides 4, 8, ...)."""

    blocks: list[PositiveInt] = Field(default=[2, 1])
    """Residual blocks of each stage."""

    @model_validator(mode="after")
    def _one_for_each_stage(self) -> "ResidualParams":
        if len(self.blocks) != len(self.widths) - 1:
            raise ValueError(
                f"{len(self.blocks)} numbers in `blocks` for {len(self.widths) - 1} stages: the first of "
                "`widths` is the stem's"
            )
        return self


class ResNetBackboneParams(StageParams):
    """`backbone: {model: resnet}`: torchvision's, for which there are pretrained weights."""

    model: Literal["resnet"]

    depth: Literal[18, 34, 50] = 18
    """Layers: ResNet-18, ResNet-34 or ResNet-50."""

    stages: int = Field(ge=2, le=4, default=3)
    """How many of its four are taken (strides 4, 8, 16, 32)."""


BackboneParams = Annotated[ResidualParams | ResNetBackboneParams, Field(discriminator="model")]


class FittedParams(StageParams):
    """Replaces a list of anchor values: as many as asked for, fitted to the training boxes by k-means.

    In params.yaml also `auto`, for which train-detector puts a number.
    """

    fitted: int = Field(ge=1)
    """How many values."""


Stride = Literal[4, 8, 16, 32]


class RegionsParams(StageParams):
    """`proposals: {source: regions}`: the boxes of stable regions and, of too few, a grid of windows."""

    source: Literal["regions"]

    count: int = Field(ge=1)
    """Proposals a picture."""


class TrainedProposalsParams(WeightsParams):
    """`proposals: {source: detector}`: those of a trained faster-rcnn's proposal network."""

    source: Literal["detector"]

    count: int = Field(ge=1)
    """Proposals a picture."""


class FileProposalsParams(WeightsParams):
    """`proposals: {source: file}`: JSON, {train, val, test}, each COCO's results: image_id and bbox.

    Pictures that are in none of the splits get those of `regions`.
    """

    source: Literal["file"]

    count: int = Field(ge=1)
    """Proposals a picture: the first ones, or those with the best `score` where they have one."""


ProposalsParams = Annotated[
    RegionsParams | TrainedProposalsParams | FileProposalsParams, Field(discriminator="source")
]


class FreshClassifierParams(StageParams):
    """`classifier: {source: fresh}`."""

    source: Literal["fresh"]

    network: NetworkParams
    """The network, as in section `train-classifier`."""

    crop: list[PositiveInt] = Field(min_length=2, max_length=2)
    """Height and width that a proposal is scaled to, in pixels."""


class TrainedClassifierParams(WeightsParams):
    """`classifier: {source: trained}`: what train-classifier wrote; `frozen` says how much of it stays."""

    source: Literal["trained"]


CropClassifierParams = Annotated[
    FreshClassifierParams | TrainedClassifierParams, Field(discriminator="source")
]


class DetectionsParams(StageParams):
    """What every detector is told of its detections."""

    score_min: float = Field(ge=0, lt=1, default=0.02)
    """Detections with lower scores are dropped."""

    overlap_max: float = Field(gt=0, le=1, default=0.5)
    """If two detections of one class overlap more than this (IoU), the weaker is dropped."""

    detections_max: int = Field(ge=1, default=20)
    """Detections kept a picture."""


class HeadsParams(DetectionsParams):
    """Detectors whose heads look at proposals."""

    roi_batch: int = Field(ge=1, default=16)
    """Proposals a picture in the heads' loss."""

    roi_positive: float = Field(gt=0, le=1, default=0.75)
    """Share of the proposals in the heads' loss that may be items."""


class PooledParams(HeadsParams):
    """Detectors that pool a proposal's features from a map of the whole picture."""

    backbone: BackboneParams = Field(default_factory=lambda: ResidualParams(model="residual"))

    features: int = Field(ge=8, default=64)
    """Channels of the feature maps that proposals and heads read."""

    roi_stride: Stride = 4
    """Stride in pixels of the map that the heads read."""

    roi_size: int = Field(ge=2, multiple_of=2, default=6)
    """Side of the grid that a proposal's features are pooled to."""

    roi_width: int = Field(ge=1, default=192)
    """Width of the heads' layer on patches of 2 x 2 of its cells."""

    roi_hidden: int = Field(ge=1, default=256)
    """Width of the heads' layer on all of them."""


class FasterRcnnParams(PooledParams):
    """`model: faster-rcnn`."""

    model: Literal["faster-rcnn"]

    rpn_stride: Stride = 8
    """Stride in pixels of the map that proposals are made from."""

    anchor_sizes: list[PositiveFloat] | FittedParams = Field(default_factory=lambda: FittedParams(fitted=3))
    """Sides of the square anchors, in pixels."""

    anchor_ratios: list[PositiveFloat] | FittedParams = Field(default=[0.5, 1.0, 2.0])
    """Height over width."""

    proposal_candidates: int = Field(ge=1, default=120)
    """The likeliest boxes of a picture, many an item's, that go into non-maximum suppression."""

    proposal_overlap_max: float = Field(gt=0, le=1, default=0.7)
    """If two candidates overlap more than this (IoU), the less likely is dropped."""

    proposals_train: int = Field(ge=1, default=60)
    """Proposals kept a picture of what is left."""

    proposals_test: int = Field(ge=1, default=40)
    """Proposals kept a picture once the network is trained."""

    rpn_batch: int = Field(ge=1, default=64)
    """Anchors a picture in the proposals' loss."""


class FastRcnnParams(PooledParams):
    """`model: fast-rcnn`."""

    model: Literal["fast-rcnn"]

    proposals: ProposalsParams


class RCnnParams(HeadsParams):
    """`model: r-cnn`."""

    model: Literal["r-cnn"]

    proposals: ProposalsParams

    classifier: CropClassifierParams
    """What each proposal goes through, without its head."""


class SsdParams(DetectionsParams):
    """`model: ssd`."""

    model: Literal["ssd"]

    backbone: BackboneParams

    features: int = Field(ge=8)
    """Channels of the feature maps."""

    strides: list[Stride] = Field(min_length=1)
    """Strides in pixels of the maps that have anchors, in rising order."""

    anchor_sizes: list[PositiveFloat] | FittedParams
    """Sides of the square anchors, in pixels: the smallest are those of the first map, and so on."""

    anchor_ratios: list[PositiveFloat] | FittedParams
    """Height over width."""

    candidates: int = Field(ge=1)
    """Detections of a class and picture that go into non-maximum suppression."""


AnyDetectorParams = FasterRcnnParams | FastRcnnParams | RCnnParams | SsdParams

DetectorParams = Annotated[AnyDetectorParams, Field(discriminator="model")]

_ADAPTER: TypeAdapter[AnyDetectorParams] = TypeAdapter(DetectorParams)


def network_params(dumped: dict[str, Any]) -> AnyDetectorParams:
    """The params that were dumped into a model's config."""
    return _ADAPTER.validate_python(dumped)
