"""Section `fuse` of params.yaml."""

from pydantic import Field, field_validator, model_validator

from stages.core.params import StageParams
from stages.fusion.params import Method, Registration, check_weights


class OwnParams(StageParams):
    """Pictures of the user's own: which of them are one group, and how they are laid on each other."""

    manifest: str | None = None
    """A CSV file in the folder, with columns group, picture and perhaps truth; null: by pattern."""

    pattern: str | None = None
    """A regular expression on paths below the folder, whose first parenthesis names the group; null: by
    manifest."""

    registration: Registration = "check"
    """check: refuse pictures that seem moved, turned or scaled; none: take them as they are; ecc, features:
    align them."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "OwnParams":
        if (self.manifest is None) == (self.pattern is None):
            raise ValueError("give either a manifest or a pattern, and null for the other")
        return self


class FuseParams(StageParams):
    """Section `fuse`."""

    pictures: int = Field(ge=1, default=200)
    """Pictures of the test split in each kind that is made of them; where there are fewer, all."""

    scenes: int = Field(ge=1, default=40)
    """Scenes of the detection test split; where there are fewer, all."""

    methods: list[Method] = Field(
        min_length=1, default=["average", "maximum", "laplacian", "wavelet", "exposure", "guided", "features"]
    )
    """Methods of fusion; every one of them fuses every group."""

    weights: list[float] | None = None
    """average: the weight of each picture of a group; null: all the same."""

    levels: int | None = Field(ge=1, default=None)
    """laplacian, wavelet: how often the pictures are halved; null: as often as they can be."""

    feature_stages: int = Field(ge=1, default=1)
    """features: after how many of its stages the classifier's activity is taken."""

    blur_sigma: float = Field(gt=0, default=1.5)
    """focus, scenes: standard deviation of the Gaussian that blurs one half, in pixels."""

    stops: list[float] = Field(min_length=2, default=[-1.0, 1.0])
    """exposure: each picture of a group has 2 ** stop times the light."""

    cut_out_threshold: int = Field(ge=0, lt=255, default=32)
    """composites: what of a generated picture is brighter than that belongs to the item."""

    overlap_min: float = Field(gt=0, le=1, default=0.5)
    """composites: an item counts as found where a detection overlaps it so much (IoU) ..."""
    score_min: float = Field(ge=0, le=1, default=0.5)
    """... and is at least so sure."""

    mosaic_columns: int = Field(ge=1, le=100, default=28)
    """Pictures side by side in the mosaic, and as many in a column."""

    batch_size: int = Field(ge=1, default=256)
    """Pictures that the networks see at once."""

    sheet_rows: int = Field(ge=1, default=4)
    """Groups of each kind on its sheet."""

    own: OwnParams = Field(default_factory=OwnParams)

    @field_validator("weights")
    @classmethod
    def _are_an_average(cls, weights: list[float] | None) -> list[float] | None:
        if weights is not None:
            check_weights(weights)
        return weights
