"""What the comparison of generators rests on."""

import numpy as np
import pytest

from benchmarks.stages.generator import PHRASINGS, SETTINGS, by_components, merged
from benchmarks.stages.training import params
from stages.prompting.text_encoders import words_of
from stages.train_gan.params import TrainGanParams


def test_all_settings_are_params():
    given = params()["train-gan"]
    for changed in SETTINGS.values():
        TrainGanParams(**merged(given, changed))


def test_nested_keys_are_changed_one_by_one_and_variants_taken_whole():
    values = {"a": 1, "loss": {"name": "hinge"}, "text": {"encoder": "words", "share": 0.5}}
    changed = {"loss": {"name": "wgan-gp", "penalty": 1.0}, "text": {"encoder": "minilm"}}
    assert merged(values, changed) == {
        "a": 1,
        "loss": {"name": "wgan-gp", "penalty": 1.0},
        "text": {"encoder": "minilm", "share": 0.5},
    }


@pytest.mark.parametrize("phrasings", PHRASINGS.values(), ids=PHRASINGS)
def test_no_phrasing_holds_a_word_of_its_class(phrasings):
    assert [len(of_class) for of_class in phrasings.values()] == [5] * 10
    for name, of_class in phrasings.items():
        own = set(words_of(name.replace("/", " "))) - {"boot"}  # "short boots" is the plain word for them
        assert not [text for text in of_class if own & set(words_of(text))]


def test_no_phrasing_is_in_both_lists():
    first, second = ({text for of in phrasings.values() for text in of} for phrasings in PHRASINGS.values())
    assert not first & second


def test_no_description_holds_a_word_of_the_phrasings():
    """But for those that say nothing of what it is."""
    plain = {"a", "for", "of", "the", "with"}
    asked = {
        word
        for of in PHRASINGS.values()
        for texts in of.values()
        for text in texts
        for word in words_of(text)
    }
    for descriptions in params()["train-gan"]["text"]["descriptions"].values():
        assert not (asked - plain) & {word for text in descriptions for word in words_of(text)}


def test_as_many_components_as_pictures_give_them_back():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)
    assert np.array_equal(by_components(images, 6), images)
    assert not np.array_equal(by_components(images, 1), images)
