"""albumentations by name and arguments."""

import pickle
from typing import Any

import albumentations as A
import numpy as np
import pytest

from stages.augmentation.pipeline import TransformGenerators, check_on, pipeline, transform
from stages.core.errors import ParamsError

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)


def test_nested_transforms_draw_the_same_from_the_same_seed() -> None:
    either = {"OneOf": {"transforms": [{"Blur": None}, {"GaussNoise": {"p": 1.0}}], "p": 1.0}}
    specs = [either, {"HorizontalFlip": {"p": 0.5}}]
    first, second, other = (pipeline(specs, seed=seed) for seed in (1, 1, 2))
    drawn = [[made(image=PICTURE)["image"].tolist() for _ in range(5)] for made in (first, second, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_boxes_go_with_the_picture() -> None:
    flip = pipeline([{"HorizontalFlip": {"p": 1.0}}], seed=0, bbox_params={"format": "pascal_voc"})
    boxes = flip(image=PICTURE, bboxes=np.array([[1, 2, 4, 6]]))["bboxes"]
    np.testing.assert_allclose(boxes, [[6, 2, 9, 6]], atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"rotate": {}}, "no transform 'rotate'; did you mean"),
        ({"Rotate": {"limits": 1}}, "Rotate takes no argument 'limits'; did you mean 'limit'"),
        ({"Rotate": {"limit": "far"}}, "Rotate: limit: Input should be"),
        ({"Rotate": {"p": 1.5}}, "Rotate: p: Input should be less than or equal to 1"),
        ({"RandomCrop": {}}, "RandomCrop: "),
        ({"OneOf": {"transforms": ["Blur"]}}, "'Blur' is no transform"),
        ({"OneOf": {"transforms": 3}}, "OneOf: "),
        ({"OneOf": {"transforms": [{"Blur": {"size": 3}}]}}, "Blur takes no argument 'size'"),
        ({"Compose": {}, "Blur": {}}, "is no transform"),
    ],
)
def test_what_albumentations_does_not_take_is_one_line(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        transform(spec)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"Normalize": {}}, "gives float32"),
        ({"Resize": {"height": 5, "width": 10, "p": 0.01}}, r"gives uint8 \[5, 10, 3\]"),
        ({"RandomCrop": {"height": 50, "width": 5}}, "fails on a training picture: Crop size"),
    ],
)
def test_what_does_not_keep_the_picture_s_form_is_named(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError, match=rf"^here\.1: \w+ {said}"):
        check_on(PICTURE, [{"HorizontalFlip": {}}, spec], where="here")


NESTED = [{"OneOf": {"transforms": [{"Blur": {}}, {"GaussNoise": {"p": 1.0}}], "p": 0.9}}, {"Rotate": {}}]


def test_what_was_drawn_so_far_is_kept_and_taken_up_again() -> None:
    first, second = pipeline(NESTED, seed=1), pipeline(NESTED, seed=2)
    for _ in range(3):
        first(image=PICTURE)
    state = TransformGenerators(first).state_dict()
    drawn = [first(image=PICTURE)["image"].tolist() for _ in range(6)]
    kept = pickle.loads(pickle.dumps(state))
    TransformGenerators(second).load_state_dict(kept)
    assert [second(image=PICTURE)["image"].tolist() for _ in range(6)] == drawn
    assert set(state) == {"numpy", "python"}
    assert len(state["numpy"]) == len(state["python"]) == 5  # the pipeline, four transforms


def test_the_state_of_another_pipeline_is_not_taken_up() -> None:
    state = TransformGenerators(pipeline(NESTED, seed=1)).state_dict()
    with pytest.raises(ValueError, match="zip"):
        TransformGenerators(pipeline(NESTED[1:], seed=1)).load_state_dict(state)
    with pytest.raises(ValueError, match="zip"):
        TransformGenerators(pipeline(NESTED, seed=1)).load_state_dict(state | {"python": state["python"][1:]})


BOXES = A.BboxParams(format="pascal_voc", label_fields=["labels"])


def test_transforms_that_need_a_box_get_one() -> None:
    cut = {"BBoxSafeRandomCrop": {}}
    check_on(PICTURE, [{"HorizontalFlip": {"p": 0.0}}, {"Blur": None}], where="here", bbox_params=BOXES)
    with pytest.raises(ParamsError, match=r"^here\.0: BBoxSafeRandomCrop gives uint8 \[\d+, \d+, 3\]"):
        check_on(PICTURE, [cut], where="here", bbox_params=BOXES)
    with pytest.raises(ParamsError, match=r"^here\.0: BBoxSafeRandomCrop fails on a training picture"):
        check_on(PICTURE, [cut], where="here")


def test_pictures_whose_rows_are_not_side_by_side_in_memory_are_taken() -> None:
    check_on(PICTURE[:, ::2], [{"Blur": {}}, {"HorizontalFlip": {}}], where="here")


def test_what_a_misspelt_name_is_like_is_said_once_and_what_is_like_nothing_is_not() -> None:
    with pytest.raises(
        ValueError,
        match=r"^albumentations has no transform 'HorizontalFlp'; did you mean 'HorizontalFlip'\?$",
    ):
        transform({"HorizontalFlp": {}})
    with pytest.raises(ValueError, match=r"^albumentations has no transform 'qqqq'$"):
        transform({"qqqq": {}})
    with pytest.raises(ValueError, match=r"^albumentations has no transform 'np'"):
        transform({"np": {}})  # a module, which albumentations has
    with pytest.raises(ValueError, match=r"^albumentations has no transform 'BboxParams'"):
        transform({"BboxParams": {}})  # a class that is no transform
    with pytest.raises(ValueError, match=r"^\{\} is no transform: Name: \{argument: value\} is wanted$"):
        transform({})
