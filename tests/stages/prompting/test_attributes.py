"""Numbers that pictures are asked for by."""

import numpy as np
import pytest
import torch

from stages.core.errors import DataError, ParamsError
from stages.core.packed import ClassificationSplit
from stages.prompting.attributes import asked_numbers, attribute_scale, attributes_of, encode


@pytest.fixture
def split() -> ClassificationSplit:
    images = np.zeros((2, 2, 2, 1), dtype=np.uint8)
    images[0, 0] = 51  # two of four pixels, a fifth of the range
    images[1] = 255
    weights = np.array([2.0, np.nan])
    return ClassificationSplit(
        images=images, labels=np.array([0, 0]), classes=["bag"], attributes={"weight": weights}
    )


def test_measured_by_hand_and_from_the_table(split: ClassificationSplit) -> None:
    numbers = attributes_of(split, ["brightness", "size", "weight"])
    np.testing.assert_allclose(numbers, [[0.2, 0.5, 2.0], [1.0, 1.0, np.nan]])
    assert attributes_of(split, []).shape == (2, 0)
    with pytest.raises(ParamsError, match="'colour' is unknown; there are brightness, size, weight"):
        attributes_of(split, ["colour"])


def test_encoded_as_deviations_and_whether_known(split: ClassificationSplit) -> None:
    names = ["brightness", "weight"]
    numbers = attributes_of(split, names)
    scale = attribute_scale(numbers, names)
    assert scale == {"names": names, "mean": [0.6, 2.0], "std": [0.4, 1.0]}
    expected = torch.tensor([[-1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]])
    torch.testing.assert_close(encode(numbers, scale), expected)
    assert encode(numbers, None).shape == (2, 0)


def test_what_is_not_asked_for_is_open(split: ClassificationSplit) -> None:
    scale = {"names": ["brightness", "weight"], "mean": [0.5, 2.0], "std": [0.1, 1.0]}
    asked = encode(asked_numbers({"weight": 3.0}, scale), scale)
    assert asked.tolist() == [[0.0, 1.0, 0.0, 1.0]]
    with pytest.raises(
        DataError, match="'size': the generator was trained without it; it has brightness, weight"
    ):
        asked_numbers({"size": 1.0}, scale)
    with pytest.raises(DataError, match="it has none"):
        asked_numbers({"size": 1.0}, None)
