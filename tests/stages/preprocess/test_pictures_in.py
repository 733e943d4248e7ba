"""Pictures of anyone's own, through the stage by params alone."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core.errors import DataError, ParamsError
from stages.core.packed import SPLITS, load_classification, load_detection
from stages.intake import intake
from stages.preprocess.stage import main
from tests.places import ROOT
from tests.stages.param_files import POLICY, write_params
from tests.stages.projects import preprocess_paths

BCCD = ROOT.parent / "shared/data/bccd"
SPLIT = {"val": 0.2, "test": 0.2, "group_pattern": None, "near_duplicates": None}
FORM = {"classes": None, "shape": [16, 20], "channels": 3, "fit": "stretch", "ground": 0, "split": SPLIT}
FOLDER = {"format": "image-folder", "folder": "pictures", **FORM}
CROPS = {key: value for key, value in FORM.items() if key != "split"}
CROPS |= {"format": "crops", "margin": 0.0, "shape": [8, 8]}
SCENES = {
    "format": "composed",
    "count": {"train": 4, "val": 2, "test": 2},
    "side": 40,
    "items_min": 1,
    "items_max": 2,
    "scale_min": 1.0,
    "scale_max": 1.0,
    "brightness_min": 1.0,
    "brightness_max": 1.0,
    "min_visible": 0.5,
    "mask_threshold": 8,
}
COLOURS = {"berry": (200, 40, 60), "leaf": (40, 180, 60), "sky": (60, 90, 210)}


def write_pictures(folder, each=12, classes=COLOURS):
    """Noise of a colour for each class, every picture of another odd size and some of them grey."""
    rng = np.random.default_rng(0)
    for name, colour in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            height, width = rng.integers(15, 60, 2)
            pixels = (rng.integers(0, 40, (height, width, 3)) + colour).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03d}.{'jpg' if number % 3 else 'png'}")


def write_own(path, classification=FOLDER, detection=SCENES, shard_megabytes=1, **policy):
    values = {"classification": classification, "detection": detection, "policy": POLICY | policy}
    write_params(path, "preprocess", values | {"shard_megabytes": shard_megabytes}, seed=7)


def run(folder, out="out", cache=None):
    out = folder / out
    main(**preprocess_paths(folder, out), cache=cache)
    return out


def findings(out):
    with (out / "report/findings.csv").open() as table:
        return [(row["kind"], Path(row["where"]).name, row["what"]) for row in csv.DictReader(table)]


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    """Pictures are decoded here: to start processes for them takes longer than the rest of a test."""
    monkeypatch.setattr("stages.preprocess.sorting.cores", lambda: 0)


@pytest.fixture
def own(tmp_path):
    write_pictures(tmp_path / "raw/pictures")
    write_own(tmp_path / "params.yaml")
    return tmp_path


def test_folders_of_any_classes_and_sizes_become_splits_in_proportion(own):
    out = run(own)
    for split, each in zip(SPLITS, (7, 2, 3), strict=True):
        part = load_classification(out / "classification", split)
        assert part.classes == list(COLOURS)
        assert part.images.shape[1:] == (16, 20, 3)
        assert abs(len(part.images) - 3 * each) <= 1
        for image, label in zip(part.images, part.labels, strict=True):
            assert np.abs(image.mean(axis=(0, 1)) - 20 - list(COLOURS.values())[label]).max() < 10
    assert contents(run(own, "again")) == contents(out)
    assert "| berry | 7 |" in (out / "report/report.md").read_text()


def test_grey_by_params(own):
    write_own(own / "params.yaml", FOLDER | {"channels": 1, "fit": "pad"})
    assert load_classification(run(own) / "classification", "train").images.shape[1:] == (16, 20, 1)


def test_splits_given_by_folders(tmp_path):
    for split, each in (("train", 6), ("val", 3), ("test", 4)):
        write_pictures(tmp_path / "raw/pictures" / split, each)
    write_own(tmp_path / "params.yaml", max_refused=1.0)
    out = run(tmp_path)
    # the generator starts anew for each split, so that the first pictures are the same
    assert [len(load_classification(out / "classification", s).images) for s in ("val", "test")][1] == 12
    assert {kind for kind, _, _ in findings(out)} == {"in_another_split"}


def test_one_refused_picture_in_a_hundred_is_named_and_one_more_stops(tmp_path):
    write_pictures(tmp_path / "raw/pictures", each=34)  # 102
    write_own(tmp_path / "params.yaml")
    (tmp_path / "raw/pictures/leaf/broken.png").write_bytes(b"no picture")
    out = run(tmp_path)
    assert [(kind, name) for kind, name, _ in findings(out)] == [("unreadable", "broken.png")]
    assert json.loads((out / "metrics.json").read_text())["classification"]["findings"] == {"unreadable": 1}
    cut = (tmp_path / "raw/pictures/sky/001.jpg").read_bytes()[:-30]
    (tmp_path / "raw/pictures/sky/cut.jpg").write_bytes(cut)
    with pytest.raises(
        DataError, match=r"2 of 104 pictures refused.*max_refused is 0\.01.*\.(png|jpg)"
    ) as raised:
        run(tmp_path)
    assert "\n" not in str(raised.value)


def test_policy_stops_at_what_it_is_told_to(own):
    Image.new("RGBA", (20, 20)).save(own / "raw/pictures/sky/clear.png")
    assert ("alpha", "clear.png") in [found[:2] for found in findings(run(own))]
    write_own(own / "params.yaml", alpha="stop")
    with pytest.raises(DataError, match=r"clear\.png: alpha: .*preprocess\.policy\.alpha"):
        run(own)
    write_own(own / "params.yaml", alpha="keep")
    with pytest.raises(ParamsError, match=r"preprocess\.policy\.alpha: .*'mend'"):
        run(own)


def write_manifest(folder, rows, name="labels.csv"):
    with (folder / name).open("w", newline="") as table:
        csv.writer(table).writerows([["file", "class", "part", "patient"], *rows])


MANIFEST = {
    **FORM,
    "format": "csv",
    "file": "labels.csv",
    "pictures": "pictures",
    "columns": {
        "picture": "file",
        "label": "class",
        "split": "part",
        "group": "patient",
        "caption": None,
        "attributes": [],
    },
}


def manifest_rows(each=12):
    return [
        [f"{name}/{number:03d}.{'jpg' if number % 3 else 'png'}", name, "", f"{name} {number // 2}"]
        for name in COLOURS
        for number in range(each)
    ]


def test_manifest_groups_are_never_divided(own):
    write_manifest(own / "raw", manifest_rows())
    write_own(own / "params.yaml", MANIFEST)
    out = run(own)
    labels = [load_classification(out / "classification", split).labels for split in SPLITS]
    assert sum(map(len, labels)) == 36
    assert all(count % 2 == 0 for part in labels for count in np.bincount(part))  # a patient has two pictures


def test_captions_and_numbers_go_with_their_pictures(own):
    rows = [["file", "class", "said", "weight"]]
    rows += [[row[0], row[1], f"a {row[1]}", "" if "000" in row[0] else "2.5"] for row in manifest_rows()]
    with (own / "raw/labels.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    columns = {"split": None, "group": None, "caption": "said", "attributes": ["weight"]}
    told = MANIFEST | {"columns": MANIFEST["columns"] | columns}
    write_own(own / "params.yaml", told)
    out = run(own)
    splits = [load_classification(out / "classification", split) for split in SPLITS]
    for split in splits:
        assert split.captions == [f"a {split.classes[label]}" for label in split.labels]
    weights = np.concatenate([split.attributes["weight"] for split in splits])
    assert np.isnan(weights).sum() == 3
    assert set(weights[~np.isnan(weights)]) == {2.5}
    rows[1][3] = "heavy"
    with (own / "raw/labels.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    write_own(own / "params.yaml", told, max_refused=0.1)
    assert ("bad_row", "an attribute is no number") in [
        (k, w.split(":")[0]) for k, _, w in findings(run(own))
    ]


def test_wrong_rows_of_a_manifest_are_named_by_row(own):
    wrong = [
        ["sky/nothing.png", "sky", "", ""],
        ["../../etc/passwd", "sky", "", ""],
        ["sky/000.png", "", "", ""],
        ["sky/000.png", "sky", "holdout", ""],
        ["sky/000.png", "sky"],
        ["sky/000.png", "sky", "", "", ""],
    ]
    write_manifest(own / "raw", [*manifest_rows()[:-1], *wrong])
    write_own(own / "params.yaml", MANIFEST, path_traversal="refuse", max_refused=0.2)
    named = [(kind, what) for kind, _, what in findings(run(own))]
    assert [kind for kind, _ in named] == [
        "missing_picture",
        "path_traversal",
        *["bad_row"] * 4,
        "unlabelled_picture",
    ]
    write_own(own / "params.yaml", MANIFEST)
    with pytest.raises(DataError, match=r"labels\.csv: row 38: path_traversal: leads out of"):
        run(own)


def test_column_that_is_missing_is_named(own):
    write_manifest(own / "raw", manifest_rows())
    write_own(own / "params.yaml", MANIFEST | {"columns": MANIFEST["columns"] | {"label": "klass"}})
    with pytest.raises(DataError, match=r"labels\.csv: no column 'klass' among file, class, part, patient"):
        run(own)


def test_near_duplicates_stay_in_one_split(tmp_path):
    rng = np.random.default_rng(1)
    for name in COLOURS:
        (tmp_path / "raw/pictures" / name).mkdir(parents=True)
        for number in range(12):
            smooth = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((48, 48))
            for twin in range(2):
                noisy = np.asarray(smooth).astype(int) + rng.integers(-2, 3, (48, 48, 3))
                image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
                image.save(tmp_path / "raw/pictures" / name / f"{number}-{twin}.png")
    write_own(tmp_path / "params.yaml", FOLDER | {"split": SPLIT | {"near_duplicates": 8}})
    out = run(tmp_path)
    means = {
        split: [image.mean() for image in load_classification(out / "classification", split).images]
        for split in SPLITS
    }
    assert sum(map(len, means.values())) == 72
    for mine in means.values():  # each has its twin beside it
        ordered = np.sort(mine)
        assert len(ordered) % 2 == 0
        assert (np.diff(ordered)[::2] < 0.5).all()


@pytest.mark.slow
def test_only_new_pictures_are_decoded_again(own, monkeypatch):
    monkeypatch.setattr("stages.preprocess.sorting.cores", lambda: 0)
    decoded = []
    decode = intake.decode
    monkeypatch.setattr(intake, "decode", lambda *given: decoded.append(1) or decode(*given))
    first = run(own, cache=own / "cache")
    assert len(decoded) == 36
    noted = contents(own / "cache")
    assert contents(run(own, "again", cache=own / "cache")) == contents(first)
    assert len(decoded) == 36
    assert contents(own / "cache") == noted
    for number, name in enumerate(COLOURS):
        pixels = np.random.default_rng(number).integers(0, 255, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(own / f"raw/pictures/{name}/new.png")
    with_new = run(own, "new", cache=own / "cache")
    assert len(decoded) == 39
    assert contents(with_new) == contents(run(own, "anew"))


def cut_short(content):
    return content[:-5]


def emptied(content):
    return content[:0]


def with_another_byte(content):
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


def with_another_size(content):
    return re.sub(rb'"width": \d', b'"width": 9', content)


def of_something_else(content):
    return b"no database, no pixels " * (len(content) // 20)


ANYHOW = (cut_short, emptied, with_another_byte, of_something_else)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "broken"),
    [("*.sqlite", with_another_size), *((kind, how) for kind in ("*.sqlite", "*.rows") for how in ANYHOW)],
)
def test_broken_cache_is_as_none_and_mends_itself(own, monkeypatch, kind, broken):
    monkeypatch.setattr("stages.preprocess.sorting.cores", lambda: 0)
    first = contents(run(own, cache=own / "cache"))
    (entry,) = (own / "cache").rglob(kind)
    whole = entry.read_bytes()
    entry.write_bytes(broken(whole))
    assert entry.read_bytes() != whole
    assert contents(run(own, "again", cache=own / "cache")) == first
    monkeypatch.delattr(intake, "decode")  # all is known again
    assert contents(run(own, "at last", cache=own / "cache")) == first


@pytest.mark.slow
def test_runs_at_once_share_a_cache(own, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = (
        "import sys; from pathlib import Path; from tests.stages.preprocess import test_pictures_in as here;"
    )
    script += "own = Path(sys.argv[1]); here.run(own, sys.argv[2], own / 'cache')"
    names = ["one", "other", "third"]
    runs = [subprocess.Popen([sys.executable, "-c", script, own, name], cwd=ROOT) for name in names]
    assert [each.wait() for each in runs] == [0, 0, 0]
    monkeypatch.delattr(intake, "decode")
    monkeypatch.setattr("stages.preprocess.sorting.cores", lambda: 0)
    known = contents(run(own, "known", cache=own / "cache"))
    assert [contents(own / name) == known for name in names] == [True, True, True]


def test_odd_pictures_come_out_of_the_cache_as_they_went_in(own):
    rng = np.random.default_rng(1)
    for odd, name in enumerate(COLOURS):
        folder = own / "raw/pictures" / name
        pixels = rng.integers(0, 256, (40, 50, 4), dtype=np.uint8)
        photograph, exif = Image.fromarray(pixels[..., :3]), Image.Exif()
        exif[0x0112] = 6 + odd
        photograph.save(folder / "turned.jpg", exif=exif)
        photograph.convert("CMYK").save(folder / "print.jpg")
        Image.fromarray(pixels).save(folder / "clear.png")
        Image.fromarray(pixels[..., :2].copy().view(np.uint16)[..., 0]).save(folder / "deep.png")
        whole = (folder / "turned.jpg").read_bytes()
        (folder / "ends early.jpg").write_bytes(whole[:-300])
        (folder / "text.png").write_text("no picture")
    write_own(own / "params.yaml", max_refused=1.0)
    decoded = run(own)
    kinds = {kind for kind, _, _ in findings(decoded)}
    assert kinds == {"rotated", "cmyk", "alpha", "sixteen_bit", "truncated", "unreadable"}
    for out in ("cold", "warm"):
        assert contents(run(own, out, cache=own / "cache")) == contents(decoded)


@pytest.mark.slow
def test_number_of_processes_changes_nothing(own, monkeypatch):
    (own / "raw/pictures/sky/stray.txt").write_text("")
    results = []
    for processes in (0, 2):
        monkeypatch.setattr("stages.preprocess.sorting.cores", lambda given=processes: given)
        results.append(contents(run(own, f"by-{processes}")))
    assert results[0] == results[1]


def test_crops_and_composed_scenes_cannot_both_be_asked_for(own):
    write_own(own / "params.yaml", CROPS)
    with pytest.raises(ParamsError, match=r"params\.yaml: preprocess: crops are made of boxes"):
        run(own)


def test_items_too_large_for_their_scenes_are_said_before_anything_is_read(own):
    write_own(own / "params.yaml", FOLDER | {"shape": [64, 48]}, SCENES | {"scale_max": 1.5, "side": 95})
    with pytest.raises(
        ParamsError,
        match=r"preprocess: detection\.side: 95 px cannot hold items of 96 px \(classification\.shape "
        r"\[64, 48\] times detection\.scale_max 1\.5\): raise side to 96, or lower shape or scale_max",
    ):
        run(own)


@pytest.mark.slow
@pytest.mark.skipif(not BCCD.is_dir(), reason=f"the BCCD pictures are not in {BCCD}")
def test_bccd_names_its_two_invalid_boxes(tmp_path):
    (tmp_path / "raw").symlink_to(BCCD)
    form = FORM | {"shape": [96, 128]}
    crops = CROPS | {"margin": 0.1, "shape": [32, 32]}
    voc = {**form, "format": "pascal-voc", "folder": "BCCD", "first_pixel": 0}
    write_own(tmp_path / "params.yaml", crops, voc)
    out = run(tmp_path)
    assert findings(out) == [
        ("invalid_box", f"BloodImage_00{number}.xml", what)
        for number, what in (
            (338, "object 13, RBC: box 504 337 504 337 in a picture of 640 x 480"),
            (343, "object 4, RBC: box 181 329 181 329 in a picture of 640 x 480"),
        )
    ]
    parts = {split: load_detection(out / "detection", split) for split in SPLITS}
    assert [len(part.images) for part in parts.values()] == [205, 87, 72]
    assert sum(len(boxes) for part in parts.values() for boxes in part.boxes) == 4888 - 2
    assert parts["train"].classes == ["Platelets", "RBC", "WBC"]
    page = (out / "report/report.md").read_text()
    assert "BloodImage_00338.xml: object 13" in page
    assert "BloodImage_00343.xml: object 4" in page
    crops_packed = load_classification(out / "classification", "train")
    assert np.bincount(crops_packed.labels).sum() == sum(map(len, parts["train"].labels))


def annotated(folder):
    """Twenty pictures of 40 x 20, each with one bright block, brighter from picture to picture."""
    rng = np.random.default_rng(0)
    for number in range(20):
        x, y = rng.integers(0, 20), rng.integers(0, 10)
        pixels = rng.integers(0, 30, (20, 40, 3)).astype(np.uint8)
        pixels[y : y + 10, x : x + 20] = 205 + 2 * number + rng.integers(0, 9, (10, 20, 3))
        path = folder / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        yield path, ("odd" if number % 2 else "even"), (int(x), int(y), int(x) + 20, int(y) + 10)


def write_coco(raw):
    images, annotations = [], []
    for key, (path, label, (x1, y1, x2, y2)) in enumerate(annotated(raw / "pictures"), start=5):
        images.append({"id": key, "file_name": path.name, "width": 40, "height": 20})
        category = {"even": 3, "odd": 9}[label]
        box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "image_id": key, "category_id": category}
        annotations.append({"id": key} | box)
    categories = [{"id": 3, "name": "even"}, {"id": 9, "name": "odd"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (raw / "all.json").write_text(json.dumps(document))
    files = {"train": None, "val": None, "test": None, "all": "all.json"}
    return {"format": "coco", "annotations": files, "pictures": "pictures"}


def write_voc(raw):
    for path, label, box in annotated(raw / "JPEGImages"):
        edges = "".join(f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
        file = raw / "Annotations" / f"{path.stem}.xml"
        file.parent.mkdir(exist_ok=True)
        thing = f"<object><name>{label}</name><bndbox>{edges}</bndbox></object>"
        file.write_text(f"<annotation><filename>{path.name}</filename>{thing}</annotation>")
    return {"format": "pascal-voc", "folder": ".", "first_pixel": 0}


def write_yolo(raw):
    for path, label, (x1, y1, x2, y2) in annotated(raw / "images/train"):
        file = raw / "labels/train" / f"{path.stem}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        shares = (x1 + x2) / 80, (y1 + y2) / 40, (x2 - x1) / 40, (y2 - y1) / 20
        file.write_text(f"{['even', 'odd'].index(label)} {' '.join(map(str, shares))}\n")
    (raw / "data.yaml").write_text("names: [even, odd]\ntrain: images/train\n")
    return {"format": "yolo", "file": "data.yaml"}


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_coco, write_voc, write_yolo])
def test_boxes_of_every_format_lie_on_what_they_name(tmp_path, write):
    form = FORM | {"shape": [40, 80]}
    write_own(tmp_path / "params.yaml", CROPS, {**form, **write(tmp_path / "raw")})
    out = run(tmp_path)
    seen = 0
    for split in SPLITS:
        part = load_detection(out / "detection", split)
        assert part.classes == ["even", "odd"]
        blocks = []
        for image, boxes in zip(part.images, part.boxes, strict=True):
            rows, columns = np.nonzero(image.max(axis=2) > 140)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(boxes[0] - found).max() <= 1
            blocks.append(image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
            seen += 1
        crops = load_classification(out / "classification", split)
        assert crops.images.min() > 200
        brightness = [np.median(crop) for crop in crops.images]
        assert brightness == pytest.approx([np.median(block) for block in blocks], abs=1.5)
    assert seen == 20


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_coco, write_voc, write_yolo])
@pytest.mark.parametrize(("rotated", "turned"), [("keep", False), ("mend", True)])
def test_boxes_lie_on_what_they_name_in_rotated_pictures(tmp_path, write, rotated, turned):
    """Boxes are those of the picture as it is packed: of the stored pixels, or of the upright ones."""
    params = write(tmp_path / "raw")
    exif = Image.Exif()
    exif[0x0112] = 8
    for path in (tmp_path / "raw").rglob("*.png"):
        image = Image.open(path)
        stored = image.transpose(Image.Transpose.ROTATE_270) if turned else image
        stored.save(path, exif=exif)
    write_own(tmp_path / "params.yaml", CROPS, {**FORM, "shape": [40, 80], **params}, rotated=rotated)
    out = run(tmp_path)
    assert {kind for kind, _, _ in findings(out)} == {"rotated"}
    part = load_detection(out / "detection", "train")
    for image, boxes in zip(part.images, part.boxes, strict=True):
        rows, columns = np.nonzero(image.max(axis=2) > 140)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(boxes[0] - found).max() <= 1
    assert load_classification(out / "classification", "train").images.min() > 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ([5, 5, 0, 4], "invalid_box"),
        ([100, 5, 4, 4], "invalid_box"),
        (["a", 5, 4, 4], "invalid_box"),
        ([float("nan"), 5, 4, 4], "invalid_box"),
        ([30, 5, 20, 10], "box_out_of_frame"),
        ([5, 5, 0.4, 4], "tiny_box"),
    ],
)
def test_wrong_boxes_are_named(tmp_path, box, kind):
    params = write_coco(tmp_path / "raw")
    path = tmp_path / "raw/all.json"
    document = json.loads(path.read_text())
    document["annotations"].append({"id": 99, "image_id": 5, "category_id": 3, "bbox": box})
    path.write_text(json.dumps(document))
    write_own(tmp_path / "params.yaml", CROPS, FORM | params, max_refused=0.2)
    with (run(tmp_path) / "report/findings.csv").open() as table:
        found = [row["kind"] for row in csv.DictReader(table) if row["task"] == "detection"]
    assert found == [kind]


def lay_out_as_roboflow_does(raw):
    """Splits on the outside, named as if data.yaml lay in a folder of its own."""
    (raw / "train").mkdir()
    for name in ("images", "labels"):
        (raw / name / "train").rename(raw / "train" / name)
    return "train: ../train/images"


def lay_out_in_two_folders(raw):
    for name in ("images", "labels"):
        (raw / name / "more").mkdir()
        for file in sorted((raw / name / "train").iterdir())[:7]:
            file.rename(raw / name / "more" / file.name)
    return "train: [images/train, images/more]"


def lay_out_beside_its_data_yaml(raw):
    return "path: ../images\ntrain: [train]", "configs/data.yaml"


@pytest.mark.parametrize(
    "lay_out", [lay_out_as_roboflow_does, lay_out_in_two_folders, lay_out_beside_its_data_yaml]
)
def test_yolo_in_its_other_layouts(tmp_path, lay_out):
    params = write_yolo(tmp_path / "raw")
    told = lay_out(tmp_path / "raw")
    document, file = told if isinstance(told, tuple) else (told, "data.yaml")
    (tmp_path / "raw" / file).parent.mkdir(exist_ok=True)
    (tmp_path / "raw" / file).write_text(f"names: [even, odd]\n{document}\n")
    write_own(tmp_path / "params.yaml", CROPS, FORM | params | {"file": file})
    out = run(tmp_path)
    parts = [load_detection(out / "detection", split) for split in SPLITS]
    assert sum(len(boxes) for part in parts for boxes in part.boxes) == 20
    assert not findings(out)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("../../elsewhere/images", r"train: '\.\./\.\./elsewhere/images' leads out of .*raw; name a folder"),
        ("/images/train", r"train: '/images/train' leads out of"),
        ("images/trian", r"train: no folder .*raw/images/trian"),
        ("train.txt", r"train: no folder .*raw/train\.txt"),
        ("[1]", r"train: 1 is no name of a folder"),
    ],
)
def test_folder_that_yolo_cannot_have_is_named(tmp_path, folder, message):
    params = write_yolo(tmp_path / "raw")
    (tmp_path / "raw/data.yaml").write_text(f"names: [even, odd]\ntrain: {folder}\n")
    write_own(tmp_path / "params.yaml", CROPS, FORM | params)
    with pytest.raises(DataError, match=rf"data\.yaml: {message}"):
        run(tmp_path)


def test_voc_names_pictures_without_their_suffix(tmp_path):
    params = write_voc(tmp_path / "raw")
    for file in (tmp_path / "raw/Annotations").iterdir():
        file.write_text(file.read_text().replace(".png</filename>", "</filename>"))
    write_own(tmp_path / "params.yaml", CROPS, FORM | params)
    out = run(tmp_path)
    assert not findings(out)
    assert sum(len(load_detection(out / "detection", split).images) for split in SPLITS) == 20


def mark_in_coco(raw):
    """The first of the annotations is of a crowd."""
    document = json.loads((raw / "all.json").read_text())
    document["annotations"][0]["iscrowd"] = 1
    (raw / "all.json").write_text(json.dumps(document))


def mark_in_voc(raw):
    file = raw / "Annotations/00.xml"
    file.write_text(file.read_text().replace("<bndbox>", "<difficult>1</difficult><bndbox>"))


@pytest.mark.parametrize(
    ("write", "mark", "kind"),
    [(write_coco, mark_in_coco, "crowd_box"), (write_voc, mark_in_voc, "difficult_box")],
)
@pytest.mark.parametrize(("action", "boxes"), [("keep", 20), ("refuse", 19)])
def test_boxes_that_their_annotation_marks_are_named_and_treated_as_params_say(
    tmp_path, write, mark, kind, action, boxes
):
    params = write(tmp_path / "raw")
    mark(tmp_path / "raw")
    write_own(tmp_path / "params.yaml", CROPS, FORM | params, max_refused=0.05, **{kind: action})
    out = run(tmp_path)
    # its picture has no other box: what it shows would be taught as background
    assert [found for found, _, _ in findings(out)] == [kind, *["no_box_left"] * (action == "refuse")]
    for folder, each in (("detection", load_detection), ("classification", load_classification)):
        labels = [each(out / folder, split).labels for split in SPLITS]
        assert sum(np.size(one) for part in labels for one in part) == boxes


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda d: d["images"].append(d["images"][0] | {"file_name": "x"}),
            r"images\[20\]: id 5 stands there twice",
        ),
        (lambda d: d.pop("categories"), "it needs the lists images, categories, annotations"),
        (
            lambda d: d["categories"].append({"id": None, "name": "x"}),
            r"categories\[2\]: id None is neither a whole number nor a text",
        ),
    ],
)
def test_broken_coco_is_said_in_one_line(tmp_path, spoil, message):
    params = write_coco(tmp_path / "raw")
    document = json.loads((tmp_path / "raw/all.json").read_text())
    spoil(document)
    (tmp_path / "raw/all.json").write_text(json.dumps(document))
    write_own(tmp_path / "params.yaml", CROPS, FORM | params)
    with pytest.raises(DataError, match=message):
        run(tmp_path)


def test_entities_in_xml_are_not_unfolded(tmp_path):
    params = write_voc(tmp_path / "raw")
    file = tmp_path / "raw/Annotations/03.xml"
    file.write_text('<!DOCTYPE a [<!ENTITY b "c">]>' + file.read_text().replace("03.png", "&b;"))
    write_own(tmp_path / "params.yaml", CROPS, FORM | params, max_refused=0.2)
    named = findings(run(tmp_path))
    assert ("bad_row", "03.xml") in [found[:2] for found in named]
    assert any("<!ENTITY" in what for _, _, what in named)


@pytest.mark.slow
def test_large_splits_are_packed_in_shards_that_read_as_one(tmp_path):
    write_pictures(tmp_path / "raw/pictures", each=20)
    big = FOLDER | {"shape": [160, 160]}
    write_own(tmp_path / "params.yaml", big, SCENES | {"side": 160})
    shards = load_classification(run(tmp_path) / "classification", "train")
    assert len(list((tmp_path / "out/classification/train").glob("images-*.npy"))) > 2
    write_own(tmp_path / "params.yaml", big, SCENES | {"side": 160}, shard_megabytes=100)
    whole = load_classification(run(tmp_path, "whole") / "classification", "train")
    assert shards.images.shape == whole.images.shape
    assert (np.stack(list(shards.images)) == whole.images).all()
    rows = np.array([30, 2, 9, 30, 0])
    assert (shards.images[rows] == whole.images[rows]).all()
    assert (shards.images[5:29] == whole.images[5:29]).all()
    assert (shards.images[-1] == whole.images[-1]).all()
    with pytest.raises(IndexError):
        shards.images[len(shards.images)]


def test_equal_pictures_under_several_labels_name_each_other(own):
    for name in ("sky", "leaf"):
        Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(own / f"raw/pictures/{name}/same.png")
    write_own(own / "params.yaml", max_refused=0.1)
    named = {(name, Path(what.split()[1]).parent.name) for _, name, what in findings(run(own))}
    assert named == {("same.png", "sky"), ("same.png", "leaf")}


def test_where_too_few_are_left_the_reason_is_why_the_others_were_refused(tmp_path):
    write_pictures(tmp_path / "raw/pictures", each=4, classes={"berry": COLOURS["berry"]})
    shutil.copytree(tmp_path / "raw/pictures/berry", tmp_path / "raw/pictures/leaf")
    write_pictures(tmp_path / "raw/pictures", each=4, classes={"sky": COLOURS["sky"]})
    told = r"; 8 times under_several_labels, first \S+berry/000.png: equals \S+leaf/000.png, of which"
    write_own(tmp_path / "params.yaml", FOLDER | {"classes": list(COLOURS)}, max_refused=1.0)
    with pytest.raises(DataError, match=rf"no picture of berry, leaf; .*{told}"):
        run(tmp_path)
    shutil.rmtree(tmp_path / "raw/pictures/sky")
    write_own(tmp_path / "params.yaml", max_refused=1.0)
    with pytest.raises(DataError, match=rf"no picture for classification .*{told}"):
        run(tmp_path)
    write_pictures(tmp_path / "raw/pictures", each=1, classes={"sky": COLOURS["sky"]})
    with pytest.raises(DataError, match=rf"split\.test: 0\.2 of these pictures is none: .*{told}"):
        run(tmp_path)


def test_what_was_found_is_told_also_where_the_stage_stops(own):
    for number in range(3):
        (own / f"raw/pictures/sky/bad{number}.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"3 of 39 pictures refused.*or raise max_refused to 0\.08"):
        run(own)
    assert [name for _, name, _ in findings(own / "out")] == ["bad0.png", "bad1.png", "bad2.png"]
    assert not (own / "out/classification").exists()


def test_one_bad_picture_stops_no_set_however_small(own):
    os.mkfifo(own / "raw/pictures/sky/pipe.jpg")
    assert [found[:2] for found in findings(run(own))] == [("missing_picture", "pipe.jpg")]


def test_pictures_behind_links_out_of_raw_are_refused(own):
    outside = own / "elsewhere.png"
    (own / "raw/pictures/sky/000.png").rename(outside)
    (own / "raw/pictures/sky/000.png").symlink_to(outside)
    (kind, name, what) = findings(run(own))[0]
    assert (kind, name) == ("unfollowed_link", "000.png")
    assert what.endswith(f"to {outside}: put a copy there")


def test_two_classes_that_look_the_same_are_refused(tmp_path):
    write_pictures(tmp_path / "raw/pictures")
    folders = sorted((tmp_path / "raw/pictures").iterdir())
    folders[0].rename(folders[0].with_name("caf\u00e9"))
    folders[1].rename(folders[1].with_name("cafe\u0301"))
    write_own(tmp_path / "params.yaml")
    with pytest.raises(DataError, match=r"two classes .*\('cafe\\u0301' and 'caf\\xe9'\); rename one"):
        run(tmp_path)
