"""`darkroom repair`, as a user would try it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from stages.by_hand.repair import main
from tests.stages.projects import write_generator


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photographs with a white cross where a mask says so, and whole."""
    monkeypatch.chdir(tmp_path)
    for name in ("damaged", "whole", "masks"):
        (tmp_path / name).mkdir()
    for name in ("china", "flower"):
        small = cv2.resize(load_sample_image(f"{name}.jpg"), (80, 53), interpolation=cv2.INTER_AREA)
        truth = np.asarray(small, np.uint8)
        mask = np.zeros(truth.shape[:2], np.uint8)
        mask[20:23], mask[:, 40:43] = 255, 255
        Image.fromarray(truth).save(f"whole/{name}.png")
        Image.fromarray(np.where(mask[..., None], 255, truth).astype(np.uint8)).save(f"damaged/{name}.png")
        Image.fromarray(mask).save(f"masks/{name}.bmp")
    return tmp_path


def test_a_folder_with_a_mask_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["damaged", "--mask", "masks", "--truth", "whole", "--out", "better", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["picture"] for one in told] == ["damaged/china.png", "damaged/flower.png"]
    for one in told:
        assert one["psnr"] > one["psnr_before"] + 5
        assert one["ssim"] > one["ssim_before"]
        truth = np.asarray(Image.open(one["picture"].replace("damaged", "whole")))
        written = np.asarray(Image.open(one["file"]))
        mask = np.asarray(Image.open(one["picture"].replace("damaged", "masks").replace("png", "bmp"))) > 0
        np.testing.assert_array_equal(written[~mask], truth[~mask])
        error = np.mean((written[mask].astype(float) - truth[mask]) ** 2)
        assert one["psnr_filled"] == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)
        assert one["missing"] == pytest.approx(mask.mean(), abs=1e-4)
    assert sorted(path.name for path in Path("better").iterdir()) == ["china.png", "flower.png", "sheet.png"]


def test_what_covers_a_picture_softly_leaves_nothing_of_itself(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = np.full((40, 40, 3), 80.0)
    shape = np.zeros((40, 40), np.float32)
    shape[15:25, 15:25] = 1
    shape = cv2.GaussianBlur(shape, (5, 5), 0)
    covered = truth * (1 - shape[..., None]) + 255 * shape[..., None]
    Image.fromarray(covered.round().astype(np.uint8)).save("covered.png")
    Image.fromarray((shape * 255).round().astype(np.uint8)).save("soft.png")
    found = {}
    for words in ([], ["--grow", "0"], ["--grow", "3"]):
        assert main(["covered.png", "--mask", "soft.png", *words, "--json"]) == 0
        (told,) = json.loads(capsys.readouterr().out)
        written = np.asarray(Image.open("repaired/covered.png")).astype(float)
        found[tuple(words)] = (told["missing"], np.abs(written - truth).max())
    assert found[()][0] > found["--grow", "0"][0]
    assert found[()][1] < found["--grow", "0"][1] / 2
    assert found["--grow", "3"][1] <= 5, "inpainting itself rounds down to 3 grey levels below"


def test_all_at_once_and_said_in_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["damaged/china.png", "--mask", "masks/china.bmp", "--fill", "navier-stokes", "--denoise"]
    assert main([*words, "--exposure", "--truth", "whole/china.png"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("damaged/china.png: 9.2% filled by navier-stokes, noise of ")
    assert " grey levels removed, exposure fused, PSNR " in said
    assert said.endswith("-> repaired/china.png\n")


@pytest.mark.slow
def test_by_a_generator_of_the_pictures_size(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_generator(folder / "g.safetensors", ["a", "b"], size=16, channels=3)
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save("one.png")
    mask = np.zeros((16, 16), np.uint8)
    mask[4:9, 4:9] = 255
    Image.fromarray(mask).save("hole.png")
    words = ["one.png", "--mask", "hole.png", "--fill", "generator", "--model", "g.safetensors", "--json"]
    assert main(words) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["class"] in ("a", "b")
    assert np.asarray(Image.open("repaired/one.png"))[mask == 0].tolist() == [[90, 90, 90]] * (256 - 25)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["damaged"], "nothing to do: give --mask, --denoise or --exposure"),
        (["damaged", "--exposure", "--sigma", "3"], "--sigma: is for --denoise, which is not given"),
        (["none.png", "--denoise"], "none.png: no such file or folder"),
        (["damaged", "--mask", "none.png"], "none.png: no such file"),
        (
            ["damaged", "whole", "--denoise"],
            "whole/china.png: would be written as repaired/china.png, as damaged",
        ),
        (["damaged", "--denoise", "--out", "damaged"], "damaged/china.png: would be written over itself"),
        (["damaged", "--mask", "black.png"], "black.png: is white nowhere, so nothing is missing"),
        (["damaged", "--mask", "white.png"], "white.png: is white everywhere"),
        (["damaged", "--mask", "small.png"], "small.png: 8 x 8 px, but damaged/china.png has 80 x 53 px"),
        (["damaged", "--mask", "empty"], "--mask empty: has none called china, for damaged/china.png"),
        (["deep.png", "--denoise"], "deep.png: has 16 bits a channel"),
        (
            ["damaged", "--mask", "masks", "--fill", "generator", "--model", "g.safetensors"],
            "damaged/china.png: 80 x 53 px, 3 channels; --fill generator draws 16 x 16 px, 1 channels",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_generator(folder / "g.safetensors", ["a"], size=16, channels=1)
    Image.new("L", (80, 53)).save("black.png")
    Image.new("L", (80, 53), 255).save("white.png")
    Image.new("L", (8, 8), 255).save("small.png")
    Image.fromarray(np.zeros((20, 20), np.uint16)).save("deep.png")
    (folder / "empty").mkdir()
    before = sorted(path for path in folder.rglob("*"))
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {said}")
    assert told.count("\n") == 1
    assert sorted(path for path in folder.rglob("*")) == before
