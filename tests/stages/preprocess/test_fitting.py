"""`shape: auto` and `side: auto`: the pictures' own sizes tell the form that they are brought to."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages.core.errors import DataError
from stages.core.packed import load_classification, load_detection
from stages.preprocess.fitting import LOOKED_AT, evenly_chosen, fitted_shape, with_fitted_shapes
from stages.preprocess.stage import main
from stages.sources.params import VideoParams
from stages.sources.preparation import PreprocessParams
from tests.stages.param_files import POLICY, write_params
from tests.stages.projects import preprocess_paths
from tests.stages.sources.test_video import write_video

SPLIT = {"val": 0.25, "test": 0.25, "group_pattern": None, "near_duplicates": None}
FORM = {"classes": None, "shape": "auto", "channels": 3, "fit": "stretch", "ground": 0, "split": SPLIT}
FOLDER = {"format": "image-folder", "folder": "."} | FORM
COCO = {"format": "coco", "annotations": {"all": "boxes.json"}, "pictures": "."} | FORM
CROPS = {key: value for key, value in FORM.items() if key != "split"} | {"format": "crops", "margin": 0.25}
SCENES = {
    "format": "composed",
    "count": {"train": 2, "val": 1, "test": 1},
    "side": "auto",
    "items_min": 1,
    "items_max": 2,
    "scale_min": 1.0,
    "scale_max": 1.5,
    "brightness_min": 1.0,
    "brightness_max": 1.0,
    "min_visible": 0.1,
    "mask_threshold": 1,
}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.preprocess.sorting.cores", lambda: 0)


def write_pictures(raw: Path, *sizes: tuple[int, int]) -> None:
    """Noise of two classes in each of these sizes by turns, 24 of them."""
    noise = np.random.default_rng(0)
    for number in range(24):
        width, height = sizes[number % len(sizes)]
        path = raw / ("cat", "dog")[number // 12] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)


def write_boxes(raw: Path, width: int, height: int) -> None:
    """COCO annotations with a box of this size in each picture."""
    files = sorted(raw.rglob("*.png"))
    images = [{"id": row, "file_name": file.relative_to(raw).as_posix()} for row, file in enumerate(files)]
    things = [
        {"image_id": row, "category_id": row % 2, "bbox": [1, 1, width, height]} for row in range(len(files))
    ]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    (raw / "boxes.json").write_text(
        json.dumps({"images": images, "annotations": things, "categories": categories})
    )


def prepare(folder: Path, classification: dict[str, Any] | None, detection: dict[str, Any] | None) -> Path:
    values = {"classification": classification, "detection": detection, "policy": POLICY}
    write_params(folder / "params.yaml", "preprocess", values | {"shard_megabytes": 1})
    main(**preprocess_paths(folder, folder / "out"))
    return folder / "out"


def test_pictures_to_classify_become_squares_of_their_median_side(tmp_path: Path) -> None:
    write_pictures(tmp_path / "raw", (30, 20), (41, 41), (60, 12))
    out = prepare(tmp_path, FOLDER, None)
    assert load_classification(out / "classification", "train").images.shape[1:] == (40, 40, 3)
    assert "packed as 40 x 40 px (`auto`), colour" in (out / "report/report.md").read_text()
    again = prepare(tmp_path, FOLDER | {"shape": [40, 40]}, None)
    assert "packed as 40 x 40 px, colour" in (again / "report/report.md").read_text()


@pytest.mark.slow
def test_pictures_with_boxes_keep_their_proportions_and_crops_have_their_boxes_size(tmp_path: Path) -> None:
    write_pictures(tmp_path / "raw", (640, 320))
    write_boxes(tmp_path / "raw", 16, 24)
    out = prepare(tmp_path, CROPS, COCO)
    part = load_detection(out / "detection", "train")
    assert part.images.shape[1:] == (160, 320, 3)
    assert part.boxes[0].tolist() == [[0.5, 0.5, 8.5, 12.5]]
    assert load_classification(out / "classification", "train").images.shape[1:] == (36, 36, 3)


def test_composed_scenes_have_room_for_their_items(tmp_path: Path) -> None:
    write_pictures(tmp_path / "raw", (28, 28))
    out = prepare(tmp_path, FOLDER, SCENES)
    assert load_detection(out / "detection", "train").images.shape[1:] == (96, 96, 3)
    assert (out / "report/report.md").read_text().count("(`auto`)") == 2


def test_frames_of_videos_tell_their_size(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_video(tmp_path / name / "a.avi", frames=3, size=(48, 32))
    videos = {"format": "video", "folder": ".", "every": 1} | FORM
    values = {"classification": videos, "detection": None, "policy": POLICY, "shard_megabytes": 1}
    fitted = with_fitted_shapes(PreprocessParams.model_validate(values), tmp_path).classification
    assert isinstance(fitted, VideoParams)
    assert fitted.shape == [48, 48]


def test_without_a_picture_that_can_be_read_one_line_says_what_to_write(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "x.png").write_text("no picture")
    with pytest.raises(DataError, match=r"shape cannot be auto; give \[height, width\], or mend [^\n]*$"):
        prepare(tmp_path, FOLDER, None)


@given(st.integers(0, 5000))
def test_the_pictures_that_are_looked_at_are_evenly_spread(count: int) -> None:
    chosen = evenly_chosen(range(count))
    assert min(count, LOOKED_AT) <= len(chosen) <= 2 * LOOKED_AT
    assert len(set(np.diff(chosen))) <= 1
    assert chosen[:1] == [0][:count]


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_shape_is_bounded_and_keeps_proportions(width: int, height: int) -> None:
    square, other = fitted_shape([(width, height)], "classification")
    assert square == other
    assert 16 <= square <= 64
    shape = fitted_shape([(width, height)], "detection")
    assert 32 <= min(shape) <= max(shape) <= 320
    assert all(side % 16 == 0 for side in shape)
    if min(width, height) >= 64 and max(width, height) < 5 * min(width, height):
        assert shape[1] / shape[0] == pytest.approx(width / height, rel=0.3)
