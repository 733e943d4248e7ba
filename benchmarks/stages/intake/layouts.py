"""Let darkroom and other tools read the same small data sets, and compare what labels they find.

`python -m benchmarks.stages.intake.layouts --peers PYTHON` asks an interpreter that has ultralytics,
torchvision, supervision, Datumaro and Hugging Face's datasets; nothing of the project needs them. A cell
says `reads` where the labels are those that were written, `refuses` where the tool ends in an exception,
`**wrong**` where it gives others without one. `--out FILE` writes what it prints.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from benchmarks.machine import describe
from stages.core.errors import StageError
from stages.preprocess.readers import read_source
from stages.sources.preparation import BoxSource, PictureSource
from stages.sources.rows import Row

PEER = Path(__file__).parent / "layouts_peer.py"
TOOLS = {
    "ultralytics": ("yolo",),
    "torchvision": ("image-folder", "coco", "pascal-voc"),
    "supervision": ("image-folder", "coco", "pascal-voc", "yolo"),
    "datumaro": ("image-folder", "coco", "pascal-voc", "yolo", "cvat", "labelme"),
    "datasets": ("image-folder", "metadata"),
}
"""What each tool has a reader of."""
CLASSIFIED = ("image-folder", "video")
"""Formats of pictures without boxes; a table is one where no column holds boxes."""
NAMES = ("cat", "dog", "cat", "dog")
WRITTEN = Counter(NAMES)
FORM = {"classes": None, "channels": 3}
XML = (
    "<annotation><filename>{name}.jpg</filename><size><width>{width}</width><height>20</height>"
    "<depth>3</depth></size><object><name>{label}</name><difficult>0</difficult><bndbox><xmin>5</xmin>"
    "<ymin>6</ymin><xmax>25</xmax><ymax>16</ymax></bndbox></object></annotation>"
)


def write_picture(file: Path) -> None:
    """Noise of 40 x 20 px."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(file.as_posix())).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def write_text(file: Path, text: str, encoding: str = "utf-8") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(encoding))


def classes(folder: Path, *, above: str = "", suffix: str = ".png") -> None:
    for number, label in enumerate(NAMES):
        write_picture(folder / above / label / f"{number}{suffix}")


def splits(folder: Path, *names: str) -> None:
    for number, label in enumerate(NAMES):
        write_picture(folder / names[number // 2] / label / f"{number}.png")


def mac_archive(folder: Path) -> None:
    classes(folder)
    write_text(folder / "__MACOSX/cat/._0.png", "")


def coco(folder: Path, change: Callable[[dict[str, Any]], object] | None = None) -> None:
    for number in range(len(NAMES)):
        write_picture(folder / f"images/train/{number}.png")
    images = [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 20} for n in range(len(NAMES))]
    things = [
        {
            "id": n + 1,
            "image_id": n,
            "category_id": 1 + n % 2,
            "bbox": [5, 6, 20, 10],
            "area": 200,
            "iscrowd": 0,
        }
        for n in range(len(NAMES))
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    document = {"images": images, "annotations": things, "categories": categories}
    if change is not None:
        change(document)
    write_text(folder / "annotations/instances_train.json", json.dumps(document))


def each(key: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    """A change of a key of every annotation or image that has it."""

    def changed(document: dict[str, Any]) -> None:
        for one in document["annotations"] + document["images"]:
            if key in one:
                one[key] = change(one[key])

    return changed


def segmented(document: dict[str, Any]) -> None:
    for one in document["annotations"]:
        del one["bbox"]
        one["segmentation"] = [[5, 6, 25, 6, 25, 16]]


def voc(
    folder: Path,
    *,
    names: str = "{n}",
    rows: str = "{name}",
    width: str = "40",
    change: tuple[str, str] = ("", ""),
) -> None:
    named = [names.format(n=number) for number in range(len(NAMES))]
    for name, label in zip(named, NAMES, strict=True):
        write_picture(folder / f"JPEGImages/{name}.jpg")
        text = XML.format(name=name, label=label, width=width)
        write_text(folder / f"Annotations/{name}.xml", text.replace(*change))
    if rows:
        lines = "".join(rows.format(name=name) + "\n" for name in named)
        write_text(folder / "ImageSets/Main/train.txt", lines)


def yolo(
    folder: Path,
    *,
    row: str = "{label} 0.5 0.5 0.5 0.5\n",
    data: str = "train: images\nval: images\nnames: [cat, dog]\n",
    more: tuple[tuple[str, str], ...] = (),
) -> None:
    for number in range(len(NAMES)):
        write_picture(folder / f"images/{number}.png")
        write_text(folder / f"labels/{number}.txt", row.format(label=number % 2))
    write_text(folder / "data.yaml", f"path: {folder.resolve()}\n{data}")
    for name, text in more:
        write_text(folder / name, text)


RECTANGLE = {"points": [[5, 6], [25, 16]], "shape_type": "rectangle"}
TRIANGLE = {"points": [[5, 6], [25, 6], [15, 16]], "shape_type": "polygon"}
TURNED = {"points": [[5, 11], [15, 6], [25, 11], [15, 16]], "shape_type": "rotation"}


def labelme(folder: Path, drawn: dict[str, Any]) -> None:
    for number, label in enumerate(NAMES):
        write_picture(folder / f"{number}.png")
        shape = {"label": label, **drawn}
        sizes = {"imagePath": f"{number}.png", "imageWidth": 40, "imageHeight": 20, "imageData": None}
        write_text(folder / f"{number}.json", json.dumps({"version": "5.4.1", "shapes": [shape], **sizes}))


BOX = '<box label="{}" xtl="5" ytl="6" xbr="25" ybr="16" occluded="0" z_order="0"/>'
POINTS = '<polygon label="{}" points="5,6;25,6;15,16" occluded="0" z_order="0"/>'


def pictures(folder: Path) -> list[tuple[str, str]]:
    """Pictures in the folder `images`, with their classes."""
    named = [(f"{number}.png", label) for number, label in enumerate(NAMES)]
    for name, _ in named:
        write_picture(folder / f"images/{name}")
    return named


def cvat(folder: Path, box: str) -> None:
    pictures(folder)
    images = [
        f'<image id="{n}" name="{n}.png" width="40" height="20">{box.format(label)}</image>'
        for n, label in enumerate(NAMES)
    ]
    labels = "".join(f"<label><name>{name}</name></label>" for name in ("cat", "dog"))
    meta = f"<version>1.1</version><meta><task><labels>{labels}</labels></task></meta>"
    text = f"<?xml version='1.0'?><annotations>{meta}{''.join(images)}</annotations>"
    write_text(folder / "annotations.xml", text)


SIZE = {"original_width": 40, "original_height": 20}
SHARES = {"x": 12.5, "y": 30, "width": 50, "height": 50, "rotation": 0}
"""Percent of the picture."""


def label_studio(folder: Path, value: dict[str, Any], kind: str = "rectanglelabels", **more: Any) -> None:
    tasks = []
    for name, label in pictures(folder):
        result = {"type": kind, **SIZE, "value": {**value, kind: [label]}}
        picture = {"image": f"/data/upload/1/0123abcd-{name}"}
        tasks.append({"data": picture, "annotations": [{"result": [result], **more}]})
    write_text(folder / "export.json", json.dumps(tasks))


def label_studio_min(folder: Path) -> None:
    """As JSON-MIN has it."""
    tasks = [
        {
            "image": f"/data/upload/1/0123abcd-{name}",
            "label": [{**SHARES, **SIZE, "rectanglelabels": [label]}],
        }
        for name, label in pictures(folder)
    ]
    write_text(folder / "export.json", json.dumps(tasks))


def create_ml(folder: Path) -> None:
    middle = {"x": 15, "y": 11, "width": 20, "height": 10}
    entries = [
        {"image": name, "annotations": [{"label": label, "coordinates": middle}]}
        for name, label in pictures(folder)
    ]
    write_text(folder / "images/_annotations.createml.json", json.dumps(entries))


def via(folder: Path) -> None:
    shape = {"name": "rect", "x": 5, "y": 6, "width": 20, "height": 10}
    entries = {
        f"{name}84": {
            "filename": name,
            "regions": [{"shape_attributes": shape, "region_attributes": {"kind": label}}],
        }
        for name, label in pictures(folder)
    }
    write_text(folder / "via.json", json.dumps({"_via_settings": {}, "_via_img_metadata": entries}))


def table(
    folder: Path,
    *,
    head: str = "file,label",
    row: str = "{name}.png,{label}",
    end: str = "\n",
    encoding: str = "utf-8",
    above: str = "",
) -> None:
    rows = [
        row.format(name=PurePosixPath(name).stem, number=number, label=label)
        for number, (name, label) in enumerate(pictures(folder))
    ]
    lines = [*([above] if above else []), *([head] if head else []), *rows]
    write_text(folder / "labels.csv", end.join(lines) + end, encoding)


def metadata(folder: Path, suffix: str, *names: str) -> None:
    """Pictures with a table beside them, for each split, as Hugging Face's imagefolder has it."""
    for number, split in enumerate(names):
        records = [
            {"file_name": f"{place}.png", **(objects(label) if suffix == "objects" else {"label": label})}
            for place, label in list(enumerate(NAMES))[2 * number : 2 * number + 2]
        ]
        for record in records:
            write_picture(folder / split / str(record["file_name"]))
        if suffix == "csv":
            lines = ["file_name,label", *(",".join(map(str, record.values())) for record in records)]
            write_text(folder / split / "metadata.csv", "\n".join(lines) + "\n")
        else:
            lines = [json.dumps(record) for record in records]
            write_text(folder / split / "metadata.jsonl", "\n".join(lines) + "\n")


def objects(label: str) -> dict[str, Any]:
    return {"objects": {"bbox": [[5, 6, 20, 10]], "categories": [label]}}


def videos(folder: Path, *names: str) -> None:
    """A clip of ten frames for each class."""
    for number, label in enumerate(NAMES):
        split = names[number // 2] if names else ""
        file = folder / split / label / f"{number}.avi"
        file.parent.mkdir(parents=True, exist_ok=True)
        video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10, (40, 20))
        for frame in range(10):
            video.write(np.full((20, 40, 3), 20 * frame, np.uint8))
        video.release()


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A data set as some tool writes it."""

    kind: str
    words: str
    write: Callable[[Path], None]
    labels: Counter[str] = field(default_factory=lambda: WRITTEN.copy())
    """What is there; without a sound box what has none."""
    params: dict[str, Any] = field(default_factory=dict)
    known_as: str = ""
    """What tools have a reader of it; empty: `kind`."""


COCO = {"annotations": {"train": "annotations/instances_train.json"}, "pictures": "images/train"}
PARAMS: dict[str, dict[str, Any]] = {
    "image-folder": {"folder": "."},
    "coco": COCO,
    "pascal-voc": {"folder": ".", "first_pixel": 1},
    "yolo": {"file": "data.yaml"},
    "labelme": {"folder": "."},
    "cvat": {"file": "annotations.xml", "pictures": "images"},
    "label-studio": {"file": "export.json", "pictures": "images"},
    "create-ml": {"file": "images/_annotations.createml.json"},
    "via": {"file": "via.json", "pictures": "images"},
    "csv": {"file": "labels.csv", "pictures": "images", "columns": {"picture": "file", "label": "label"}},
    "jsonl": {},
    "video": {"folder": ".", "every": 10},
}
EDGES = {"columns": {"picture": "file", "label": "label", "box": ["xmin", "ymin", "xmax", "ymax"]}}
EDGE_NAMES = "file,label,xmin,ymin,xmax,ymax"
BY_SPLIT = {"columns": {"picture": "file_name", "label": "label"}, "pictures": None}
OBJECTS = {
    "columns": {"picture": "file_name", "label": "objects.categories", "box": ["objects.bbox"]},
    "box_as": "corner-and-size",
    "pictures": None,
}
NAN = float("nan")
ROBNDBOX = "<robndbox><cx>15</cx><cy>11</cy><w>20</w><h>10</h><angle>0.3</angle></robndbox>"
ORIENTED = "{label} 0.2 0.5 0.5 0.2 0.8 0.5 0.5 0.8\n"
POLYGON = "{label} 0.1 0.1 0.6 0.1 0.6 0.8 0.3 0.9 0.1 0.8\n"
LAYOUTS = [
    Layout(kind="image-folder", words="CLASS/picture", write=classes),
    Layout(kind="image-folder", words="train and valid", write=lambda f: splits(f, "train", "valid")),
    Layout(
        kind="image-folder", words="Training and Testing", write=lambda f: splits(f, "Training", "Testing")
    ),
    Layout(
        kind="image-folder",
        words="seg_train and seg_test",
        write=lambda f: splits(f, "seg_train", "seg_test"),
    ),
    Layout(kind="image-folder", words="NAME/CLASS/picture", write=lambda f: classes(f, above="pets")),
    Layout(kind="image-folder", words="__MACOSX beside the classes", write=mac_archive),
    Layout(kind="image-folder", words="pictures in .ppm", write=lambda f: classes(f, suffix=".ppm")),
    Layout(kind="image-folder", words="pictures in .jp2", write=lambda f: classes(f, suffix=".jp2")),
    Layout(kind="coco", words="as COCO has it", write=coco),
    Layout(kind="coco", words="category ids 1.0", write=lambda f: coco(f, each("category_id", float))),
    Layout(kind="coco", words='category ids "1"', write=lambda f: coco(f, each("category_id", str))),
    Layout(kind="coco", words="segmentation, no bbox", write=lambda f: coco(f, segmented)),
    Layout(
        kind="coco",
        words="file_name with backslashes",
        write=lambda f: coco(f, each("file_name", lambda name: f".\\{name}")),
    ),
    Layout(
        kind="coco",
        words="a bbox of NaN",
        write=lambda f: coco(f, lambda d: d["annotations"][0].update(bbox=[NAN, 6, 20, 10])),
        labels=WRITTEN - Counter(["cat"]),
    ),
    Layout(kind="pascal-voc", words="as VOC has it", write=voc),
    Layout(kind="pascal-voc", words="names with spaces", write=lambda f: voc(f, names="my cat {n}")),
    Layout(kind="pascal-voc", words='rows "NAME -1"', write=lambda f: voc(f, rows="{name} -1")),
    Layout(kind="pascal-voc", words="no lists", write=lambda f: voc(f, rows="")),
    Layout(kind="pascal-voc", words="a float size", write=lambda f: voc(f, width="40.0")),
    Layout(
        kind="pascal-voc",
        words="another filename",
        write=lambda f: voc(f, change=("<filename>", "<filename>x")),
    ),
    Layout(
        kind="pascal-voc",
        words="empty names of classes",
        write=lambda f: voc(f, change=("<name>cat", "<name>")),
        labels=Counter(dog=2),
    ),
    Layout(
        kind="pascal-voc",
        words="turned boxes of roLabelImg",
        write=lambda f: voc(f, change=(XML[XML.index("<bndbox>") : XML.index("</object>")], ROBNDBOX)),
        params={"first_pixel": 0},
    ),
    Layout(kind="yolo", words="boxes, val is train", write=yolo),
    Layout(kind="yolo", words="polygons", write=lambda f: yolo(f, row=POLYGON)),
    Layout(kind="yolo", words="oriented boxes", write=lambda f: yolo(f, row=ORIENTED)),
    Layout(kind="yolo", words="class 0.0", write=lambda f: yolo(f, row="{label}.0 0.5 0.5 0.5 0.5\n")),
    Layout(kind="yolo", words="commas", write=lambda f: yolo(f, row="{label}, 0.5, 0.5, 0.5, 0.5\n")),
    Layout(
        kind="yolo", words="the same row twice", write=lambda f: yolo(f, row="{label} 0.5 0.5 0.5 0.5\n" * 2)
    ),
    Layout(
        kind="yolo",
        words="names: [cat, cat]",
        write=lambda f: yolo(f, data="train: images\nval: images\nnames: [cat, cat]\n"),
        labels=Counter(),
    ),
    Layout(
        kind="yolo",
        words="valid: for val:",
        write=lambda f: yolo(f, data="train: images\nvalid: images\nnames: [cat, dog]\n"),
    ),
    Layout(
        kind="yolo",
        words="classes.txt among labels",
        write=lambda f: yolo(f, more=(("labels/classes.txt", "cat\ndog\n"),)),
    ),
    Layout(
        kind="yolo",
        words="a list of pictures",
        write=lambda f: yolo(
            f,
            data="train: train.txt\nval: train.txt\nnames: [cat, dog]\n",
            more=(("train.txt", "".join(f"./images/{n}.png\n" for n in range(4))),),
        ),
    ),
    Layout(
        kind="yolo",
        words="a row of four values",
        write=lambda f: yolo(f, more=(("labels/0.txt", "0 0.5 0.5 0.5\n"),)),
        labels=WRITTEN - Counter(["cat"]),
    ),
    Layout(kind="labelme", words="JSON of version 5", write=lambda f: labelme(f, RECTANGLE)),
    Layout(kind="labelme", words="polygons", write=lambda f: labelme(f, TRIANGLE)),
    Layout(kind="labelme", words="turned boxes of AnyLabeling", write=lambda f: labelme(f, TURNED)),
    Layout(
        kind="labelme",
        words="points, which have no box",
        write=lambda f: labelme(f, {"points": [[5, 6]], "shape_type": "point"}),
        labels=Counter(),
    ),
    Layout(kind="cvat", words="CVAT for images 1.1", write=lambda f: cvat(f, BOX)),
    Layout(kind="cvat", words="polygons", write=lambda f: cvat(f, POINTS)),
    Layout(kind="cvat", words="turned boxes", write=lambda f: cvat(f, BOX.replace("/>", ' rotation="30"/>'))),
    Layout(kind="label-studio", words="JSON, rectangles", write=lambda f: label_studio(f, SHARES)),
    Layout(kind="label-studio", words="JSON-MIN", write=label_studio_min),
    Layout(
        kind="label-studio",
        words="turned rectangles",
        write=lambda f: label_studio(f, {**SHARES, "rotation": 20}),
    ),
    Layout(
        kind="label-studio",
        words="polygons",
        write=lambda f: label_studio(f, {"points": [[10, 20], [60, 20], [30, 80]]}, "polygonlabels"),
    ),
    Layout(
        kind="label-studio",
        words="cancelled by the annotator",
        write=lambda f: label_studio(f, SHARES, was_cancelled=True),
        labels=Counter(),
    ),
    Layout(kind="create-ml", words="as Roboflow writes it", write=create_ml),
    Layout(kind="via", words="project of version 2", write=via),
    Layout(
        kind="csv",
        words="metadata.csv in folders of splits",
        write=lambda f: metadata(f, "csv", "train", "test"),
        params=BY_SPLIT | {"file": {"train": "train/metadata.csv", "test": "test/metadata.csv"}},
        known_as="metadata",
    ),
    Layout(
        kind="jsonl",
        words="metadata.jsonl in folders of splits",
        write=lambda f: metadata(f, "jsonl", "train", "validation"),
        params=BY_SPLIT | {"file": {"train": "train/metadata.jsonl", "val": "validation/metadata.jsonl"}},
        known_as="metadata",
    ),
    Layout(
        kind="jsonl",
        words="metadata.jsonl with objects",
        write=lambda f: metadata(f, "objects", "train", "test"),
        params=OBJECTS | {"file": {"train": "train/metadata.jsonl", "test": "test/metadata.jsonl"}},
        known_as="metadata",
    ),
    Layout(kind="csv", words="commas", write=table),
    Layout(
        kind="csv",
        words="semicolons",
        write=lambda f: table(f, head="file;label", row="{name}.png;{label}", end="\r\n"),
    ),
    Layout(kind="csv", words="tabs", write=lambda f: table(f, head="file\tlabel", row="{name}.png\t{label}")),
    Layout(kind="csv", words="UTF-16", write=lambda f: table(f, encoding="utf-16")),
    Layout(
        kind="csv",
        words="latin-1",
        write=lambda f: table(f, head="file,label,caf\xe9", row="{name}.png,{label},1", encoding="latin-1"),
        params={"encoding": "latin-1"},
    ),
    Layout(kind="csv", words="a first line sep=,", write=lambda f: table(f, above="sep=,")),
    Layout(kind="csv", words="names without suffix", write=lambda f: table(f, row="{name},{label}")),
    Layout(kind="csv", words="capitals and spaces", write=lambda f: table(f, head=" File , LABEL ")),
    Layout(
        kind="csv",
        words="paths of Windows",
        write=lambda f: table(f, row="C:\\set\\{name}.png,{label}"),
        params={"strip_prefix": "C:\\set"},
    ),
    Layout(
        kind="csv",
        words="no header",
        write=lambda f: table(f, head=""),
        params={"header": ["file", "label"]},
    ),
    Layout(
        kind="csv",
        words="two columns called label",
        write=lambda f: table(f, head="file,label,label", row="{name}.png,{label},x"),
        labels=Counter(),
    ),
    Layout(
        kind="csv",
        words="boxes by corners",
        write=lambda f: table(f, head=EDGE_NAMES, row="{name}.png,{label},5,6,25,16"),
        params=EDGES,
    ),
    Layout(
        kind="csv",
        words="boxes in shares",
        write=lambda f: table(f, head=EDGE_NAMES, row="{name}.png,{label},.1,.3,.6,.8"),
        params=EDGES | {"unit": "shares"},
    ),
    Layout(
        kind="csv",
        words="a box with inf",
        write=lambda f: table(f, head=EDGE_NAMES, row="{name}.png,{label},{number},6,inf,16"),
        params=EDGES,
        labels=Counter(),
    ),
    Layout(kind="video", words="CLASS/clip.avi", write=videos),
    Layout(kind="video", words="train and valid", write=lambda f: videos(f, "train", "valid")),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", required=True, help="the interpreter that has the other tools")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        ours = [our_cell(layout, Path(scratch) / f"{n}") for n, layout in enumerate(LAYOUTS)]
        versions, theirs = ask_peers(arguments.peers, Path(scratch))
    named = ", ".join(f"{tool} {version}" for tool, version in versions.items())
    lines = [
        "# What darkroom and other tools make of the same files\n",
        f"`python -m benchmarks.stages.intake.layouts --peers PYTHON` on {describe()}; {named}.\n",
        f"Four pictures of 40 x 20 px with {counted(WRITTEN)}; each tool is given the whole folder. `reads`:"
        " these labels. `refuses`: an exception. **wrong**: other labels, and no exception. -: no reader of"
        " the format is known of it. `tells`: a finding names the file and what was done.\n",
        f"| format | layout | {' | '.join(TOOLS)} | darkroom |",
        "|---|---|" + "---|" * (len(TOOLS) + 1),
    ]
    for number, layout in enumerate(LAYOUTS):
        cells = [theirs.get((number, tool), "-") for tool in TOOLS]
        lines.append(f"| {layout.kind} | {layout.words} | {' | '.join(cells)} | {ours[number]} |")
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def ask_peers(python: str, scratch: Path) -> tuple[dict[str, str], dict[tuple[int, str], str]]:
    """The versions of the tools, and a cell for each layout, by its number, and tool that has a reader."""
    jobs, places = [], []
    for number, layout in enumerate(LAYOUTS):
        for tool, kinds in TOOLS.items():
            kind = layout.known_as or layout.kind
            if kind in kinds:
                folder = scratch / f"{number}-{tool}"  # its own: some tools leave caches
                layout.write(folder)
                jobs.append({"tool": tool, "format": kind, "folder": str(folder)})
                places.append((number, tool))
    done = subprocess.run(
        [python, PEER], input=json.dumps(jobs), cwd=scratch, capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    cells = {
        place: their_cell(LAYOUTS[place[0]], answer)
        for place, answer in zip(places, said["answers"], strict=True)
    }
    return said["versions"], cells


def their_cell(layout: Layout, answer: Any) -> str:
    if isinstance(answer, str):
        return f"refuses: {answer.partition(':')[0]}"
    return "reads" if Counter(answer) == layout.labels else f"**wrong**: {counted(Counter(answer))}"


def our_cell(layout: Layout, folder: Path) -> str:
    """What darkroom makes of the layout by params alone."""
    layout.write(folder)
    stated = {"format": layout.kind, **FORM, **PARAMS[layout.kind], **layout.params}
    without_boxes = "columns" in stated and "box" not in stated["columns"]
    classified = layout.kind in CLASSIFIED or without_boxes
    source: Any = TypeAdapter(PictureSource if classified else BoxSource)
    params = source.validate_python(stated)
    try:
        found = list(read_source(folder, params, upright=True))
    except StageError:
        return "refuses with a fix"
    finally:
        shutil.rmtree(folder)
    rows = [one for one in found if isinstance(one, Row)]
    labels = Counter(label for row in rows for label in labels_of(row))
    told = ", and tells" if len(found) > len(rows) else ""
    return f"reads{told}" if labels == layout.labels else f"**wrong**: {counted(labels)}{told}"


def labels_of(row: Row) -> list[str]:
    """The labels of a row; of a box that stands twice, which preprocess keeps once, the label once."""
    if not row.places:
        return list(row.labels)
    return list(
        {(label, box.tobytes()): label for label, box in zip(row.labels, row.boxes, strict=True)}.values()
    )


def counted(labels: Counter[str]) -> str:
    return ", ".join(f"{count} {name or repr(name)}" for name, count in sorted(labels.items())) or "no label"


if __name__ == "__main__":
    main()
