"""What a prompt asks for: a class, by its number, its name or within a text; or nothing that can be drawn.

The built-in encoder does not know what words mean. To it "the" is a word of the captions just as "coat" is,
and for "a coat and a bag" it would make something between the two. So a prompt to it must name exactly one
class. If the data has captions of its own, the words of these captions decide, since they may describe
anything.
"""

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from stages.core.errors import DataError
from stages.prompting.captions import names_of
from stages.prompting.text_encoders import words_of

SHOWN = 40  # known words in an error
ALIKE = 0.75  # a letter in four is another


def names_by_class(classes: Sequence[str], text: Mapping[str, Any] | None) -> list[list[str]]:
    """What each class is called in the captions that the generator was trained with."""
    given = (text or {}).get("names") or {}
    return [given.get(label) or names_of(label) for label in classes]


def class_of(prompt: str, classes: Sequence[str], text: Mapping[str, Any] | None) -> int | None:
    """The class that the prompt is the number or the whole name of, if any.

    Raises:
        DataError: A number that is no class's, or written in another way than classes are.

    """
    try:
        number = int(prompt)
    except ValueError:
        called = [
            {label.lower(), *map(str.lower, names)}
            for label, names in zip(classes, names_by_class(classes, text), strict=True)
        ]
        found = [label for label, names in enumerate(called) if prompt.lower() in names]
        return found[0] if len(found) == 1 else None
    if prompt != str(number):
        raise DataError(f"class {prompt}: no number of a class is written so; write {number}")
    if number in range(len(classes)):
        return number
    named = ", ".join(f"{label} {name}" for label, name in enumerate(classes))
    raise DataError(f"class {prompt}: there are {named}")


def check_words(prompt: str, classes: Sequence[str], text: Mapping[str, Any]) -> None:
    """Refuse what the built-in encoder, of config `text`, could make no picture of.

    Raises:
        DataError: No word; several classes, or none; a word that training did not have; a sign that is
            no part of a word.

    """
    if signs := [sign for sign in prompt if unicodedata.category(sign)[0] in "SC"]:
        raise DataError(f"prompt {prompt!r}: the generator makes nothing of {signs[0]!r}; it takes words")
    words, names = words_of(prompt), names_by_class(classes, text)
    if not words:
        raise DataError(f"prompt {prompt!r}: has no word; say what is to be seen")
    described = text.get("described", [])
    subjects = [*(name for of_class in names for name in of_class), *described]
    named = [] if described else classes_named(words, names)
    if len(named) > 1:
        several = ", ".join(classes[label] for label in named)
        raise DataError(f"prompt {prompt!r}: names several classes ({several}); ask for one at a time")
    for word in words:
        if word not in text["vocabulary"]:
            raise DataError(_unknown(prompt, word, subjects))
    if not {word for subject in subjects for word in words_of(subject)} & {*words}:
        raise DataError(f"prompt {prompt!r}: names nothing to be drawn; it takes one of {_shown(subjects)}")


def classes_named(words: Sequence[str], names: Sequence[Sequence[str]]) -> list[int]:
    """The classes that words are names of, `names` being those of each class.

    A part of a name does for words that are in no whole one, and a longer one counts before one within it: of
    "ankle boot" and "rain boot" the words "rain boot" name the second, and "boot" both.
    """
    given = set(words)
    parts = [[frozenset(words_of(name)) for name in of_class] for of_class in names]
    whole = {name for of_class in parts for name in of_class if name and name <= given}
    longest = {name for name in whole if not any(name < other for other in whole)}
    open_words = given.difference(*longest)
    return [
        label
        for label, of_class in enumerate(parts)
        if any(name in longest or name & open_words for name in of_class)
    ]


def _unknown(prompt: str, word: str, subjects: Sequence[str]) -> str:
    parts = [part for subject in subjects for part in words_of(subject)]
    close = difflib.get_close_matches(prompt.lower(), subjects, 1, ALIKE) or difflib.get_close_matches(
        word, parts, 1, ALIKE
    )
    mend = f"did you mean '{close[0]}'?" if close else f"it takes one of {_shown(subjects)}"
    return (
        f"prompt {prompt!r}: the generator was trained without the word '{word}'; {mend}"
        " (train-gan.text.encoder: minilm takes any words)"
    )


def _shown(words: Sequence[str]) -> str:
    return ", ".join(words[:SHOWN]) + (" and more" if len(words) > SHOWN else "")
