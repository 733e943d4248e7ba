"""Section `train-classifier` of params.yaml."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from stages.augmentation.params import TransformSpec
from stages.classifier.params import CompactParams, NetworkParams
from stages.core.params import AUTO, StageParams
from stages.training.budget import PICTURES, batch_size, classifier_epochs
from stages.training.params import OptimizerParams, ScheduleParams, SgdParams


class RangeTestParams(StageParams):
    """Rates that are tried, each step a constant factor above the one before."""

    lowest: float = Field(gt=0, default=0.001)
    """The first learning rate."""

    highest: float = Field(gt=0, default=10.0)
    """The last learning rate."""

    steps: int = Field(ge=2, default=60)
    """Training steps, each at a higher rate."""

    @model_validator(mode="after")
    def _rises(self) -> "RangeTestParams":
        if self.highest <= self.lowest:
            raise ValueError("highest must be above lowest")
        return self

    def rates(self) -> list[float]:
        """The rates of all steps, from the lowest to the highest."""
        factor = (self.highest / self.lowest) ** (1 / (self.steps - 1))
        return [self.lowest * factor**step for step in range(self.steps)]


class TrainClassifierParams(StageParams):
    """Section `train-classifier`."""

    @classmethod
    def derived(cls, values: Mapping[str, Any], pictures: int | None) -> Mapping[str, Any]:
        """Fewer pictures are shown more often and in smaller batches."""
        del values
        number = pictures or PICTURES
        return {
            "epochs": classifier_epochs(number),
            "batch_size": batch_size(number, most=128, least=16, batches=8),
        }

    network: NetworkParams = Field(default_factory=lambda: CompactParams(model="compact"))
    """Which network, and how large."""

    epochs: int = Field(ge=1, default=AUTO)
    """Passes over the training pictures, at most; or auto."""

    batch_size: int = Field(ge=2, default=AUTO)
    """Pictures a step; or auto."""

    optimizer: OptimizerParams = Field(default_factory=lambda: SgdParams(name="sgd"))

    schedule: ScheduleParams = Field(default_factory=lambda: ScheduleParams(name="one-cycle"))

    average_decay: float | None = Field(gt=0, lt=1, default=None)
    """A step's part in averaged weights, which are validated and saved, is one minus this; null: none are."""

    patience: int | None = Field(ge=1, default=None)
    """Stop when so many epochs were no better on val, and take the best's weights; null: the last's."""

    label_smoothing: float = Field(ge=0, lt=1, default=0.1)
    """Share of the target that is spread over all classes."""

    balance: Literal["none", "class-weights", "sampler"] = "none"
    """How unbalanced classes are balanced: in the loss, or in how often their pictures are shown."""

    attributes: list[str] | Literal["all"] = Field(default=[])
    """Attributes to learn beside the class, by their names in the data; all: those that are yes or no."""

    attribute_weight: float = Field(gt=0, default=1.0)
    """Weight of their loss, which is their mean, beside that of the classes."""

    mirror: bool = True
    """Show each picture mirrored in every second epoch. Not for pictures whose left and right matter."""

    shift: int = Field(ge=0, default=1)
    """Shift each picture by up to so many pixels."""

    augmentations: list[TransformSpec] = Field(default=[])
    """albumentations in their order, before mirroring and shifts: {Name: {argument: value}}."""

    views: Literal[1, 2, 6] = 6
    """Views of a picture that a prediction averages over: itself, mirrored, both shifted two ways."""

    calibrate: bool = True
    """Divide the trained network's logits by the temperature that suits val best; accuracy stays the same."""

    range_test: RangeTestParams = Field(default_factory=RangeTestParams)
    """Learning rates that are tried before training, for the plot alone."""

    sheet_columns: int = Field(ge=2, default=8)
    """Samples of each class: a picture as it is, and as it is shown in the epochs after."""
