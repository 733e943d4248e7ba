"""`darkroom generate`, as a user would try it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stages.by_hand.generate import main
from stages.generator.network import build_generator
from stages.networks.model_files import save_model

CONFIG = {
    "size": 8,
    "channels": 1,
    "classes": ["T-shirt/top", "Bag"],
    "latent": 4,
    "condition": 4,
    "width": 4,
    "text": {"encoder": "words", "vocabulary": ["a", "bag", "pair", "t-shirt", "top"], "dimensions": 5},
    "attributes": {"names": ["brightness"], "mean": [0.5], "std": [0.1]},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrained generator where train-gan leaves one, and one that knows no text."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    for name, config in (("generator", CONFIG), ("mute", CONFIG | {"text": None, "attributes": None})):
        path = tmp_path / f"data/models/{name}.safetensors"
        save_model(path, build_generator(config), kind="generator", config=config)
    return tmp_path


def generate(words: list[str], capsys: Any) -> tuple[int, str]:
    """The exit code and what was said."""
    code = main(words)
    said = capsys.readouterr()
    return code, said.out + said.err


def pictures(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.png"))]


def test_draws_a_sheet_and_single_pictures_the_same_for_the_same_seed(folder: Path, capsys: Any) -> None:
    said = generate(["a bag", "--n", "12", "--seed", "7", "--out", "one"], capsys)
    assert said == (0, "one/sheet.png: 12 pictures\n")
    names = sorted(path.name for path in (folder / "one").iterdir())
    assert names == [*(f"{number:02d}.png" for number in range(1, 13)), "generated.json", "sheet.png"]
    assert np.asarray(Image.open(folder / "one/01.png").convert("L")).shape == (8, 8)
    generate(["a bag", "--n", "12", "--seed", "7", "--out", "again"], capsys)
    generate(["a bag", "--n", "12", "--seed", "8", "--out", "other"], capsys)
    assert pictures(folder / "one") == pictures(folder / "again") != pictures(folder / "other")


def test_a_class_by_number_or_by_any_of_its_names_is_the_same(folder: Path, capsys: Any) -> None:
    for prompt in ("0", "T-shirt/top", "top", " t-shirt "):
        assert (
            generate([prompt, "--n", "2", "--out", f"of {prompt.strip('/').replace('/', '')}"], capsys)[0]
            == 0
        )
    # the sheet's title has the words
    drawn = [pictures(path)[:2] for path in sorted(folder.glob("of *"))]
    assert len(drawn) == 4
    assert all(one == drawn[0] for one in drawn)
    generate(["1", "--n", "2", "--out", "bag"], capsys)
    assert pictures(folder / "bag") != drawn[0]


def test_numbers_and_truncation_change_the_pictures(folder: Path, capsys: Any) -> None:
    plain = ["bag", "--n", "3"]
    for out, more in (
        ("plain", []),
        ("bright", ["--attribute", "brightness=0.9"]),
        ("typical", ["--truncation", "0.1"]),
    ):
        assert generate([*plain, *more, "--out", out], capsys)[0] == 0
    drawn = [pictures(folder / out) for out in ("plain", "bright", "typical")]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_pictures_of_the_call_before_are_replaced_and_files_of_others_stay(folder: Path, capsys: Any) -> None:
    generate(["bag", "--n", "12"], capsys)
    drawn = folder / "generated"
    (drawn / "notes.txt").write_text("mine")
    (drawn / "05.png").write_bytes(b"painted over")  # ours no longer
    assert generate(["top", "--n", "4"], capsys)[0] == 0
    kept = ["05.png", "1.png", "2.png", "3.png", "4.png", "generated.json", "notes.txt", "sheet.png"]
    assert sorted(path.name for path in drawn.iterdir()) == kept
    listed = json.loads((drawn / "generated.json").read_text())
    assert (listed["prompt"], listed["seed"], len(listed["files"])) == ("top", 0, 5)


@pytest.mark.parametrize("name", ["3.png", "generated.json"])
def test_a_file_of_the_users_is_not_written_over(folder: Path, capsys: Any, name: str) -> None:
    generate(["bag", "--n", "2"], capsys)
    drawn = folder / "generated"
    (drawn / name).write_bytes(b"{}")
    before = {path.name: path.read_bytes() for path in drawn.iterdir()}
    said = f"generated/{name}: not as an earlier call wrote it; it stays. Move it away, or give another --out"
    assert generate(["top", "--n", "4"], capsys) == (2, f"error: {said}\n")
    assert {path.name: path.read_bytes() for path in drawn.iterdir()} == before


MUTE = ["--model", "data/models/mute.safetensors"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([""], "the prompt is empty: say what is to be seen"),
        (["  "], "the prompt is empty: say what is to be seen"),
        (
            ["a warm bag"],
            "without the word 'warm'; it takes one of t-shirt, top, bag (train-gan.text.encoder",
        ),
        (["a pair"], "prompt 'a pair': names nothing to be drawn; it takes one of t-shirt, top, bag"),
        (["a top and a bag"], "names several classes (T-shirt/top, Bag); ask for one at a time"),
        (["7"], "class 7: there are 0 T-shirt/top, 1 Bag"),
        (["bag", "--n", "0"], "0 is not in the range x>=1"),
        (["bag", "--truncation", "0"], "0.0 is not in the range x>0"),
        (["bag", "--truncation", "nan"], "'nan' is not a number"),
        (["²"], "prompt '²': the generator was trained without the word '²'"),
        (["bag", "--model", "none"], "none: no such model"),
        (["bag", "--model", "data/models"], "data/models: cannot be read as a model file: it is a folder"),
        (["bag", "--attribute", "brightness=nan"], "'brightness=nan' is not NAME=NUMBER"),
        (["bag", "--attribute", "size=2"], "'size': the generator was trained without it; it has brightness"),
        (["bag", "--attribute", "bright"], "'bright' is not NAME=NUMBER"),
        (["a pair", *MUTE], "the generator was trained without text; it has classes: T-shirt/top, Bag"),
        (["bag", "--out", "data/models/mute.safetensors"], "is a file"),
        ([], "Missing argument 'PROMPT'"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    folder: Path, capsys: Any, words: list[str], said: str
) -> None:
    code, line = generate(words, capsys)
    assert code == 2
    assert said in line
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert not (folder / "generated").exists()
