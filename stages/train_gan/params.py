"""Section `train-gan` of params.yaml."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from stages.core.params import AUTO, StageParams
from stages.prompting.params import TextParams
from stages.training.budget import PICTURES, batch_size, generator_epochs, generator_span
from stages.training.params import AdamParams, OptimizerParams, ScheduleParams, check_either

Change = Literal["brightness", "translation", "cutout"]


class HingeParams(StageParams):
    """`name: hinge` (Lim & Ye 2017, https://arxiv.org/abs/1705.02894)."""

    name: Literal["hinge"]


class NonSaturatingParams(StageParams):
    """`name: non-saturating` (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661)."""

    name: Literal["non-saturating"]

    r1: float = Field(ge=0, default=1.0)
    """Weight of the squared slope at real pictures (Mescheder et al. 2018, https://arxiv.org/abs/1801.04406)."""

    r1_every: int = Field(ge=1, default=16)
    """Steps from one such penalty to the next; it weighs as much more then."""


class WassersteinParams(StageParams):
    """`name: wgan-gp` (Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028)."""

    name: Literal["wgan-gp"]

    penalty: float = Field(ge=0, default=10.0)
    """Weight of the slope's squared distance from 1, between real pictures and fakes."""


LossParams = Annotated[HingeParams | NonSaturatingParams | WassersteinParams, Field(discriminator="name")]


class FailureParams(StageParams):
    """`train-gan.failure`: what counts as failed."""

    discriminator_accuracy_max: float = Field(gt=0.5, le=1, default=0.99)
    """Share of real and fake pictures told apart. Above, the generator learns nothing from it; 1: never."""

    window: int = Field(ge=1, default=200)
    """Steps that it must be so on average."""

    recall_min: float = Field(ge=0, lt=1, default=0.02)
    """Share of the real pictures that lie among generated ones. Below, the generator collapsed; 0: never."""

    grace: int = Field(ge=0, default=AUTO)
    """Epochs in which recall may be so low, since every generator begins so; not if one is the last."""

    patience: int = Field(ge=1, default=AUTO)
    """Epochs in a row after which training fails; at the last epoch one is enough."""


class OptimizersParams(StageParams):
    """`train-gan.optimizers`: what trains each of the networks."""

    generator: OptimizerParams
    discriminator: OptimizerParams


FEW = 10_000  # pictures, up to which random changes of them help


class TrainGanParams(StageParams):
    """Section `train-gan`."""

    SHORT: ClassVar = {
        "optimizers": ("generator_learning_rate", "discriminator_learning_rate", "beta1", "beta2")
    }

    @classmethod
    def derived(cls, values: Mapping[str, Any], pictures: int | None) -> Mapping[str, Any]:
        """Few pictures are shown for as many steps as many, with random changes that make more of them."""
        number = pictures or PICTURES
        size, epochs = values.get("batch_size"), values.get("epochs")
        if not isinstance(size, int) or size < 1:
            size = batch_size(number, most=64, least=8, batches=3)
        if not isinstance(epochs, int):
            epochs = generator_epochs(number, size)
        span = generator_span(number, size)
        return {
            "batch_size": size,
            "epochs": epochs,
            "augment": [] if number >= FEW else ["brightness", "translation", "cutout"],
            "sheet_every": max(1, epochs // 2),
            "failure": {"grace": span, "patience": 3 * span},
        }

    epochs: int = Field(ge=1, default=AUTO)
    """Passes over the training pictures; or auto."""

    batch_size: int = Field(ge=2, default=AUTO)
    """Pictures a step; or auto."""

    loss: LossParams = Field(default_factory=lambda: HingeParams(name="hinge"))
    discriminator_steps: int = Field(ge=1, default=1)
    """The discriminator's steps for each of the generator's."""
    spectral_norm: bool = True
    """Whether the discriminator is normalised spectrally."""
    augment: list[Change] = Field(default=AUTO)
    """Random changes of real and fake pictures that gradients pass, for few pictures."""
    text: TextParams | None = Field(default_factory=TextParams)
    """How prompts are understood; null: pictures are asked for by class alone."""
    attributes: list[str] = Field(default=[])
    """Columns of the data's table, or `brightness` and `size`, which are measured."""
    latent: int = Field(ge=1, default=64)
    """Dimensions of the random vector: what varies within what is asked for."""
    condition: int = Field(ge=1, default=32)
    """Dimensions of what is asked for, beside the random vector."""
    generator_width: int = Field(ge=1, default=48)
    """Channels at half resolution; twice as many at each halving."""
    discriminator_width: int = Field(ge=1, default=32)
    """Channels at half resolution; twice as many at each halving."""

    discriminator_hidden: int = Field(ge=1, default=128)
    """Dimensions that realness and class are read from."""
    generator_learning_rate: float | None = Field(gt=0, default=0.001)
    """Adam's learning rate, where no `optimizers` are named."""

    discriminator_learning_rate: float | None = Field(gt=0, default=0.001)
    """Adam's learning rate, where no `optimizers` are named."""

    beta1: float | None = Field(ge=0, lt=1, default=0.0)
    """Adam's first beta of both networks, where no `optimizers` are named."""

    beta2: float | None = Field(ge=0, lt=1, default=0.99)
    """Adam's second beta of both networks, where no `optimizers` are named; without weight decay."""
    optimizers: OptimizersParams | None = None
    """What trains each network; null: adam with the four values above."""
    schedule: ScheduleParams | None = None
    """How both networks' learning rates go; null: they stay what they are."""
    class_weight: float = Field(ge=0, default=0.3)
    """Weight of the auxiliary classifier's cross-entropy beside the loss."""
    average_decay: float = Field(ge=0, lt=1, default=0.999)
    """A step's part in the averaged generator is one minus this."""
    failure: FailureParams = Field(default_factory=FailureParams)
    sheet_columns: int = Field(ge=2, default=10)
    """Pictures of each class on sheets and in the film."""
    sheet_every: int = Field(ge=1, default=AUTO)
    """Epochs from one sheet to the next."""
    film_frames: int = Field(ge=1, default=24)
    """Frames of the film of training, evenly over it."""
    film_milliseconds: int | None = Field(ge=10, default=None)
    """Without effect: `evaluate` draws the film, and its own `film_milliseconds` counts."""

    @model_validator(mode="after")
    def _says_each_once(self) -> Self:
        check_either(
            "optimizers",
            self.optimizers,
            generator_learning_rate=self.generator_learning_rate,
            discriminator_learning_rate=self.discriminator_learning_rate,
            beta1=self.beta1,
            beta2=self.beta2,
        )
        return self

    @property
    def descent(self) -> OptimizersParams:
        """The optimizers that are named, or adam for both."""
        if self.optimizers is not None:
            return self.optimizers
        return OptimizersParams(
            generator=self._adam(self.generator_learning_rate),
            discriminator=self._adam(self.discriminator_learning_rate),
        )

    def _adam(self, learning_rate: float | None) -> AdamParams:
        assert learning_rate is not None  # or the section is refused
        assert self.beta1 is not None
        assert self.beta2 is not None
        betas = {"beta1": self.beta1, "beta2": self.beta2}
        return AdamParams(name="adam", learning_rate=learning_rate, weight_decay=0.0, **betas)
