"""What becomes of pictures whose boxes are refused, repeated, or drawn as polygons."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core.errors import DataError
from stages.core.packed import SPLITS, load_detection
from stages.preprocess.stage import main
from tests.stages.param_files import POLICY, write_params
from tests.stages.projects import preprocess_paths
from tests.stages.sources.readers import FORM, write_picture, write_text

YOLO = FORM | {"format": "yolo", "file": "data.yaml", "shape": [20, 40]}
CROPS = {key: value for key, value in FORM.items() if key != "split"} | {"format": "crops", "margin": 0.0}
GOOD = "0 0.5 0.5 0.5 0.5\n"


def write(folder, labels, detection=YOLO, **policy):
    """A picture of noise for each text of labels."""
    for number, text in enumerate(labels):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(write_picture(folder / f"raw/images/{number:02d}.png"))
        write_text(folder / f"raw/labels/{number:02d}.txt", text)
    write_text(folder / "raw/data.yaml", "train: images\nnames: [cat, dog]\n")
    policy = POLICY | {"max_refused": 0.9} | policy
    values = {"classification": CROPS, "detection": detection, "policy": policy, "shard_megabytes": 1}
    write_params(folder / "params.yaml", "preprocess", values, seed=7)


def run(folder):
    out = folder / "out"
    main(**preprocess_paths(folder, out))
    with (out / "report/findings.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if row["task"] == "detection"]
    return out / "detection", [(row["kind"], Path(row["where"]).name) for row in rows]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setattr("stages.preprocess.sorting.cores", lambda: 0)


def test_a_picture_that_lost_all_of_its_boxes_is_never_background(tmp_path):
    lost = ["0 0.5 0.5 0.5\n", "7 0.5 0.5 0.5 0.5\n", "0 0.5 0.5 0.01 0.01\n"]
    write(tmp_path, [GOOD] * 6 + [""] * 3 + lost)
    out, findings = run(tmp_path)
    assert sorted(findings) == [
        ("invalid_box", "09.txt: line 1"),
        ("invalid_box", "10.txt: line 1"),
        *[("no_box_left", f"{number:02d}.png") for number in (9, 10, 11)],
        ("tiny_box", "11.png"),
    ]
    parts = [load_detection(out, split) for split in SPLITS]
    assert sum(len(part.images) for part in parts) == 9
    assert sum(not len(boxes) for part in parts for boxes in part.boxes) == 3


def test_refused_boxes_count_towards_max_refused(tmp_path):
    write(tmp_path, [GOOD + "0 0.4 0.4 0.4\n"] + [GOOD] * 8, max_refused=0.1)
    run(tmp_path)  # 1 of 10
    write(tmp_path, [GOOD + "0 0.4 0.4 0.4\n"] * 2 + [GOOD] * 7, max_refused=0.1)
    with pytest.raises(DataError, match=r"detection: 2 of 11 boxes refused, .*0\.1; 2 times invalid_box, "):
        run(tmp_path)


@pytest.mark.parametrize("labels", [["0 0.1 0.1\n"] * 9, [""] * 9])
def test_no_box_at_all_is_one_line_and_nothing_is_written(tmp_path, labels):
    write(tmp_path, labels, max_refused=1.0)
    with pytest.raises(DataError) as raised:
        run(tmp_path)
    message = str(raised.value)
    assert "\n" not in message
    if labels[0]:
        assert "no picture for detection" in message
        assert "; 9 times invalid_box, first " in message
        assert "labels/00.txt: line 1: 3 values" in message
    else:
        assert "none of 9 pictures for detection has a box" in message
    assert {path.name for path in (tmp_path / "out").glob("*/*")} <= {"findings.csv"}


def test_a_repeated_row_is_one_box(tmp_path):
    write(tmp_path, [GOOD * 2 + "1 0.5 0.5 0.5 0.5\n"] + [GOOD] * 8)
    out, findings = run(tmp_path)
    assert findings == [("repeated_box", "00.png")]
    parts = [load_detection(out, split) for split in SPLITS]
    assert sum(len(boxes) for part in parts for boxes in part.boxes) == 10


def test_polygons_are_packed_as_segmentation_in_the_frame(tmp_path):
    triangle = "0 0.25 0.25 0.75 0.25 0.5 0.75\n"
    write(tmp_path, [triangle] * 9, YOLO | {"shape": [40, 80], "classes": ["cat"]})
    out, findings = run(tmp_path)
    assert not findings
    document = json.loads((out / "train/annotations.json").read_text())
    for annotation in document["annotations"]:
        assert annotation["bbox"] == [20, 10, 40, 20]
        assert annotation["segmentation"] == [[20, 10, 60, 10, 40, 30]]
    assert len(load_detection(out, "train").boxes) == len(document["images"])


def test_boxes_in_shares_are_not_taken_for_pixels(tmp_path):
    write(tmp_path, [GOOD] * 8)
    files = sorted((tmp_path / "raw/images").iterdir())
    images = [{"id": row, "file_name": file.name} for row, file in enumerate(files)]
    boxes = [{"image_id": row, "category_id": 0, "bbox": [0.25, 0.25, 0.5, 0.5]} for row in range(len(files))]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 0, "name": "cat"}]}
    write_text(tmp_path / "raw/a.json", json.dumps(document))
    coco = FORM | {"format": "coco", "annotations": {"all": "a.json"}, "pictures": "images"}
    values = {"classification": CROPS, "detection": coco, "policy": POLICY | {"max_refused": 0.9}}
    write_params(tmp_path / "params.yaml", "preprocess", values | {"shard_megabytes": 1})
    with pytest.raises(DataError, match=r"every box lies within the first pixel .* say `unit: shares`"):
        run(tmp_path)
