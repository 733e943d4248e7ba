"""Section `train-gan` of params.yaml."""

from pydantic import Field

from stages.core.params import StageParams
from stages.prompting.captions import TextParams
from stages.train_gan.failures import FailureParams
from stages.train_gan.losses import Change, LossParams


class TrainGanParams(StageParams):
    """Section `train-gan`."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    loss: LossParams
    discriminator_steps: int = Field(ge=1)
    """For each of the generator's."""
    spectral_norm: bool
    """In the discriminator."""
    augment: list[Change]
    """Random changes of real and fake pictures that gradients pass, for few pictures."""
    text: TextParams | None
    """null: by class alone."""
    attributes: list[str]
    """Columns of the data's table, or `brightness` and `size`, which are measured."""
    latent: int = Field(ge=1)
    """Dimensions of the random vector: what varies within what is asked for."""
    condition: int = Field(ge=1)
    """Dimensions of what is asked for, beside the random vector."""
    generator_width: int = Field(ge=1)
    """Channels at half resolution; twice as many at each halving."""
    discriminator_width: int = Field(ge=1)
    discriminator_hidden: int = Field(ge=1)
    """Dimensions that realness and class are read from."""
    generator_learning_rate: float = Field(gt=0)
    discriminator_learning_rate: float = Field(gt=0)
    beta1: float = Field(ge=0, lt=1)
    beta2: float = Field(ge=0, lt=1)
    """Adam's, of both networks."""
    class_weight: float = Field(ge=0)
    """Of the auxiliary classifier's cross-entropy beside the loss."""
    average_decay: float = Field(ge=0, lt=1)
    """A step's part in the averaged generator is one minus this."""
    failure: FailureParams
    sheet_columns: int = Field(ge=2)
    """Pictures a class, on sheets and in the film."""
    sheet_every: int = Field(ge=1)
    """Epochs from one sheet to the next."""
    film_frames: int = Field(ge=1)
    """Of the film of training, evenly over it."""
    film_milliseconds: int | None = Field(ge=10, default=None)
    """Without effect: `evaluate` draws the film, and its own `film_milliseconds` counts."""
