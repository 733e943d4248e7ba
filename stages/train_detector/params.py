"""Section `train-detector` of params.yaml."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, PositiveFloat, model_validator

from stages.augmentation.params import TransformSpec
from stages.core.params import AUTO, StageParams, WeightsParams
from stages.detector.params import DetectorParams, FasterRcnnParams
from stages.training.budget import SCENES, batch_size, detector_epochs
from stages.training.params import AdamParams, OptimizerParams, ScheduleParams, check_either

EPOCH_SCENES = 13_500  # a quarter of 54,000 scenes: validated in between


class TrainDetectorParams(StageParams):
    """Section `train-detector`."""

    SHORT: ClassVar = {"optimizer": ("learning_rate", "weight_decay"), "schedule": ("warmup",)}

    @classmethod
    def derived(cls, values: Mapping[str, Any], pictures: int | None) -> Mapping[str, Any]:
        """Fewer pictures are shown more often and in smaller batches; an epoch is a quarter of many.

        Anchors are fitted to the boxes: three sizes, or one for each map of ssd's, and three shapes.
        """
        network = values.get("network")
        strides = network.get("strides") if isinstance(network, dict) else None
        sizes = max(3, len(strides)) if isinstance(strides, list) else 3
        number = pictures or SCENES
        shown = values.get("epoch_pictures")
        shown = EPOCH_SCENES if shown == AUTO else shown if isinstance(shown, int) else number
        return {
            "epochs": detector_epochs(number, max(1, shown)),
            "epoch_pictures": min(number, EPOCH_SCENES),
            "batch_size": batch_size(number, most=16, least=4, batches=16),
            "network": {"anchor_sizes": {"fitted": sizes}, "anchor_ratios": {"fitted": 3}},
        }

    network: DetectorParams = Field(default_factory=lambda: FasterRcnnParams(model="faster-rcnn"))
    """Which network, and how large."""

    weights: WeightsParams | None = None
    """What it begins with: those of the same network on perhaps other classes, or of torchvision's ResNet."""

    frozen: int = Field(ge=0, default=0)
    """How many first parts of the backbone (r-cnn: of the classifier) keep the weights they began with."""

    epochs: int = Field(ge=1, default=AUTO)
    """Epochs at most; or auto."""

    epoch_pictures: int | None = Field(ge=1, default=AUTO)
    """Training pictures that an epoch shows at most, the next one the following; null: all of them; or auto.

    So many pictures are validated more often than once a pass.
    """

    batch_size: int = Field(ge=1, default=AUTO)
    """Pictures a step; or auto."""

    learning_rate: float | None = Field(gt=0, default=0.007)
    """The schedule's peak, where no `optimizer` is named."""

    weight_decay: float | None = Field(ge=0, default=0.02)
    """Weight decay of matrices and kernels, where no `optimizer` is named."""

    optimizer: OptimizerParams | None = None
    """What trains the network; null: adam with `learning_rate` and `weight_decay`."""

    warmup: float | None = Field(gt=0, lt=1, default=0.2)
    """Share of the steps in which the learning rate rises, where no `schedule` is named."""

    schedule: ScheduleParams | None = None
    """How the learning rate goes; null: one-cycle with `warmup`."""

    average_decay: float = Field(ge=0, lt=1, default=0.99)
    """A step's part in the averaged weights, which are validated and saved, is one minus this."""

    gradient_max: float = Field(gt=0, default=5.0)
    """Gradients with a larger norm are scaled down to it."""

    validate_every: int = Field(ge=1, default=2)
    """Epochs between two validations; the last epoch is validated in any case."""

    patience: int | None = Field(ge=1, default=None)
    """Stop when so many validations were no better than the best before; null: never."""

    scales: list[PositiveFloat] = Field(min_length=1, default=[1.0])
    """Each batch is shown at one of these sizes; the trained network sees pictures at their own."""

    augmentations: list[TransformSpec] = Field(default=[])
    """albumentations in their order, boxes with them: {Name: {argument: value}}."""

    visible_min: float = Field(ge=0, le=1, default=0.3)
    """A box of which augmentation leaves a smaller share in the picture is dropped."""

    calibrate: bool = True
    """Turn the trained network's scores into how often boxes of val are right; their order stays the same."""

    sheet_rows: int = Field(ge=1, default=4)
    """Samples: pictures as they are, and as they are shown."""

    @model_validator(mode="after")
    def _says_each_once(self) -> Self:
        check_either(
            "optimizer", self.optimizer, learning_rate=self.learning_rate, weight_decay=self.weight_decay
        )
        check_either("schedule", self.schedule, warmup=self.warmup)
        return self

    @property
    def descent(self) -> OptimizerParams:
        """The optimizer that is named, or adam with PyTorch's betas."""
        if self.optimizer is not None:
            return self.optimizer
        assert self.learning_rate is not None  # or the section is refused
        assert self.weight_decay is not None
        return AdamParams(
            name="adam",
            learning_rate=self.learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self.weight_decay,
        )

    @property
    def rates(self) -> ScheduleParams:
        """The schedule that is named, or one-cycle."""
        if self.schedule is not None:
            return self.schedule
        assert self.warmup is not None  # or the section is refused
        return ScheduleParams(name="one-cycle", warmup=self.warmup)
