"""Let darkroom and other tools read the same small data sets, and compare what labels they find.

`python -m benchmarks.stages.intake.layouts --peers PYTHON` asks an interpreter that has ultralytics,
torchvision, supervision and Datumaro; nothing of the project needs them. A cell says `reads` where the
labels are those that were written, `refuses` where the tool ends in an exception, `**wrong**` where it
gives others without one. `--out FILE` writes what it prints.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
}
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


def write_text(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


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


def labelme(folder: Path) -> None:
    for number, label in enumerate(NAMES):
        write_picture(folder / f"{number}.png")
        shape = {"label": label, "points": [[5, 6], [25, 16]], "shape_type": "rectangle"}
        sizes = {"imagePath": f"{number}.png", "imageWidth": 40, "imageHeight": 20, "imageData": None}
        write_text(folder / f"{number}.json", json.dumps({"version": "5.4.1", "shapes": [shape], **sizes}))


def cvat(folder: Path) -> None:
    for number in range(len(NAMES)):
        write_picture(folder / f"images/{number}.png")
    box = '<box label="{}" xtl="5" ytl="6" xbr="25" ybr="16" occluded="0" z_order="0"/>'
    images = [
        f'<image id="{n}" name="{n}.png" width="40" height="20">{box.format(label)}</image>'
        for n, label in enumerate(NAMES)
    ]
    labels = "".join(f"<label><name>{name}</name></label>" for name in ("cat", "dog"))
    meta = f"<version>1.1</version><meta><task><labels>{labels}</labels></task></meta>"
    text = f"<?xml version='1.0'?><annotations>{meta}{''.join(images)}</annotations>"
    write_text(folder / "annotations.xml", text)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A data set as some tool writes it."""

    kind: str
    words: str
    write: Callable[[Path], None]
    labels: Counter[str] = field(default_factory=lambda: WRITTEN.copy())
    """What is there; without a sound box what has none."""
    params: dict[str, Any] = field(default_factory=dict)


COCO = {"annotations": {"train": "annotations/instances_train.json"}, "pictures": "images/train"}
PARAMS: dict[str, dict[str, Any]] = {
    "image-folder": {"folder": "."},
    "coco": COCO,
    "pascal-voc": {"folder": ".", "first_pixel": 1},
    "yolo": {"file": "data.yaml"},
    "labelme": {"folder": "."},
    "cvat": {"file": "annotations.xml", "pictures": "images"},
}
NAN = float("nan")
POLYGON = "{label} 0.1 0.1 0.6 0.1 0.6 0.8 0.1 0.8\n"
LAYOUTS = [
    Layout(kind="image-folder", words="CLASS/picture", write=classes),
    Layout(kind="image-folder", words="train and valid", write=lambda f: splits(f, "train", "valid")),
    Layout(
        kind="image-folder", words="Training and Testing", write=lambda f: splits(f, "Training", "Testing")
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
    Layout(kind="yolo", words="boxes, val is train", write=yolo),
    Layout(kind="yolo", words="polygons", write=lambda f: yolo(f, row=POLYGON)),
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
    Layout(kind="labelme", words="JSON of version 5", write=labelme),
    Layout(kind="cvat", words="CVAT for images 1.1", write=cvat),
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
            if layout.kind in kinds:
                folder = scratch / f"{number}-{tool}"  # its own: some tools leave caches
                layout.write(folder)
                jobs.append({"tool": tool, "format": layout.kind, "folder": str(folder)})
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
    source: Any = TypeAdapter(PictureSource if layout.kind == "image-folder" else BoxSource)
    params = source.validate_python({"format": layout.kind, **FORM, **PARAMS[layout.kind], **layout.params})
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
