"""What a prompt names, and what is said of one that names nothing or too much."""

from typing import Any

import pytest

from stages.by_hand.prompts import check_words, class_of, classes_named
from stages.core.errors import DataError

CLASSES = ["T-shirt/top", "Shirt", "Coat", "Ankle boot"]
VOCABULARY = ["a", "an", "ankle", "boot", "coat", "pair", "shirt", "some", "t-shirt", "the", "top"]
TEXT: dict[str, Any] = {"encoder": "words", "vocabulary": VOCABULARY}
KNOWN = "it takes one of t-shirt, top, shirt, coat, ankle boot"


@pytest.mark.parametrize(
    ("prompt", "label"),
    [("2", 2), ("COAT", 2), ("t-shirt/top", 0), ("top", 0), ("a coat", None), ("²", None)],
)
def test_a_class_by_number_or_whole_name(prompt: str, label: int | None) -> None:
    assert class_of(prompt, CLASSES, TEXT) == label


def test_a_class_by_a_name_that_params_give_it() -> None:
    assert class_of("Jacket", CLASSES, TEXT | {"names": {"Coat": ["jacket", "coat"]}}) == 2
    assert class_of("jacket", CLASSES, None) is None


@pytest.mark.parametrize("prompt", ["4", "-1", "99999999999"])
def test_a_number_of_no_class_is_refused(prompt: str) -> None:
    with pytest.raises(DataError, match=f"class {prompt}: there are 0 T-shirt/top, 1 Shirt, 2 Coat"):
        class_of(prompt, CLASSES, TEXT)


@pytest.mark.parametrize("prompt", ["+3", "03", "\N{FULLWIDTH DIGIT THREE}", "\N{DEVANAGARI DIGIT THREE}"])
def test_a_number_that_is_not_written_as_classes_are_is_refused(prompt: str) -> None:
    with pytest.raises(DataError, match="no number of a class is written so; write 3"):
        class_of(prompt, CLASSES, TEXT)


@pytest.mark.parametrize(
    "prompt",
    [
        "a coat",
        "some T-shirts",
        "a pair of ankle boots",
        "boots",
        "the coats, a coat",
        "the coat's",
        "a \u201ccoat\u201d",
    ],
)
def test_one_class_is_named(prompt: str) -> None:
    check_words(prompt, CLASSES, TEXT | {"vocabulary": [*VOCABULARY, "of"]})


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("the", f"prompt 'the': names nothing to be drawn; {KNOWN}"),
        ("some pair", "names nothing to be drawn"),
        ("?!", "has no word; say what is to be seen"),
        ("coat shirt", r"names several classes \(Shirt, Coat\); ask for one at a time"),
        ("a coat and a boot", r"names several classes \(Coat, Ankle boot\)"),  # not: did you mean 'an'?
        ("shoes", f"without the word 'shoe'; {KNOWN}"),  # not: did you mean 'some'?
        ("не coat", "without the word 'не'"),
        ("红色 boot", "without the word '红色'"),
        ("c\N{COMBINING CEDILLA}oat", "without the word 'çoat'; did you mean 'coat'"),
        ("coat \N{SLIGHTLY SMILING FACE}", "the generator makes nothing of '.'; it takes words"),
        ("coat + boot", r"makes nothing of '\+'"),
        ("a coet", "without the word 'coet'; did you mean 'coat'?"),
        ("T shirt", "without the word 't'; did you mean 't-shirt'?"),
    ],
)
def test_what_could_not_be_drawn_is_said(prompt: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_words(prompt, CLASSES, TEXT)


def test_words_of_the_datas_own_captions_name_something_too() -> None:
    own = TEXT | {"vocabulary": [*VOCABULARY, "striped"], "described": ["striped"]}
    check_words("a striped pair", CLASSES, own)
    check_words("striped coat, shirt", CLASSES, own)  # may be what a caption says
    with pytest.raises(
        DataError, match=r"names nothing to be drawn; it takes one of .*, ankle boot, striped"
    ):
        check_words("the pair", CLASSES, own)


def test_a_longer_name_counts_before_a_part_of_it() -> None:
    names = [["ankle boot"], ["rain boot"], ["boot"]]
    assert classes_named(["rain", "boot"], names) == [1]
    assert classes_named(["boot"], names) == [2]
    assert classes_named(["boot"], names[:2]) == [0, 1]
    assert classes_named(["shirt", "dress"], [["dress shirt"], ["dress"], ["shirt"]]) == [0]
