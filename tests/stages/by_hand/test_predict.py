"""`darkroom classify` and `darkroom detect`, as a user would try them."""

import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from stages.by_hand.predict import main
from tests.stages.small_models import BOX_LABELS, LABELS, params_for_models, save_models


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with trained models, and pictures at two depths."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/models").mkdir(parents=True)
    save_models(tmp_path / "data/models")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params_for_models()))
    draw = np.random.default_rng(0)
    for name in ("photos/b.png", "photos/deep/a.jpg", "photos/ä [1].png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (30, 50, 3), dtype=np.uint8)).save(path)
    (tmp_path / "photos/notes.txt").touch()
    return tmp_path


def test_a_folder_is_classified_a_line_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "photos"]) == 0
    said, how = capsys.readouterr()
    assert [line.partition(":")[0] for line in said.splitlines()] == [
        "photos/b.png",
        "photos/deep/a.jpg",
        "photos/ä [1].png",
    ]
    assert all(any(f": {label} 0." in line for label in LABELS) for line in said.splitlines())
    assert how.startswith("3 pictures in ")


def test_files_patterns_and_a_list_each_once(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("photos/deep/a.jpg\n\nphotos/b.png\n"))
    assert main(["classify", "photos/ä [1].png", "photos/**/*.jpg", "-", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["picture"] for row in rows] == ["photos/ä [1].png", "photos/deep/a.jpg", "photos/b.png"]
    assert all(row["label"] in LABELS and 0 < float(row["probability"]) <= 1 for row in rows)


def test_what_cannot_be_read_is_said_and_the_others_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "photos/b.png").write_bytes(b"no picture")
    assert main(["classify", "photos", "--format", "json"]) == 1
    said, how = capsys.readouterr()
    first, second, _ = json.loads(said)
    assert first["picture"] == "photos/b.png"
    assert first["reason"].startswith("unreadable")
    assert second["label"] in LABELS
    assert "1 could not be read" in how


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["classify", "none.png"], "none.png: no such file or folder"),
        (["classify", "*.bmp"], "*.bmp: no file matches"),
        (["detect", "data"], "data: holds no picture"),
        (["detect", "photos", "--format", "yolo"], "--format yolo"),
        (["detect", "photos", "--model", "none.safetensors"], "none.safetensors: no such model"),
        (["detect", "photos", "--model", "data/models/classifier.safetensors"], "classifier"),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_boxes_in_every_format_are_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["detect", "photos/b.png", "--threshold", "0.01"]
    found = {}
    for form in ("json", "csv", "coco"):
        assert main([*words, "--format", form]) == 0
        found[form] = capsys.readouterr().out
    (picture,) = json.loads(found["json"])
    assert picture["boxes"]
    corners = [[box[side] for side in ("x1", "y1", "x2", "y2")] for box in picture["boxes"]]

    rows = list(csv.DictReader(io.StringIO(found["csv"])))
    table = [[float(row[side]) for side in ("x1", "y1", "x2", "y2")] for row in rows]
    np.testing.assert_allclose(table, corners, atol=0.06)

    coco = json.loads(found["coco"])
    assert [one["name"] for one in coco["categories"]] == BOX_LABELS
    assert coco["images"] == [{"id": 1, "file_name": "photos/b.png", "width": 50, "height": 30}]
    boxes = np.array([one["bbox"] for one in coco["annotations"]])
    boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_allclose(boxes, corners, atol=0.02)

    assert main([*words, "--format", "yolo", "--out", "labels"]) == 0
    assert (folder / "labels/classes.txt").read_text() == "cat\ndog\n"
    labels = np.loadtxt(folder / "labels/photos/b.txt", ndmin=2)
    centres, sizes = labels[:, 1:3] * [50, 30], labels[:, 3:] * [50, 30]
    np.testing.assert_allclose(np.hstack([centres - sizes / 2, centres + sizes / 2]), corners, atol=1e-3)


def test_few_boxes_are_sure_enough_and_pictures_are_drawn(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", "photos", "--threshold", "1", "--draw", "drawn"]) == 0
    assert all(line.endswith("nothing found") for line in capsys.readouterr().out.splitlines())
    assert main(["classify", "photos", "--draw", "drawn-too"]) == 0
    for drawn in ("drawn", "drawn-too"):
        paths = sorted(path.relative_to(drawn).as_posix() for path in Path(drawn).rglob("*.jpg"))
        assert paths == ["photos/b.jpg", "photos/deep/a.jpg", "photos/ä [1].jpg"]
        with Image.open(Path(drawn) / paths[0]) as picture:
            assert max(picture.size) >= 150
            band = np.asarray(picture.convert("L"))[:24]  # the title: dark letters on white paper
            assert (band > 250).mean() > 0.5
            assert band.min() < 80


def film(path: Path, frames: int) -> None:
    """A video of plain pictures, each lighter than the one before."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (48, 32))
    for number in range(frames):
        writer.write(np.full((32, 48, 3), 40 * number, np.uint8))
    writer.release()


def test_frames_of_a_video_are_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(folder / "photos/film.avi", 5)
    (folder / "photos/broken.mp4").write_bytes(b"no video")
    assert main(["classify", "photos/film.avi", "--every", "2", "--format", "json", "--draw", "drawn"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [one["picture"] for one in answers] == [f"photos/film.avi/{number:06d}" for number in (0, 2, 4)]
    assert {(one["width"], one["height"]) for one in answers} == {(48, 32)}
    assert len(list((folder / "drawn/photos/film.avi").glob("*.jpg"))) == 3
    assert main(["detect", "photos", "--every", "5"]) == 1
    said, how = capsys.readouterr()
    assert len(said.splitlines()) == 5  # three pictures, a frame, and what is none
    assert "1 could not be read" in how


def pack_training_pictures(folder: Path) -> None:
    """Three pictures, packed as preprocess packs them."""
    train = folder / "data/prepared/classification/train"
    train.mkdir(parents=True)
    draw = np.random.default_rng(1)
    np.save(train / "images.npy", draw.integers(0, 256, (3, 16, 20, 3), dtype=np.uint8))
    np.save(train / "labels.npy", np.arange(3))
    (train / "sources.txt").write_text("".join(f"raw/{label}.png\n" for label in LABELS))
    (train.parent / "classes.json").write_text(json.dumps(LABELS))


def test_the_nearest_training_pictures_in_every_format(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack_training_pictures(folder)
    words = ["classify", "photos", "--nearest", "2"]
    assert main([*words, "--draw", "drawn"]) == 0
    said, how = capsys.readouterr()
    assert "3 training pictures are looked at once; kept in .darkroom/features" in how
    lines = said.splitlines()
    assert len(lines) == 9
    assert main([*words, "--format", "json"]) == 0
    said, how = capsys.readouterr()
    assert "looked at once" not in how
    answers = json.loads(said)
    for number, answer in enumerate(answers):
        first, second = answer["nearest"]
        assert first["distance"] <= second["distance"]
        assert first["picture"] == f"raw/{first['label']}.png"
        line = f"  1. {first['label']}, distance {first['distance']:.4f}: raw/{first['label']}.png"
        assert lines[3 * number + 1] == line
    assert main([*words, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["nearest:2"] for row in rows] == [answer["nearest"][1]["picture"] for answer in answers]
    assert [row["nearest:2:label"] for row in rows] == [answer["nearest"][1]["label"] for answer in answers]
    with Image.open(folder / "drawn/photos/b.jpg") as sheet:
        assert sheet.width > 3 * 160
    assert main(["classify", "photos", "--format", "json"]) == 0
    assert "nearest" not in capsys.readouterr().out


def test_the_nearest_need_training_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "photos", "--nearest", "2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: data/prepared/classification/train/images.npy: no such file")


def test_an_augmented_detector_answers_in_the_same_form(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["detect", "photos", "--threshold", "0.01", "--format", "json"]
    answers = []
    for more in ([], ["--augment"], ["--augment"]):
        assert main([*words, *more]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    plain, augmented, again = answers
    assert augmented == again
    assert augmented != plain
    for answer in augmented:
        scores = [box["score"] for box in answer["boxes"]]
        assert scores == sorted(scores, reverse=True)
        for box in answer["boxes"]:
            assert 0 <= box["x1"] < box["x2"] <= 50
            assert 0 <= box["y1"] < box["y2"] <= 30


def test_a_release_is_asked_for_by_darkroom(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "photos", "--release", "v1.0.0"]) == 2
    assert capsys.readouterr().err.startswith("error: --release: only `darkroom classify`")
