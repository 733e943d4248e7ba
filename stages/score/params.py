"""Section `score` of params.yaml."""

from pydantic import Field

from stages.core.params import StageParams


class ScoreParams(StageParams):
    """Section `score`: no stage of dvc.yaml depends on it."""

    MAY_BE_LEFT_OUT = True

    batch: int = Field(ge=1, default=64)
    """Pictures kept in one step, and shown to the networks together."""

    max_megabytes: int = Field(ge=1, default=100)
    """Size of a picture's file in megabytes up to which it is scored; larger ones are set aside."""

    drawn_score_min: float = Field(ge=0, le=1, default=0.5)
    """Boxes with lower scores are not drawn."""

    drawn_side: int = Field(ge=64, default=640)
    """The longer side that larger pictures are brought to before they are drawn on, in pixels."""
