"""The training pictures nearest to a picture: found by hand, and kept for the next time."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.core.errors import DataError
from stages.core.packed import ClassificationSplit, PictureSource
from stages.prediction import Classified, ClassifierPredictor, load_classifier, neighbours
from stages.prediction.neighbours import KnownPictures
from tests.stages.small_models import LABELS, params_for_models, save_models

PICTURES = 30


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a classifier and packed training pictures."""
    monkeypatch.chdir(tmp_path)
    save_models(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params_for_models()))
    pack(tmp_path / "packed", seed=0)
    return tmp_path


def pack(folder: Path, *, seed: int, size: tuple[int, int] = (16, 20)) -> None:
    """Random training pictures, as preprocess packs them."""
    draw, train = np.random.default_rng(seed), folder / "train"
    train.mkdir(parents=True, exist_ok=True)
    np.save(train / "images.npy", draw.integers(0, 256, (PICTURES, *size, 3), dtype=np.uint8))
    np.save(train / "labels.npy", np.arange(PICTURES) % len(LABELS))
    (train / "sources.txt").write_text("".join(f"raw/{row}.png\n" for row in range(PICTURES)))
    (folder / "classes.json").write_text(json.dumps(LABELS))


def asked(folder: Path, count: int = 3, data: str = "packed") -> ClassifierPredictor:
    model = folder / "classifier.safetensors"
    return load_classifier(model, params=folder / "params.yaml", nearest=count, data=data)


def test_the_nearest_by_angle_come_first() -> None:
    features = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)
    split = ClassificationSplit(
        images=np.zeros((5, 2, 2, 1), np.uint8), labels=np.array([9, 0, 1, -1, 0]), classes=["a", "b"]
    )
    sources = [PictureSource(picture=f"{row}.png", places=()) for row in range(5)]
    known = KnownPictures(features=features, rows=np.array([1, 2, 3, 4]), split=split, sources=sources)
    first, second = known.nearest(np.array([[3, 0], [0, 0.1]], dtype=np.float32), 3)
    assert [one.row for one in first] == [1, 3, 2]
    assert [one.distance for one in first] == pytest.approx([0, 0.4, 1], abs=1e-6)
    assert [one.label for one in first] == ["a", None, "b"]
    assert [one.picture for one in second] == ["2.png", "3.png", "1.png"]


def test_of_equally_near_ones_the_first_in_the_split_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 2)  # they lie in several blocks
    split = ClassificationSplit(
        images=np.zeros((5, 2, 2, 1), np.uint8), labels=np.zeros(5, np.int64), classes=["a"]
    )
    same = np.ones((5, 1), dtype=np.float32)
    known = KnownPictures(features=same, rows=np.arange(5), split=split, sources=None)
    (found,) = known.nearest(same[:1], 3)
    assert [one.picture for one in found] == ["train 0", "train 1", "train 2"]
    (all_of_them,) = known.nearest(same[:1], 9)
    assert len(all_of_them) == 5


def test_a_training_picture_is_nearest_to_itself(folder: Path) -> None:
    predictor = asked(folder)
    images = np.load("packed/train/images.npy")
    for row, answer in enumerate(predictor.predict(images, batch=7)):
        assert isinstance(answer, Classified)
        assert len(answer.nearest) == 3
        first = answer.nearest[0]
        assert (first.picture, first.label) == (f"raw/{row}.png", LABELS[row % 3])
        assert first.distance == pytest.approx(0, abs=1e-5)
        assert answer.nearest[0].distance <= answer.nearest[1].distance <= answer.nearest[2].distance


def test_features_are_computed_once_for_each_model_and_data(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = folder / ".darkroom/features"
    (answer,) = asked(folder).predict(["packed/train/none.png", np.load("packed/train/images.npy")[4]][1:])
    assert capsys.readouterr().err.startswith("30 training pictures are looked at once")
    (again,) = asked(folder).predict([np.load("packed/train/images.npy")[4]])
    assert capsys.readouterr().err == ""
    assert answer == again
    (file,) = kept.glob("*.npy")

    shutil.copytree("packed", "same")
    asked(folder, data="same")
    assert list(kept.glob("*.npy")) == [file]
    pack(Path("packed"), seed=1)
    asked(folder)
    assert len(list(kept.glob("*.npy"))) == 2
    assert (kept / ".gitignore").read_text() == "*\n"


def test_a_damaged_file_of_features_is_made_anew(folder: Path) -> None:
    asked(folder)
    (file,) = Path(".darkroom/features").glob("*.npy")
    whole = file.read_bytes()
    for left in (0, 40, len(whole) - 9):
        file.write_bytes(whole[:left])
        asked(folder)
        assert file.read_bytes() == whole


def test_features_that_were_not_used_for_longest_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "FILES_MOST", 2)
    kept, made = Path(".darkroom/features"), []
    for seed in range(3):
        pack(Path("packed"), seed=seed)
        asked(folder)
        (new,) = set(kept.glob("*.npy")) - set(made)
        os.utime(new, (seed, seed))
        made.append(new)
        if seed == 1:
            pack(Path("packed"), seed=0)
            asked(folder)  # used again
    assert sorted(kept.glob("*.npy")) == sorted([made[0], made[2]])


def test_more_pictures_than_can_be_kept_are_drawn_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "PICTURES_MOST", 10)
    predictor = asked(folder, count=50)
    (answer,) = predictor.predict([np.load("packed/train/images.npy")[0]])
    assert isinstance(answer, Classified)
    assert len({one.row for one in answer.nearest}) == 10
    assert all(one.picture == f"raw/{one.row}.png" for one in answer.nearest)


def test_pictures_of_another_form_are_refused(folder: Path) -> None:
    pack(folder / "packed", seed=0, size=(8, 8))
    with pytest.raises(DataError, match=r"packed: pictures of 8 x 8 x 3, .* trained on 16 x 20 x 3"):
        asked(folder)
    with pytest.raises(DataError, match=r"none/.*no such file"):
        asked(folder, data="none")
