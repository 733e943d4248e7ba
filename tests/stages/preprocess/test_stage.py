import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO

from stages.core.errors import DataError, ParamsError
from stages.core.packed import SPLITS, load_classification, load_detection, why_left_out
from stages.preprocess.stage import main
from tests.places import ROOT
from tests.stages.param_files import POLICY, write_params
from tests.stages.projects import preprocess_paths

CLASSES = ["dark", "middle", "bright"]
SCENES = {
    "format": "composed",
    "count": {"train": 12, "val": 5, "test": 7},
    "side": 24,
    "items_min": 1,
    "items_max": 3,
    "scale_min": 0.8,
    "scale_max": 1.5,
    "brightness_min": 1.0,
    "brightness_max": 1.0,
    "min_visible": 0.5,
    "mask_threshold": 8,
}


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    path.write_bytes(header + array.tobytes())


def write_raw(folder, name, images, labels):
    folder.mkdir(exist_ok=True)
    write_idx(folder / f"{name}-images-idx3-ubyte", images)
    write_idx(folder / f"{name}-labels-idx1-ubyte", labels)


def pictures(count, seed):
    """Noise of 8 by 8 pixels, no two alike, in three classes by brightness."""
    labels = np.arange(count, dtype=np.uint8) % 3
    noise = np.random.default_rng(seed).integers(20, 80, (count, 8, 8))
    return (noise + 80 * labels[:, None, None]).clip(0, 255).astype(np.uint8), labels


def own_params(path, *, scenes=SCENES, val=0.25, classes=CLASSES, **policy):
    split = {"val": val, "test": None, "group_pattern": None, "near_duplicates": None}
    preprocess = {
        "classification": {"format": "idx", "classes": classes, "split": split},
        "detection": scenes,
        "policy": POLICY | {"max_refused": 0.1} | policy,
        "shard_megabytes": 1,
    }
    write_params(path, "preprocess", preprocess, seed=7)


@pytest.fixture
def given(tmp_path):
    write_raw(tmp_path / "raw", "train", *pictures(60, seed=1))
    write_raw(tmp_path / "raw", "t10k", *pictures(18, seed=2))
    own_params(tmp_path / "params.yaml")
    return tmp_path


def run(given, out="out"):
    out = given / out
    main(**preprocess_paths(given, out))
    return out


def digests(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_picture_is_in_one_split_with_its_label_and_classes_in_proportion(given):
    out = run(given)
    train, val, test = (load_classification(out / "classification", split) for split in SPLITS)
    assert (len(train.images), len(val.images), len(test.images)) == (45, 15, 18)
    assert train.images.shape[1:] == (8, 8, 1)
    for part, each in ((train, 15), (val, 5), (test, 6)):
        assert np.bincount(part.labels).tolist() == [each] * 3
        assert part.classes == CLASSES
    raw_images, raw_labels = pictures(60, seed=1)
    label_of = {image.tobytes(): label for image, label in zip(raw_images, raw_labels, strict=True)}
    both = [
        (image.tobytes(), label)
        for part in (train, val)
        for image, label in zip(part.images, part.labels, strict=True)
    ]
    assert len(both) == len(label_of)
    assert dict(both) == label_of
    assert (test.images[..., 0] == pictures(18, seed=2)[0]).all()


def test_same_bytes_again_and_over_what_stood_there(given):
    first = digests(run(given))
    assert digests(run(given, "again")) == first
    stale = given / "again/classification/stale.npy"
    stale.write_bytes(b"old")
    assert digests(run(given, "again")) == first


def test_another_seed_splits_and_composes_otherwise(given):
    first = run(given)
    document = yaml.safe_load((given / "params.yaml").read_text())
    document["compute"]["seed"] = 8
    (given / "params.yaml").write_text(yaml.safe_dump(document))
    other = run(given, "other")
    for name in ("classification/val/images.npy", "detection/train/images.npy"):
        assert (first / name).read_bytes() != (other / name).read_bytes()


def test_pictures_that_would_leak_or_contradict_are_refused_and_counted(given):
    images, labels = pictures(60, seed=1)
    tested = pictures(18, seed=2)[0]
    extra = np.stack([tested[0], tested[1], images[3], images[3], images[4]])
    # the last says that a picture of class 1 is of class 2: neither is believed
    extra_labels = np.array([0, 1, 0, 0, 2], dtype=np.uint8)
    write_raw(given / "raw", "train", np.concatenate([images, extra]), np.concatenate([labels, extra_labels]))
    out = run(given)
    refused = json.loads((out / "metrics.json").read_text())["classification"]["findings"]
    assert refused == {"in_another_split": 2, "under_several_labels": 2, "repeated": 2}
    named = (out / "report/findings.csv").read_text().splitlines()
    assert sum("train-images-idx3-ubyte: row 60,equals" in line for line in named) == 1
    seen = [
        image.tobytes()
        for split in SPLITS
        for image in load_classification(out / "classification", split).images
    ]
    assert len(seen) == len(set(seen)) == 60 - 1 + 18
    assert images[4].tobytes() not in seen


def test_metrics_count_what_was_written(given):
    out = run(given)
    metrics = json.loads((out / "metrics.json").read_text())
    for split in SPLITS:
        labels = load_classification(out / "classification", split).labels
        counted = metrics["classification"][split]
        assert counted["images"] == len(labels)
        assert list(counted["by_class"].values()) == np.bincount(labels).tolist()
        detection = load_detection(out / "detection", split)
        boxes = np.bincount(np.concatenate(detection.labels), minlength=3)
        assert metrics["detection"][split]["images"] == len(detection.images) == SCENES["count"][split]
        assert list(metrics["detection"][split]["boxes_by_class"].values()) == boxes.tolist()


def test_boxes_lie_in_their_scenes_and_hold_their_class(given):
    # flat items on flat-ish grounds: the class is the brightness, so a box's inside tells its label
    flat = np.repeat(np.array([40, 120, 220], np.uint8), 20)[:, None, None] + np.zeros((1, 8, 8), np.uint8)
    flat[:, 0, 0] += np.arange(60, dtype=np.uint8) % 20  # no two alike
    write_raw(given / "raw", "train", flat, np.repeat(np.arange(3, dtype=np.uint8), 20))
    own_params(given / "params.yaml", scenes=SCENES | {"items_max": 1})
    detection = load_detection(run(given) / "detection", "train")
    for image, boxes, labels in zip(detection.images, detection.boxes, detection.labels, strict=True):
        for (x1, y1, x2, y2), label in zip(boxes.astype(int), labels, strict=True):
            assert 0 <= x1 < x2 <= 24
            assert 0 <= y1 < y2 <= 24
            assert np.median(image[y1:y2, x1:x2]) == [40, 120, 220][label]


def test_annotations_are_coco_that_pycocotools_reads(given, capsys):
    out = run(given)
    annotations = COCO(str(out / "detection/val/annotations.json"))
    detection = load_detection(out / "detection", "val")
    assert sorted(annotations.getImgIds()) == list(range(len(detection.images)))
    assert [category["name"] for category in annotations.loadCats(annotations.getCatIds())] == CLASSES
    for row, boxes in enumerate(detection.boxes):
        found = annotations.loadAnns(annotations.getAnnIds(imgIds=[row]))
        assert [one["area"] for one in found] == [float((x2 - x1) * (y2 - y1)) for x1, y1, x2, y2 in boxes]
        assert all(one["id"] > 0 for one in found)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda raw: write_idx(raw / "t10k-labels-idx1-ubyte", np.zeros(17, np.uint8)),
            "17 labels for 18 images",
        ),
        (
            lambda raw: write_idx(raw / "train-labels-idx1-ubyte", np.array([0, 1, 9] * 20, np.uint8)),
            "classification: 20 of 78 pictures refused.* 20 times unknown_class, first .*"
            r"train-labels-idx1-ubyte: row 2: label 9, but preprocess\.classification\.classes names 3",
        ),
        (lambda raw: (raw / "train-images-idx3-ubyte").unlink(), "train-images-idx3-ubyte: no such file"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(given, spoil, message):
    spoil(given / "raw")
    with pytest.raises(DataError, match=message):
        run(given)
    assert {path.name for path in (given / "out").rglob("*")} <= {"report", "findings.csv"}


def test_label_without_a_class_is_refused_or_stops_as_params_say(given):
    images, labels = pictures(60, seed=1)
    labels[2] = 9
    write_raw(given / "raw", "train", images, labels)
    out = run(given)
    told = json.loads((out / "metrics.json").read_text())["classification"]
    assert told["findings"] == {"unknown_class": 1}
    assert told["seen"] == 78
    assert told["train"]["images"] + told["val"]["images"] == 59
    own_params(given / "params.yaml", unknown_class="stop")
    with pytest.raises(DataError, match=r"row 2: unknown_class: label 9.*preprocess\.policy\.unknown_class"):
        run(given)


def test_of_a_share_that_is_less_than_a_picture_each_class_gives_one(given):
    own_params(given / "params.yaml", val=0.02)
    metrics = json.loads((run(given) / "metrics.json").read_text())
    assert set(metrics["classification"]["val"]["by_class"].values()) == {1}


def test_classes_of_the_same_name_are_refused(given):
    own_params(given / "params.yaml", classes=["a", "b", "a"])
    with pytest.raises(ParamsError, match=r"preprocess\.classification\.classes: .*same name"):
        run(given)


def test_class_without_pictures_is_named(given):
    own_params(given / "params.yaml", classes=[*CLASSES, "blinding"])
    with pytest.raises(DataError, match="no picture of blinding"):
        run(given)


def test_the_projects_own_params_are_valid(given):
    own = ROOT / "params.yaml"
    document = yaml.safe_load(own.read_text())
    document["preprocess"]["detection"]["count"] = SCENES["count"]
    document["libraries"] = {}  # whatever is here
    (given / "params.yaml").write_text(yaml.safe_dump(document))
    for seed, name in enumerate(("train", "t10k")):
        images, _ = pictures(200, seed)
        write_raw(given / "raw", name, images, np.arange(200, dtype=np.uint8) % 10)
    assert len(load_classification(run(given) / "classification", "test").classes) == 10


@pytest.mark.slow
def test_no_training_library_is_loaded_to_prepare_pictures():
    """torch alone takes more than half of the gigabyte in which a million pictures go through."""
    code = "import sys, stages.preprocess.stage; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_pictures_to_classify_alone(given):
    own_params(given / "params.yaml", scenes=None)
    out = run(given)
    assert why_left_out(out / "detection") == "preprocess.detection is null"
    assert [path.name for path in (out / "detection").iterdir()] == ["left_out.json"]
    assert len(load_classification(out / "classification", "train").labels) == 45
    with pytest.raises(DataError, match="holds no pictures"):
        load_detection(out / "detection", "train")
    assert list(json.loads((out / "metrics.json").read_text())) == ["classification"]
    assert "Left out: preprocess.detection is null." in (out / "report/report.md").read_text()


@pytest.mark.parametrize("scenes", [SCENES, None], ids=["composed", "null"])
def test_one_task_has_to_name_a_source(given, scenes):
    own_params(given / "params.yaml", scenes=scenes)
    text = (given / "params.yaml").read_text()
    document = yaml.safe_load(text)
    document["preprocess"]["classification"] = None
    (given / "params.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ParamsError, match="classification or detection has to name a source of pictures"):
        run(given)
