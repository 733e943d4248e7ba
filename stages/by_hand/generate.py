"""`darkroom generate`: pictures from a trained generator, for a prompt.

    darkroom generate "a pair of sneakers" --n 16 --seed 7
    darkroom generate coat --attribute brightness=0.3 --truncation 0.7 --out coats

A prompt that is the number or the name of a class asks for that class. Any other prompt is understood by the
text encoder with which the generator was trained. Exit codes: 0; 2 with one line if the user's input is
wrong.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages.core.cli import run_by_hand
from stages.core.errors import DataError
from stages.core.files import write_atomically, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from stages.drawing.sheets import Picture
    from stages.generator.network import Generator

# What imports torch is imported where it is used, because `--help` does not need it.

MODEL = Path("data/models/generator.safetensors")
BATCH = 250
SEEDS = 2**63 - 1
LISTING = "generated.json"
"""What was asked for, and the hash of each file: one that it does not name, or that is another by now, is the
user's."""


def pairs(_context: object, parameter: click.Parameter, words: Sequence[str]) -> dict[str, float]:
    """Click's check of NAME=NUMBER."""
    found = {}
    for word in words:
        name, _, number = word.partition("=")
        try:
            found[name.strip()] = finite_number(number)
        except ValueError:
            message = f"{word!r} is not NAME=NUMBER, such as brightness=0.5"
            raise click.BadParameter(message, param_hint=parameter.opts[0]) from None
    return found


def finite_number(text: str) -> float:
    """A number that can be reckoned with.

    Raises:
        ValueError: No number, NaN, or without an end.

    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


class Truncation(click.FloatRange):
    """Click's range of floats, whose bounds let NaN pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, which lies in the range."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("prompt")
@click.option("--n", "number", type=click.IntRange(1), default=16, show_default=True, help="Pictures.")
@click.option(
    "--seed", type=click.IntRange(0, SEEDS), default=0, show_default=True, help="Same seed, same pictures."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("generated"),
    show_default=True,
    help="Folder for sheet.png and the single pictures; replaces those of the last call.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    default=MODEL,
    show_default=True,
    help="A model file that train-gan wrote.",
)
@click.option(
    "--truncation",
    type=Truncation(0, min_open=True),
    help="Cut random vectors at +- this value: more typical, less varied pictures.",
)
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    callback=pairs,
    metavar="NAME=NUMBER",
    help="A number that the generator was trained with; may be repeated.",
)
def command(
    prompt: str,
    number: int,
    seed: int,
    out: Path,
    model: Path,
    truncation: float | None,
    attributes: Mapping[str, float],
) -> None:
    """Draw pictures of PROMPT: a text, or the name or number of a class.

    \b
    Examples:
      darkroom generate 'red bag'
      darkroom generate 3 --n 64 --seed 7 --out bags
    """  # noqa: D301 - \b is click's
    if not prompt.strip():
        raise DataError("the prompt is empty: say what is to be seen, such as 'a pair of sneakers'")
    from stages.generator.network import load_generator

    network = load_generator(model)
    kind = ask(network, prompt.strip(), attributes)
    pictures = draw(network, kind, number, seed=seed, truncation=truncation)
    asked = {
        "prompt": prompt.strip(),
        "seed": seed,
        "truncation": None if truncation is None or math.isinf(truncation) else truncation,
        "attributes": dict(attributes),
        "model": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    replace_files(out, files_of(pictures, prompt.strip()), asked)
    print(f"{out / 'sheet.png'}: {number} pictures")


def ask(network: Generator, prompt: str, attributes: Mapping[str, float]) -> Tensor:
    """Encode a prompt and attributes as what the generator takes, [1, E + 2 A].

    Raises:
        DataError: No such class, or several, a word or an attribute that it does not know, or no text at all.
        ParamsError, ModelError: Its text encoder is not installed, or another one.

    """
    import torch

    from stages.by_hand.prompts import check_words, class_of
    from stages.prompting.attributes import asked_numbers, encode
    from stages.prompting.text_encoders import load_encoder

    classes, text = network.config["classes"], network.config["text"]
    label = class_of(prompt, classes, text)
    with torch.no_grad():
        if label is not None:
            kind = network.by_class(torch.tensor([label]))
        elif text is None:
            known = ", ".join(classes)
            raise DataError(
                f"prompt {prompt!r}: the generator was trained without text; it has classes: {known}"
            )
        else:
            if text["encoder"] == "words":
                check_words(prompt, classes, text)
            kind = network.by_text(load_encoder(text).encode([prompt]))
        scale = network.config["attributes"]
        return network.ask(kind, encode(asked_numbers(attributes, scale), scale))


def draw(
    network: Generator, asked: Tensor, number: int, *, seed: int, truncation: float | None = None
) -> Picture:
    """Draw pictures uint8 [N, H, W, C] of the one thing that is asked for, [1, E + 2 A]."""
    import numpy as np
    import torch

    from stages.generator.network import draw_latents, render
    from stages.networks.compute import Compute

    compute = Compute(device=torch.device("cpu"), dtype=torch.float32)
    latents = draw_latents(number, network.latent, seed=seed, truncation=truncation)
    parts = [
        render(network, batch, asked.expand(len(batch), -1), compute) for batch in torch.split(latents, BATCH)
    ]
    return np.concatenate(parts)


def files_of(pictures: Picture, prompt: str) -> dict[str, bytes]:
    """Every picture [N, H, W, C] as PNG, and one sheet of all, about as wide as high, by file name."""
    from stages.drawing.sheets import SMALL_SIDE, enlarge, image_grid, png, scale_to

    digits = len(str(len(pictures)))
    files = {
        f"{number:0{digits}d}.png": png(enlarge(picture, 1))
        for number, picture in enumerate(pictures, start=1)
    }
    columns = max(1, round(len(pictures) ** 0.5))
    scale, title = scale_to(SMALL_SIDE, pictures.shape[2]), f"Generated for: {prompt}"
    return files | {"sheet.png": png(image_grid(pictures, columns, scale=scale, title=title))}


def replace_files(folder: Path, files: Mapping[str, bytes], asked: Mapping[str, Any]) -> None:
    """Write `files` by name, and remove those of the call before. `asked` is what the listing tells of them.

    Raises:
        DataError: One that is not of a call before stands in the way; nothing is changed then.

    """
    old = _written(folder)
    for name in [LISTING, *files]:
        path = folder / name
        if name not in old and (path.exists() or path.is_symlink()):
            raise DataError(
                f"{path}: not as an earlier call wrote it; it stays. Move it away, or give another --out"
            )
    for name in old - {LISTING}:
        (folder / name).unlink()
    # Before the pictures: of a call that is killed the next one knows what is its.
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write_json(folder / LISTING, {**asked, "files": hashes})
    for name, content in files.items():
        write_atomically(folder / name, content)


def _written(folder: Path) -> set[str]:
    """The names of files that are still as a call before wrote them, the listing among them."""
    try:
        hashes = json.loads((folder / LISTING).read_bytes())["files"]
        named = {name: hashes[name] for name in hashes if Path(name).name == name}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return set()
    same = {
        name
        for name, sha256 in named.items()
        if (folder / name).is_file() and hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
    }
    return {*same, LISTING}


def main(words: Sequence[str]) -> int:
    """Do what the words say and return the exit code."""
    return run_by_hand(command, "darkroom generate", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
