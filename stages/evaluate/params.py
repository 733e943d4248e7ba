"""Section `evaluate` of params.yaml."""

from pydantic import Field

from stages.core.params import StageParams, WeightsParams


class PupilParams(StageParams):
    """`evaluate.generation.score`: a short training of the classifier's network."""

    pictures: int = Field(ge=10, default=20_000)
    """Pictures that it is trained on, with each class as often as in the training split."""

    epochs: int = Field(ge=1, default=3)
    """Passes over these pictures."""

    batch_size: int = Field(ge=2, default=128)
    """Pictures a step."""

    learning_rate: float = Field(gt=0, default=0.15)
    """The highest learning rate of the schedule; the optimizer is SGD with momentum 0.9."""


class GenerationParams(StageParams):
    """`evaluate.generation`: how generated pictures are measured."""

    samples_per_class: int = Field(ge=1, default=500)
    """Generated pictures, and as many test pictures that they are compared with, and as many others for
    `floor`; where a class has fewer than twice as many, half of them."""

    neighbours: int = Field(ge=1, default=5)
    """k of precision, recall, density and coverage."""

    nearest_pictures: int = Field(ge=1, default=1000)
    """Generated pictures, and as many of the test split, whose nearest training picture is searched for."""

    score: PupilParams = Field(default_factory=PupilParams)

    inception: WeightsParams | None = None
    """torchvision's weights of inception_v3; null: the classifier's features alone."""


class EvaluateParams(StageParams):
    """Section `evaluate`."""

    batch_size: int = Field(ge=1, default=250)
    """Pictures that a network sees at once."""

    calibration_bins: int = Field(ge=1, default=15)
    """Equal steps of confidence in the calibration error and in the reliability table."""

    resamples: int = Field(ge=100, default=500)
    """Halves of the test pictures, for the figures' 95 % intervals."""

    generation: GenerationParams = Field(default_factory=GenerationParams)

    sheet_columns: int = Field(ge=2, default=10)
    """Pictures of each class on the sheets."""

    score_min: float = Field(ge=0, le=1, default=0.3)
    """Score from which on detections are drawn, counted by kind of error, and calibrated."""

    sheet_scenes: int = Field(ge=1, default=12)
    """Scenes on the sheet of detections."""

    sheet_boxes: int = Field(ge=1, default=200)
    """The largest number of detections on that sheet."""

    label_errors: bool = True
    """Whether the labels of train and val are ranked by how strongly the models contradict them."""

    film_milliseconds: int = Field(ge=10, default=250)
    """How long each frame of the film of the generator's training is shown."""
