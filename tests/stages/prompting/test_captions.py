"""Training captions: of class names by templates, and the data's own."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from stages.core.errors import ParamsError
from stages.core.packed import ClassificationSplit
from stages.prompting.captions import captions_of, class_captions
from stages.prompting.params import TextParams


def params(**changes: Any) -> TextParams:
    own = {
        "encoder": "words",
        "share": 0.5,
        "noise": 0.0,
        "templates": ["{name}", "two {plural}"],
        "names": None,
        "descriptions": None,
    }
    return TextParams(**(own | changes))


def split(captions: list[str] | None = None) -> ClassificationSplit:
    images = np.zeros((4, 2, 2, 1), dtype=np.uint8)
    return ClassificationSplit(
        images=images, labels=np.array([0, 1, 0, 1]), classes=["T-shirt/top", "Bag"], captions=captions
    )


def test_every_name_in_every_template() -> None:
    assert class_captions(["T-shirt/top", "Bag"], params()) == [
        ["t-shirt", "two t-shirts", "top", "two tops"],
        ["bag", "two bags"],
    ]


def test_names_of_ones_own() -> None:
    named = params(names={"Bag": ["purse", "tote"]}, templates=["a {name}"])
    assert class_captions(["Coat", "Bag"], named) == [["a coat"], ["a purse", "a tote"]]
    with pytest.raises(ParamsError, match="'Bags' is no class; there are Coat"):
        class_captions(["Coat"], params(names={"Bags": ["purse"]}))


def test_descriptions_are_captions_for_what_knows_meanings() -> None:
    described = params(encoder="minilm", templates=["{name}"], descriptions={"Bag": ["to carry things in"]})
    assert class_captions(["Coat", "Bag"], described) == [["coat"], ["bag", "to carry things in"]]
    assert class_captions(["Bag"], described.model_copy(update={"encoder": "words"})) == [["bag"]]
    with pytest.raises(
        ParamsError, match=r"train-gan\.text\.descriptions: 'Bag' is no class; there are Coat"
    ):
        class_captions(["Coat"], described)


@pytest.mark.parametrize("template", ["a picture", "a {thing}", "{", "{}"])
def test_a_template_without_a_name_is_refused(template: str) -> None:
    with pytest.raises(ValidationError, match="has neither"):
        params(templates=[template])


def test_captions_are_drawn_of_the_pictures_class() -> None:
    captions = captions_of(split(), params())
    labels = torch.tensor([0, 1] * 50)
    drawn, own = captions.draw(torch.zeros(100, dtype=torch.int64), labels)
    assert not own.any()
    of_shirts = captions.encoder.encode(["t-shirt", "two t-shirts", "top", "two tops"])
    of_bags = captions.encoder.encode(["bag", "two bags"])
    assert sorted(drawn[0::2].unique(dim=0).tolist()) == sorted(of_shirts.tolist())
    assert sorted(drawn[1::2].unique(dim=0).tolist()) == sorted(of_bags.tolist())


def test_what_a_generator_keeps_of_them() -> None:
    words = {"encoder": "words", "vocabulary": ["bag", "t-shirt", "top", "two"], "dimensions": 4}
    assert captions_of(split(), params()).config == words
    named = captions_of(split(), params(names={"Bag": ["purse"]})).config
    assert named["names"] == {"Bag": ["purse"]}


def test_a_picture_with_a_caption_of_its_own_keeps_to_it() -> None:
    captions = captions_of(split(["red shirt", "", "", "old bag"]), params())
    rows, labels = torch.arange(4), torch.tensor([0, 1, 0, 1])
    drawn, own = captions.draw(rows, labels)
    assert own.tolist() == [True, False, False, True]
    assert torch.equal(drawn[[0, 3]], captions.encoder.encode(["red shirt", "old bag"]))
    assert drawn[1].tolist() in captions.encoder.encode(["bag", "two bags"]).tolist()
