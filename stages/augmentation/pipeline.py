"""Augmentation with albumentations, by the transforms that params.yaml lists.

They are checked when the params are read, since albumentations only warns of an unknown argument.
"""

import difflib
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import albumentations as A
import numpy as np
import numpy.typing as npt
from albumentations.core.composition import BaseCompose
from pydantic import ValidationError

from stages.augmentation.params import Spec
from stages.core.errors import ParamsError

Picture = npt.NDArray[np.uint8]


def transform(spec: Spec) -> Any:
    """The transform, or composition of transforms, that `spec` names.

    Raises:
        ValueError: No transform of albumentations has that name, or it does not take these arguments.

    """
    if not isinstance(spec, dict) or len(spec) != 1:
        raise ValueError(f"{spec!r} is no transform: Name: {{argument: value}} is wanted")
    name, arguments = next(iter(spec.items()))
    kind = _kind(name)
    arguments = dict(arguments or {})
    known = list(inspect.signature(kind).parameters)
    if unknown := [word for word in arguments if word not in known]:
        raise ValueError(
            f"albumentations' {name} takes no argument '{unknown[0]}'{_suggestion(unknown[0], known)}"
        )
    try:
        if "transforms" in arguments:
            arguments["transforms"] = [transform(inner) for inner in arguments["transforms"]]
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return kind(**arguments)
    except (ValueError, TypeError, UserWarning) as error:
        raise ValueError(f"albumentations' {name}: {_reason(error)}") from None


def pipeline(specs: Sequence[Spec], *, seed: int, **options: Any) -> A.Compose:
    """The transforms one after the other; `options` are Compose's, such as what keeps boxes with the picture.

    Draw in one process: several loader workers would all draw alike. stages/training/checkpoint.py keeps the
    state.
    """
    with warnings.catch_warnings():
        # It warns where no transform of the list moves boxes: then they may stay where they are.
        warnings.filterwarnings("ignore", "Got processor for bboxes", UserWarning)
        return A.Compose([transform(spec) for spec in specs], seed=seed, **options)


def check_on(picture: Picture, specs: Sequence[Spec], *, where: str, bbox_params: Any = None) -> None:
    """Apply each transform to `picture` [H, W, C], and to a box in it where `bbox_params` are given.

    Raises:
        ParamsError: A transform fails, or gives no picture of the same size; `where` is the list's key.

    """
    for number, spec in enumerate(specs):
        place = f"{where}.{number}: {next(iter(spec))}"
        try:
            always = pipeline([spec], seed=0, bbox_params=bbox_params)
            always.transforms[0].p = 1.0
            drawn = always(image=np.ascontiguousarray(picture), **_box(picture, bbox_params))["image"]
        except Exception as error:  # what a transform may raise at its arguments is not told anywhere
            raise ParamsError(f"{place} fails on a training picture: {_reason(error)}") from error
        if drawn.shape != picture.shape or drawn.dtype != np.uint8:
            raise ParamsError(
                f"{place} gives {drawn.dtype} {list(drawn.shape)} of pictures uint8 {list(picture.shape)}: "
                "take transforms that keep size and type"
            )


def _box(picture: Picture, bbox_params: Any) -> dict[str, Any]:
    """One in the picture's middle, if boxes go with it."""
    if bbox_params is None:
        return {}
    height, width = picture.shape[:2]
    middle = [[width / 4, height / 4, 3 * width / 4, 3 * height / 4]]
    return {"bboxes": np.array(middle), "labels": np.array([0])}


def _kind(name: str) -> type:
    kind = getattr(A, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, A.BasicTransform | BaseCompose)):
        raise ValueError(f"albumentations has no transform '{name}'{_suggestion(name, dir(A))}")
    return kind


def _suggestion(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _reason(error: Exception) -> str:
    """One line; albumentations checks values by pydantic, whose own text has several."""
    if isinstance(error.__cause__, ValidationError):
        first = error.__cause__.errors()[0]
        return ": ".join([*map(str, first["loc"][:1]), first["msg"]])
    return " ".join(str(error).split()) or type(error).__name__


class TransformGenerators:
    """The random generators of an albumentations pipeline: each of its transforms has two."""

    def __init__(self, pipeline: Any) -> None:
        self._transforms = list(_transforms(pipeline))

    def state_dict(self) -> dict[str, Any]:
        """The generators' states, as a checkpoint stores them."""
        return {
            "numpy": [transform.random_generator.bit_generator.state for transform in self._transforms],
            "python": [transform.py_random.getstate() for transform in self._transforms],
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Continue each generator from the state that a checkpoint stored."""
        for transform, numpys, pythons in zip(self._transforms, state["numpy"], state["python"], strict=True):
            transform.random_generator.bit_generator.state = numpys
            transform.py_random.setstate(pythons)


def _transforms(pipeline: Any) -> Iterator[Any]:
    """The pipeline and every transform in it, to any depth."""
    yield pipeline
    for transform in getattr(pipeline, "transforms", ()):
        yield from _transforms(transform)
