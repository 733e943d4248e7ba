"""Values that are `auto` in params.yaml: those of this repository's data, and sensible ones of any other."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages.sources.composed import ComposedParams
from stages.train_classifier.params import TrainClassifierParams
from stages.train_detector.params import TrainDetectorParams
from stages.train_gan.params import TrainGanParams
from stages.training.budget import batch_count
from tests.places import ROOT

PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
SECTIONS = {
    "train-classifier": TrainClassifierParams,
    "train-detector": TrainDetectorParams,
    "train-gan": TrainGanParams,
}


def settings(section: str, pictures: int | None, **changes: Any) -> Any:
    return SECTIONS[section].model_validate(PARAMS[section] | changes, context={"pictures": pictures})


@pytest.mark.parametrize("counted", [True, False])
def test_this_repositorys_own_are_what_they_were(counted: bool) -> None:
    pictures, scenes = (55_000, 54_000) if counted else (None, None)
    classifier, detector = settings("train-classifier", pictures), settings("train-detector", scenes)
    gan = settings("train-gan", pictures)
    assert (classifier.epochs, classifier.batch_size) == (12, 128)
    assert (detector.epochs, detector.epoch_pictures, detector.batch_size) == (4, 13_500, 16)
    assert (gan.epochs, gan.batch_size, gan.augment, gan.sheet_every) == (5, 64, [], 2)
    assert (gan.failure.grace, gan.failure.patience) == (1, 3)
    composed = ComposedParams.model_validate(PARAMS["preprocess"]["detection"])
    counts = {"train": 55_000, "val": 5_000, "test": 10_000}
    assert [composed.scene_counts(split, n) for split, n in counts.items()] == [54_000, 400, 1_000]


def test_a_given_value_stands_and_others_follow_it() -> None:
    gan = settings("train-gan", 100, batch_size=50)
    assert gan.batch_size == 50
    assert gan.epochs * batch_count(100, 50) == pytest.approx(4295, rel=0.01)
    assert settings("train-detector", 160, epochs=3, epoch_pictures=None).epochs == 3


@given(st.integers(1, 2_000_000), st.integers(1, 2_000_000))
def test_of_more_pictures_each_is_shown_less_often_and_more_are_shown(one: int, other: int) -> None:
    few, many = sorted((one, other))
    for section in ("train-classifier", "train-detector"):
        least, most = settings(section, few), settings(section, many)
        if section == "train-classifier":
            assert least.epochs >= most.epochs
        assert least.batch_size <= most.batch_size
    gan = settings("train-gan", few)
    steps = gan.epochs * batch_count(few, gan.batch_size)
    assert steps >= 0.5 * 4295
    assert gan.failure.grace < gan.epochs or gan.epochs == 1


@pytest.mark.parametrize("pictures", [1, 7, 160, 2_000])
def test_scenes_grow_with_the_root_of_the_pictures(pictures: int) -> None:
    composed = ComposedParams.model_validate(PARAMS["preprocess"]["detection"])
    once, more = (composed.scene_counts("train", n) for n in (pictures, 4 * pictures))
    assert more == pytest.approx(2 * once, abs=2)


def test_anchors_are_fitted_to_the_boxes_where_nothing_else_is_said() -> None:
    network = PARAMS["train-detector"]["network"] | {"anchor_sizes": "auto", "anchor_ratios": "auto"}
    fitted = settings("train-detector", 100, network=network).network
    assert (fitted.anchor_sizes.fitted, fitted.anchor_ratios.fitted) == (3, 3)
    named = settings("train-detector", 100).network
    assert named.anchor_sizes == PARAMS["train-detector"]["network"]["anchor_sizes"]
