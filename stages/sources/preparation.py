"""How pictures are prepared for the networks: section `preprocess`, and the form it brings pictures to.

What is trained on and what the trained networks are shown later must be treated alike: both read it here.
"""

from typing import Annotated, Any

from pydantic import Field, model_validator

from stages.core.params import StageParams
from stages.intake.form import ODDITIES, Form
from stages.sources.annotations.params import CocoParams, PascalVocParams, YoloParams
from stages.sources.composed import ComposedParams
from stages.sources.label_tools.params import (
    ChoicesParams,
    CreateMlParams,
    CvatParams,
    LabelmeParams,
    LabelStudioParams,
    ViaParams,
)
from stages.sources.params import CropsParams, FormParams, IdxParams, ImageFolderParams, Policy, VideoParams
from stages.sources.tables.params import BoxTableParams, ManifestParams

PictureSource = IdxParams | ImageFolderParams | VideoParams | ManifestParams | ChoicesParams
"""Sources of pictures of one thing each, by the word that params.yaml calls them."""

BoxSource = (
    CocoParams
    | PascalVocParams
    | YoloParams
    | BoxTableParams
    | LabelmeParams
    | CvatParams
    | LabelStudioParams
    | CreateMlParams
    | ViaParams
)
"""Sources of pictures with boxes."""


class PreprocessParams(StageParams):
    """Section `preprocess`."""

    classification: Annotated[PictureSource | CropsParams, Field(discriminator="format")] | None = None
    """The source of pictures of one thing each; null: there is nothing to classify or to generate."""

    detection: Annotated[ComposedParams | BoxSource, Field(discriminator="format")] | None = None
    """The source of pictures with boxes; null: there is nothing to detect."""

    policy: Policy = Field(default_factory=Policy)

    shard_megabytes: int = Field(ge=1, default=1024)
    """Size of the pixels from which on a split is packed into several files."""

    @model_validator(mode="after")
    def _pictures_come_from_somewhere(self) -> "PreprocessParams":
        if isinstance(self.classification, CropsParams | None) and isinstance(
            self.detection, ComposedParams | None
        ):
            raise ValueError(
                "crops are made of boxes, composed scenes of classified pictures, and null is nothing:"
                " classification or detection has to name a source of pictures"
            )
        return self

    @model_validator(mode="after")
    def _items_fit_into_their_scenes(self) -> "PreprocessParams":
        """Said before anything is read; of IDX files and of `auto` the size is not known yet."""
        pictures, scenes = self.classification, self.detection
        if (
            isinstance(pictures, FormParams)
            and isinstance(scenes, ComposedParams)
            and not isinstance(pictures.shape, str)
            and not isinstance(scenes.side, str)
        ):
            largest = scenes.largest_item(pictures.shape)
            if largest > scenes.side:
                raise ValueError(
                    f"detection.side: {scenes.side} px cannot hold items of {largest} px "
                    f"(classification.shape {pictures.shape} times detection.scale_max {scenes.scale_max}): "
                    f"raise side to {largest}, or lower shape or scale_max"
                )
        return self


def form_of(
    params: IdxParams | ComposedParams | FormParams, policy: Policy, stored: tuple[int, int, int] | None
) -> Form:
    """The form that a task's pictures are brought to.

    `stored`: height, width and channels of pictures that stay as they are, which IDX and composed ones do;
    a file's picture is stretched to IDX's, and padded to a scene's, whose items keep their proportions. Where
    `shape` is `auto`, they are those of the pictures that a model was trained on.
    """
    own: dict[str, Any]
    if isinstance(params, FormParams):
        height, width = stored[:2] if stored and isinstance(params.shape, str) else params.stated_shape
        own = {"channels": params.channels, "fit": params.fit, "ground": params.ground}
    else:
        assert stored is not None
        height, width, channels = stored
        fit = "pad" if isinstance(params, ComposedParams) else "stretch"
        own = {"channels": channels, "fit": fit, "ground": 0}
    return Form(
        height=height,
        width=width,
        max_pixels=policy.max_pixels,
        refused=policy.kinds("refuse", "stop") & ODDITIES,
        kept=policy.kinds("keep") & ODDITIES,
        **own,
    )
