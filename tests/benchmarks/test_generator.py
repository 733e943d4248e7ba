"""What the comparison of generators rests on."""

import numpy as np

from benchmarks.generator import PHRASINGS, SETTINGS, by_components, merged
from benchmarks.training import params
from stages.gan.params import TrainGanParams
from stages.gan.text_encoders import words_of


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


def test_no_phrasing_holds_a_word_of_its_class():
    assert sum(map(len, PHRASINGS.values())) == 50
    for name, phrasings in PHRASINGS.items():
        own = set(words_of(name.replace("/", " "))) - {"boot"}  # "short boots" is the plain word for them
        assert not [text for text in phrasings if own & set(words_of(text))]


def test_as_many_components_as_pictures_give_them_back():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)
    assert np.array_equal(by_components(images, 6), images)
    assert not np.array_equal(by_components(images, 1), images)
