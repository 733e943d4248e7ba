"""Transforms as params.yaml lists them: by albumentations' names and arguments, which are checked.

- Rotate: {limit: [-10, 10], p: 0.5}
- OneOf: {transforms: [{Blur: {}}, {GaussNoise: {std_range: [0.02, 0.1]}}], p: 0.3}
"""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

Spec = dict[str, Any]
"""{Name: {argument: value}}."""


def _checked(spec: Spec) -> Spec:
    from stages.augmentation.pipeline import transform  # albumentations: for those alone who name one

    transform(spec)
    return spec


TransformSpec = Annotated[
    dict[str, dict[str, Any] | None], Field(min_length=1, max_length=1), AfterValidator(_checked)
]
"""A field of params: {Name: {argument: value}}, refused unless albumentations takes it."""
