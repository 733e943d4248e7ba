"""`darkroom data`: whatever lies in a folder, the section that it writes is read by preprocess."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from stages.by_hand.data import main
from stages.core.packed import load_classification, load_detection, why_left_out
from stages.preprocess.stage import main as preprocess
from tests.places import ROOT
from tests.stages.projects import preprocess_paths

EACH = 12
BOX = (4, 6, 20, 22)
XML = """<annotation><filename>{name}.png</filename><size><width>32</width><height>32</height></size>
<object><name>{label}</name><bndbox><xmin>5</xmin><ymin>7</ymin><xmax>20</xmax><ymax>22</ymax></bndbox></object>
</annotation>"""


def picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def pictures(folder: Path) -> list[tuple[str, str]]:
    """Names and classes of pictures in one folder."""
    rows = [(f"{number:02d}", ("cat", "dog")[number % 2]) for number in range(2 * EACH)]
    for number, (name, _) in enumerate(rows):
        picture(folder / f"{name}.png", number)
    return rows


def image_folder(raw: Path) -> None:
    """In a folder that a zip has put round it, beside the notes that macOS leaves."""
    for number in range(2 * EACH):
        picture(raw / "pets" / ("cat", "dog")[number % 2] / f"{number}.png", number)
    (raw / "__MACOSX").mkdir()
    (raw / "__MACOSX/x.png").write_bytes(b"")


def coco(raw: Path) -> None:
    rows = pictures(raw / "images")
    images = [{"id": n, "file_name": f"{name}.png"} for n, (name, _) in enumerate(rows)]
    boxes = [{"image_id": n, "category_id": n % 2, "bbox": [4, 6, 16, 16]} for n in range(len(rows))]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    document = {"images": images, "categories": categories, "annotations": boxes}
    (raw / "annotations").mkdir()
    (raw / "annotations/instances.json").write_text(json.dumps(document))


def voc(raw: Path) -> None:
    rows = pictures(raw / "JPEGImages")
    (raw / "Annotations").mkdir()
    for name, label in rows:
        (raw / f"Annotations/{name}.xml").write_text(XML.format(name=name, label=label))


def yolo(raw: Path) -> None:
    for name, label in pictures(raw / "train/images"):
        (raw / "train/labels").mkdir(exist_ok=True)
        (raw / f"train/labels/{name}.txt").write_text(f"{int(label == 'dog')} 0.4 0.4 0.5 0.5\n")
    (raw / "data.yaml").write_text("train: train/images\nnames: [cat, dog]\n")


def table(raw: Path) -> None:
    rows = pictures(raw / "images")
    lines = ["file;species", *(f"images/{name}.png;{label}" for name, label in rows)]
    (raw / "labels.csv").write_text("\n".join(lines) + "\n")


def box_table(raw: Path) -> None:
    rows = pictures(raw / "images")
    edges = ",".join(map(str, BOX))
    lines = ["path,class,xmin,ymin,xmax,ymax", *(f"{name}.png,{label},{edges}" for name, label in rows)]
    (raw / "boxes.csv").write_text("\n".join(lines) + "\n")


def json_lines(raw: Path) -> None:
    records = [{"image": f"{name}.png", "label": label} for name, label in pictures(raw / "train")]
    (raw / "train/all.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))


def parquet(raw: Path) -> None:
    rows = pictures(raw / "images")
    table = pd.DataFrame({"file": [f"{name}.png" for name, _ in rows], "class": [label for _, label in rows]})
    table["bbox"] = [list(BOX)] * len(rows)
    table.to_parquet(raw / "boxes.parquet")


def create_ml(raw: Path) -> None:
    middle = {"x": 12, "y": 14, "width": 16, "height": 16}
    entries = [
        {"image": f"{name}.png", "annotations": [{"label": label, "coordinates": middle}]}
        for name, label in pictures(raw / "train")
    ]
    (raw / "train/_annotations.createml.json").write_text(json.dumps(entries))


def via(raw: Path) -> None:
    shape = {"name": "rect", "x": 4, "y": 6, "width": 16, "height": 16}
    entries = {
        f"{name}.png84": {
            "filename": f"{name}.png",
            "regions": [{"shape_attributes": shape, "region_attributes": {"type": label, "note": ""}}],
        }
        for name, label in pictures(raw / "images")
    }
    (raw / "via_project.json").write_text(json.dumps({"_via_settings": {}, "_via_img_metadata": entries}))


def objects(raw: Path) -> None:
    lines = [
        json.dumps({"file_name": f"{name}.png", "objects": {"bbox": [[4, 6, 16, 16]], "category": [label]}})
        for name, label in pictures(raw / "train")
    ]
    (raw / "train/metadata.jsonl").write_text("\n".join(lines) + "\n")


def rolabelimg(raw: Path) -> None:
    voc(raw)
    numbers = "<robndbox><cx>12</cx><cy>14</cy><w>16</w><h>16</h><angle>0.3</angle></robndbox>"
    for file in (raw / "Annotations").iterdir():
        before, after = file.read_text().split("<bndbox>")[0], file.read_text().split("</bndbox>")[1]
        file.write_text(f'<!DOCTYPE annotation SYSTEM "voc.dtd">{before}{numbers}{after}')


def videos(raw: Path) -> None:
    for number in range(2 * EACH):
        file = raw / "clips" / ("cat", "dog")[number % 2] / f"{number}.avi"
        file.parent.mkdir(parents=True, exist_ok=True)
        video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
        video.write(np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8))
        video.release()


def yolo_of_another_machine(raw: Path) -> None:
    yolo(raw)
    (raw / "data.yaml").write_text("train: C:\\Users\\me\\set\\train\\images\nnames: [cat, dog]\n")


CLASSIFIED = [image_folder, table, json_lines, videos]
BOXED = [coco, voc, yolo, yolo_of_another_machine, box_table, parquet, create_ml, via, objects, rolabelimg]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("write", [*CLASSIFIED, *BOXED])
def test_what_is_written_is_read(
    write: Callable[[Path], None], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project / "raw")
    assert main(["raw", "--write"]) == 0
    printed = capsys.readouterr().out
    assert re.search("24 pictures(, 24 boxes)? of 2 classes", printed)
    assert "  cat: 12\n  dog: 12\n" in printed
    preprocess(**preprocess_paths(project, project / "out"))
    load: Any = load_classification if write in CLASSIFIED else load_detection
    task = "classification" if write in CLASSIFIED else "detection"
    other = ({"classification", "detection"} - {task}).pop()
    assert load(project / "out" / task, "train").classes == ["cat", "dog"]
    assert why_left_out(project / "out" / other) == f"preprocess.{other} is null"


def test_attributes_are_told_and_learnt(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["image_id;Smiling;Young;age;tags"]
    for number, (name, label) in enumerate(pictures(project / "raw/images")):
        tags = ("sun|sea", "", "sun")[number % 3]
        lines.append(f"{name}.png;{2 * (label == 'cat') - 1};{number % 2};{20 + number};{tags}")
    (project / "raw/list.csv").write_text("\n".join(lines) + "\n")
    assert main(["raw", "--write"]) == 0
    printed = capsys.readouterr().out
    assert "4 attributes, with the pictures that have them.\n  Smiling: 12\n" in printed
    assert "\n  sea: 8\n" in printed
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert params["preprocess"]["classification"]["columns"] == {
        "picture": "image_id",
        "label": None,
        "attributes": ["Smiling", "Young"],
        "label_lists": {"tags": "|"},
    }
    assert params["train-classifier"]["attributes"] == "all"
    assert params["train-gan"] is None
    preprocess(**preprocess_paths(project, project / "out"))
    packed = load_classification(project / "out/classification", "train", unclassed=True)
    assert packed.classes == []
    without = {key: value for key, value in params.items() if not key.startswith("train-")}
    (project / "params.yaml").write_text(yaml.safe_dump(without | {"train-classifier": None}))
    assert main(["raw", "--write"]) == 0
    assert yaml.safe_load((project / "params.yaml").read_text())["train-classifier"] is None
    assert list(packed.attributes or ()) == ["Smiling", "Young", "sea", "sun"]


def test_idx_files_are_told_by_their_names(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "raw").mkdir()
    labels = np.arange(24, dtype=np.uint8) % 2
    for name in ("train", "t10k"):
        for kind, content in (("labels-idx1", labels), ("images-idx3", np.zeros((24, 8, 8), np.uint8))):
            sizes = b"".join(side.to_bytes(4, "big") for side in content.shape)
            header = bytes([0, 0, 8, content.ndim]) + sizes
            (project / f"raw/{name}-{kind}-ubyte").write_bytes(header + content.tobytes())
    assert main(["raw"]) == 0
    printed = capsys.readouterr().out
    assert "Format: idx (IDX files).\n48 pictures of 2 classes." in printed
    assert yaml.safe_load(printed.partition("For params.yaml:\n\n")[2])["raw"] == "raw"


def test_tracks_of_cvat_are_refused_with_what_to_export(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "raw").mkdir()
    track = '<annotations><track id="0" label="cat"><box frame="0" xtl="1" ytl="1" xbr="9" ybr="9"/></track>'
    (project / "raw/annotations.xml").write_text(f"{track}</annotations>")
    assert main(["raw"]) == 2
    assert "export the task as 'CVAT for images 1.1'" in capsys.readouterr().err


def test_all_but_the_section_stays(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image_folder(project / "raw")
    before = (project / "params.yaml").read_text().splitlines()
    assert main(["raw"]) == 0
    assert (project / "params.yaml").read_text().splitlines() == before
    shown = capsys.readouterr().out.partition("For params.yaml:\n\n")[2]
    assert main(["raw", "--write"]) == 0
    after = (project / "params.yaml").read_text().splitlines()
    told, written = yaml.safe_load(shown), yaml.safe_load("\n".join(after))
    assert written["raw"] == told["raw"]
    assert {**written["preprocess"], **told["preprocess"]} == written["preprocess"]
    next_one = before.index(next(line for line in before if line.startswith("train-classifier:")))
    assert after[-(len(before) - next_one) :] == before[next_one:]  # with their comments
    first = before.index(next(line for line in before if line.startswith("raw:")))
    assert after[:first] == before[:first]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "of no format that is known: 0 files"),
        ({"notes.txt": "nothing", "data.json": "[" * 100_000}, "2 files, 0 named as pictures are"),
    ],
)
def test_a_folder_of_nothing(
    files: dict[str, str], said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "raw").mkdir()
    for name, text in files.items():
        (project / "raw" / name).write_text(text)
    assert main(["raw", "--write"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert (project / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()


def test_a_refused_section_names_the_command(project: Path) -> None:
    (project / "raw").mkdir()
    with pytest.raises(Exception, match=r"`darkroom data .*raw` tells what reads this folder$"):
        preprocess(**preprocess_paths(project, project / "out"))


def test_a_key_that_is_left_out_becomes_the_first_of_its_section(project: Path) -> None:
    yolo(project / "raw")
    text = (project / "params.yaml").read_text()
    lines = [line for line in text.split("\n") if "anchor_sizes" not in line]
    (project / "params.yaml").write_text("\n".join(lines))
    assert main(["raw", "--write"]) == 0
    written = (project / "params.yaml").read_text()
    assert "  network:\n    anchor_sizes: auto\n    model: faster-rcnn" in written
    assert yaml.safe_load(written)["preprocess"]["classification"] is None


@pytest.mark.parametrize("beside", ["Examples", "test"])
def test_folders_of_classes_are_found_beside_pictures_of_none(
    beside: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2 * EACH):
        picture(project / "raw/train" / ("cat", "dog")[number % 2] / f"{number}.png", number)
    picture(project / "raw" / beside / "0.png", 99)
    picture(project / "raw/logo.png", 98)
    assert main(["raw"]) == 0
    printed = capsys.readouterr().out
    assert "24 pictures of 2 classes" in printed
    assert "    folder: train\n" in printed


def test_programs_get_the_same_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(EACH):
        picture(project / f"raw/{('cat', 'dog')[number % 2]}/{number}.png", number)
    assert main(["raw", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["task"] == "classification"
    assert told["classes"] == {"cat": EACH // 2, "dog": EACH // 2}
    assert told["size"] == [32, 32]
    assert told["params"]["raw"] == "raw"
    assert told["params"]["preprocess.classification"]["format"] == "image-folder"


def split_tables(raw: Path) -> None:
    """Two tables whose pictures are called alike, and only the folders tell them apart."""
    for split, first in (("train", 0), ("test", 100)):
        for number in range(EACH):
            picture(raw / f"{split}/{number}.png", first + number)
        lines = [f"{number},{('cat', 'dog')[number % 2]}" for number in range(EACH)]
        (raw / f"{split}.csv").write_text("\n".join(["id,breed", *lines]) + "\n")


def absolute_table(raw: Path) -> None:
    lines = [f"C:\\set\\images\\{name}.png\t{label}" for name, label in pictures(raw / "images")]
    (raw / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-16")


def open_images(raw: Path) -> None:
    head = "ImageID,LabelName,XMin,XMax,YMin,YMax"
    lines = [f"{name},{label},0.1,0.6,0.2,0.7" for name, label in pictures(raw / "images")]
    (raw / "boxes.csv").write_text("\n".join([head, *lines]) + "\n")


def coco_beside_keypoints(raw: Path) -> None:
    coco(raw)
    (raw / "annotations/instances.json").rename(raw / "annotations/instances_all.json")
    document = json.loads((raw / "annotations/instances_all.json").read_text())
    document["annotations"] = document["annotations"][:2]
    (raw / "annotations/person_keypoints_all.json").write_text(json.dumps(document))


def voc_by_splits(raw: Path) -> None:
    for number in range(2 * EACH):
        folder, label = (
            raw / ("train", "test")[number % 4 == 0 or number % 4 == 1],
            ("cat", "dog")[number % 2],
        )
        picture(folder / f"images/{number}.png", number)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / f"annotations/{number}.xml").write_text(XML.format(name=number, label=label))


def darknet(raw: Path) -> None:
    yolo(raw)
    (raw / "data.yaml").unlink()
    (raw / "classes.txt").write_text("cat\ndog\n")


@pytest.mark.parametrize(
    "write", [split_tables, absolute_table, open_images, coco_beside_keypoints, voc_by_splits, darknet]
)
def test_names_tell_where_pictures_lie(
    write: Callable[[Path], None], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project / "raw")
    assert main(["raw", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pictures"] == 2 * EACH
    assert told["classes"] == {"cat": EACH, "dog": EACH}
    assert told["absent"] == 0
    assert told["not_read"] == (
        ["annotations/person_keypoints_all.json"] if write is coco_beside_keypoints else []
    )


@pytest.mark.slow
def test_pictures_in_one_folder_are_for_a_generator(project: Path) -> None:
    pictures(project / "raw/flowers")
    assert main(["raw", "--write"]) == 0
    written = yaml.safe_load((project / "params.yaml").read_text())
    assert written["preprocess"]["classification"]["classes"] == ["flowers"]
    assert written["train-classifier"] is None
    preprocess(**preprocess_paths(project, project / "out"))
    assert load_classification(project / "out/classification", "train").classes == ["flowers"]


def test_a_section_that_becomes_null_stays_as_a_comment(project: Path) -> None:
    pictures(project / "raw/flowers")
    text = (project / "params.yaml").read_text()
    own = "train-classifier: # mine\n  network: {model: compact}\n\n  # tried: 30\n  epochs: 40 # enough\n"
    before, _, rest = text.partition("train-classifier:")
    after = "train-detector:" + rest.partition("train-detector:")[2]
    (project / "params.yaml").write_text(f"{before}{own}\n{after}")
    for _ in range(2):  # the second time there is nothing more to keep
        assert main(["raw", "--write"]) == 0
    written = (project / "params.yaml").read_text()
    assert yaml.safe_load(written)["train-classifier"] is None
    kept = "".join(f"# {line}".rstrip() + "\n" for line in own.splitlines())
    assert f"\ntrain-classifier: null\n{kept}\ntrain-detector:" in written


def without_names(raw: Path) -> None:
    yolo(raw)
    (raw / "data.yaml").unlink()


def twice(raw: Path) -> None:
    coco(raw)
    file = raw / "annotations/instances.json"
    file.write_text(file.read_text().replace('"images":', '"images": [], "images":'))


def via_3(raw: Path) -> None:
    pictures(raw)
    (raw / "via.json").write_text('{"project": {}, "config": {}, "file": {}, "view": {}, "metadata": {}}')


def via_csv(raw: Path) -> None:
    head = "filename,file_size,file_attributes,region_id,region_shape_attributes,region_attributes"
    shape, kind = '{""name"":""rect"",""x"":1}', '{""kind"":""cat""}'
    rows = [f'{name}.png,84,"{{}}",0,"{shape}","{kind}"' for name, _ in pictures(raw)]
    (raw / "via_csv.csv").write_text("\n".join([head, *rows]) + "\n")


def of_two_names(raw: Path) -> None:
    voc(raw)
    for file in (raw / "Annotations").iterdir():
        file.write_text(file.read_text().replace("<name>", "<name>cow</name><name>"))


def spreadsheet(raw: Path) -> None:
    pictures(raw)
    (raw / "labels.xlsx").write_bytes(b"PK")


def key_points(raw: Path) -> None:
    result = [{"type": "keypointlabels", "value": {"x": 1, "y": 2, "keypointlabels": ["cat"]}}]
    tasks = [
        {"data": {"image": f"{name}.png"}, "annotations": [{"result": result}]} for name, _ in pictures(raw)
    ]
    (raw / "export.json").write_text(json.dumps(tasks))


def masks(raw: Path) -> None:
    pictures(raw / "images")
    pictures(raw / "masks")


def masks_in_splits(raw: Path) -> None:
    for split in ("train", "val"):
        pictures(raw / split / "images")
        for name, _ in pictures(raw / split / "Seg_Labels"):
            (raw / split / "Seg_Labels" / f"{name}.png").rename(
                raw / split / "Seg_Labels" / f"{name}_mask.png"
            )


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (masks, "raw: masks has a picture for each of those beside it, so these are masks of pixels"),
        (masks_in_splits, "raw: Seg_Labels has a picture for each of those beside it"),
        (spreadsheet, "nothing is known that writes labels.xlsx"),
        (
            key_points,
            "export.json: an export of Label Studio without what is read, rectangles,",
        ),
        (without_names, "write a name a line into classes.txt beside them"),
        (via_3, "via.json: a project of VIA 3: export it as COCO, and read that with `format: coco`"),
        (via_csv, "CSV of the VGG Image Annotator: export the annotations as JSON, which is read"),
        (twice, "instances.json: the key 'images' stands there twice in one object; remove one"),
        (of_two_names, "no label can be read: invalid_box, 24 times, first raw/Annotations/00.xml: object 1"),
    ],
)
def test_why_nothing_can_be_read(
    write: Callable[[Path], None], said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project / "raw")
    assert main(["raw"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_a_folder_is_looked_at_without_a_project_and_nothing_is_written_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image_folder(tmp_path / "raw")
    monkeypatch.chdir(tmp_path)
    assert main(["raw"]) == 0
    assert "format: image-folder" in capsys.readouterr().out
    assert main(["raw", "--write"]) == 2
    said = "error: params.yaml: no such file; `darkroom init` makes a project with one\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "params.yaml").exists()
