"""Numbers by which pictures can be asked for: columns of the data's table, or measured on the pictures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.core.errors import DataError, ParamsError
from stages.core.packed import ClassificationSplit

Numbers = npt.NDArray[np.float64]

GROUND = 8  # of 255: what is no brighter shows nothing


def brightness(images: npt.NDArray[np.uint8]) -> Numbers:
    """Mean [N] of the values above the ground, 0 to 1, of pictures [N, H, W, C]."""
    shown = (images > GROUND).sum(axis=(1, 2, 3))
    total: Numbers = np.where(images > GROUND, images, 0).sum(axis=(1, 2, 3), dtype=np.float64)
    mean: Numbers = total / np.maximum(shown, 1) / 255
    return mean


def size(images: npt.NDArray[np.uint8]) -> Numbers:
    """Share [N] of the pixels of pictures [N, H, W, C] that are brighter than the ground, 0 to 1."""
    share: Numbers = (images.max(axis=3) > GROUND).mean(axis=(1, 2))
    return share


MEASURED: Mapping[str, Callable[[npt.NDArray[np.uint8]], Numbers]] = {"brightness": brightness, "size": size}
"""Numbers that are measured on the pictures themselves, by name."""


def attributes_of(split: ClassificationSplit, names: Sequence[str]) -> Numbers:
    """Numbers [N, A] of every picture by the names asked for; NaN where the data has none.

    Raises:
        ParamsError: Neither a column of the data's nor measured.

    """
    given = split.attributes or {}
    columns = []
    for name in names:
        if name in given:
            columns.append(given[name])
        elif name in MEASURED:
            columns.append(MEASURED[name](np.asarray(split.images[:])))
        else:
            known = ", ".join(sorted({*given, *MEASURED}))
            raise ParamsError(f"train-gan.attributes: {name!r} is unknown; there are {known}")
    return np.stack(columns, axis=1) if columns else np.empty((len(split.images), 0))


def attribute_scale(numbers: Numbers, names: Sequence[str]) -> dict[str, Any] | None:
    """Names, means and standard deviations of numbers [N, A], as the generator's config keeps them.

    It is None where there are no names.
    """
    if not names:
        return None
    deviations = np.nanstd(numbers, axis=0)
    return {
        "names": list(names),
        "mean": [round(float(mean), 6) for mean in np.nanmean(numbers, axis=0)],
        "std": [round(float(deviation), 6) or 1.0 for deviation in deviations],
    }


def encode(numbers: Numbers, scale: Mapping[str, Any] | None) -> Tensor:
    """Encode numbers [N, A] as float32 [N, 2 A]: standard deviations from the mean, then 1 where it is known.

    An unknown number, NaN, becomes two zeros.
    """
    if scale is None:
        return torch.zeros(len(numbers), 0)
    known = ~np.isnan(numbers)
    standard = (np.nan_to_num(numbers) - scale["mean"]) / scale["std"]
    return torch.from_numpy(np.concatenate([np.where(known, standard, 0), known], axis=1)).float()


def asked_numbers(wanted: Mapping[str, float], scale: Mapping[str, Any] | None) -> Numbers:
    """Arrange the wanted numbers in one row [1, A], with NaN for the other attributes.

    Raises:
        DataError: An attribute that the generator was not trained with.

    """
    names = [] if scale is None else scale["names"]
    for name in wanted:
        if name not in names:
            known = f"it has {', '.join(names)}" if names else "it has none"
            raise DataError(f"attribute {name!r}: the generator was trained without it; {known}")
    return np.array([[wanted.get(name, np.nan) for name in names]], dtype=np.float64).reshape(1, len(names))
