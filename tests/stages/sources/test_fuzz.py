"""Annotations of every format, changed along their grammar and damaged: rows and findings, or one line.

The same examples in each run; FUZZ_EXAMPLES=10000 takes so many new ones of each format.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from stages.core.errors import DataError
from stages.preprocess.gathering import gather
from stages.preprocess.readers import read_source
from stages.preprocess.sorting import RunSettings, gathering_for
from stages.sources.params import Policy
from stages.sources.policy import Findings
from tests.stages.param_files import POLICY
from tests.stages.sources.readers import FORM, SOURCES, checked, write_picture, write_text

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
LONG = "@long@"
"""Stands for an integer of 5,000 digits, which Python does not write."""
ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 2.0, 1e308, -1e308, 10**400, math.nan, math.inf, LONG, [], {}, [[]], ""),
    *(" ", "0", "1.0", "007", "nan", "inf", "1e999", "1_0", "\u0663", "a.png", "b.png", "b", "x/../a.png"),
    *("../../etc/passwd", "/etc/passwd", "C:\\a.png", "\\a.png", "a\0b", "a\nb", "\ud800", "\u202e", "cat"),
    *({"size": [20, 40], "counts": [400, 10, 390]}, {"size": [20, 40], "counts": "417"}, [[1, 2] * 3]),
    *([1, 2, 3, 4], [1] * 7, "train", "Valid", "9" * 400, "-0", "http://[x", "a" * 300),
]


def written(value: Any) -> str:
    """An odd value as a word of a text format."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace(LONG, "9" * 5000)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A small data set that is in order, and the file of it that is changed."""

    params: dict[str, Any]
    file: str
    content: str
    others: tuple[tuple[str, str], ...] = ()
    task: str = "detection"


IMAGES = [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}, {"id": 2, "file_name": "b.png"}]
THINGS = [
    {"id": 1, "image_id": 1, "category_id": 3, "bbox": [5, 6, 20, 10], "iscrowd": 0},
    {"id": 2, "image_id": 2, "category_id": 3, "segmentation": [[5, 6, 25, 6, 15, 16]]},
    {"id": 3, "image_id": 2, "category_id": 3, "segmentation": {"size": [3, 4], "counts": [4, 3, 5]}},
]
COCO = {"images": IMAGES, "annotations": THINGS, "categories": [{"id": 3, "name": "cat"}]}
SHAPES = [
    {"label": "cat", "points": [[5, 6], [25, 16]], "shape_type": "rectangle", "group_id": None},
    {"label": "cat", "points": [[5, 6], [25, 6], [15, 16]], "shape_type": "polygon", "group_id": 1},
    {"label": "cat", "points": [[10, 10], [13, 14]], "shape_type": "circle"},
]
LABELME = {"imagePath": "a.png", "imageWidth": 40, "imageHeight": 20, "shapes": SHAPES}
SIZE = {"original_width": 40, "original_height": 20}
RESULTS = [
    {
        "value": {"x": 10, "y": 20, "width": 50, "height": 50, "rotation": 5, "rectanglelabels": ["cat"]},
        **SIZE,
    },
    {"value": {"points": [[10, 10], [60, 10], [40, 80]], "polygonlabels": ["cat"]}, **SIZE},
    {"value": {"x": 50, "y": 50, "radiusX": 25, "radiusY": 25, "ellipselabels": ["cat"]}, **SIZE},
    {"type": "choices", "value": {"choices": ["cat"]}},
]
STUDIO = [
    {"data": {"image": "/data/upload/1/a.png"}, "annotations": [{"result": RESULTS, "was_cancelled": False}]},
    {"image": "b.png", "label": [RESULTS[0]["value"] | SIZE], "choice": "cat"},
]
CREATE_ML = [
    {
        "image": "a.png",
        "annotations": [{"label": "cat", "coordinates": {"x": 15, "y": 11, "width": 20, "height": 10}}],
    },
    {"imagefilename": "b.png", "annotation": []},
]
REGIONS = [
    {"shape_attributes": {"name": "rect", "x": 5, "y": 6, "width": 20, "height": 10}},
    {"shape_attributes": {"name": "polygon", "all_points_x": [5, 25, 15], "all_points_y": [6, 6, 16]}},
    {"shape_attributes": {"name": "circle", "cx": 9, "cy": 9, "r": 3}},
    {"shape_attributes": {"name": "ellipse", "cx": 9, "cy": 9, "rx": 3, "ry": 4, "theta": 0.5}},
]
KINDS = [{"kind": "cat"}, {"kind": {"cat": True, "dog": False}}, {"kind": "cat", "note": ""}, {}]
VIA = {
    "a.png84": {
        "filename": "a.png",
        "regions": [one | {"region_attributes": kind} for one, kind in zip(REGIONS, KINDS, strict=True)],
    },
    "b.png84": {"filename": "b.png", "regions": {"0": REGIONS[0]}},
}
BOX = "<bndbox><xmin>5</xmin><ymin>6</ymin><xmax>25</xmax><ymax>16</ymax></bndbox>"
VOC = (
    "<annotation><filename>a.png</filename><size><width>40</width><height>20</height></size>"
    f"<object><name>cat</name><difficult>0</difficult>{BOX}</object>"
    "<object><name>cat</name><polygon><x1>5</x1><y1>6</y1><x2>9</x2><y2>6</y2><x3>7</x3><y3>9</y3></polygon>"
    "</object><object><type>robndbox</type><name>cat</name><robndbox><cx>15</cx><cy>11</cy><w>20</w><h>10</h>"
    "<angle>0.5</angle></robndbox></object></annotation>"
)
CVAT = (
    '<?xml version="1.0" encoding="utf-8"?><annotations><image id="0" name="a.png" subset="train" width="40" '
    'height="20"><box label="cat" xtl="5" ytl="6" xbr="25" ybr="16" rotation="3"/>'
    '<polygon label="cat" points="5,6;25,6;15,16"/><ellipse label="cat" cx="9" cy="9" rx="3" ry="4"/>'
    '<mask label="cat" rle="1" left="5" top="6" width="20" height="10"/></image></annotations>'
)
LINES = "0 0.5 0.5 0.5 0.5\n0 0.25 0.25 0.75 0.25 0.5 0.75\n1 .5,.5,.5,.5\n"
YAML = "path: .\ntrain: images\nval: val.txt\nnames:\n  0: cat\n  1: dog\nkpt_shape: [2, 3]\n"
TABLE = "file,class,part,weight\na.png,cat,train,2.5\nb.png,dog,,\n"
BOX_TABLE = "file;class;xmin;ymin;xmax;ymax\na.png;cat;5;6;25;16\nb.png;;;;;\na.png;dog;1;2;3;4\n"
COLUMNS = {"picture": "file", "label": "class"}
CORNERS = ["xmin", "ymin", "xmax", "ymax"]
FORMATS = {
    "coco": Format(
        params={"format": "coco", "annotations": {"all": "a.json"}, "pictures": "images"},
        file="a.json",
        content=json.dumps(COCO),
    ),
    "pascal-voc": Format(
        params={"format": "pascal-voc", "folder": ".", "first_pixel": 1, "pictures": "images"},
        file="Annotations/a.xml",
        content=VOC,
        others=(("Annotations/b.xml", VOC),),
    ),
    "pascal-voc lists": Format(
        params={"format": "pascal-voc", "folder": ".", "first_pixel": 0, "pictures": "images"},
        file="ImageSets/Main/train.txt",
        content="a\nb.png\nx/b 1\n",
        others=(("Annotations/a.xml", VOC), ("Annotations/b.xml", VOC)),
    ),
    "yolo": Format(
        params={"format": "yolo", "file": "data.yaml"},
        file="labels/a.txt",
        content=LINES,
        others=(("data.yaml", YAML.replace("kpt", "#")), ("val.txt", "images/b.png")),
    ),
    "yolo data.yaml": Format(
        params={"format": "yolo", "file": "data.yaml"},
        file="data.yaml",
        content=YAML,
        others=(("labels/a.txt", LINES), ("val.txt", "images/b.png\n./images/a.png\n")),
    ),
    "yolo lists": Format(
        params={"format": "yolo", "file": "obj.data"},
        file="train.txt",
        content="data/images/a.png\nimages/b.png\n",
        others=(("obj.data", "train = data/train.txt\nnames = obj.names\n"), ("obj.names", "cat\ndog\n")),
    ),
    "labelme": Format(
        params={"format": "labelme", "folder": "images"}, file="images/a.json", content=json.dumps(LABELME)
    ),
    "cvat": Format(
        params={"format": "cvat", "file": "a.xml", "pictures": "images"}, file="a.xml", content=CVAT
    ),
    "label-studio": Format(
        params={"format": "label-studio", "file": "a.json", "pictures": "images"},
        file="a.json",
        content=json.dumps(STUDIO),
    ),
    "label-studio choices": Format(
        params={"format": "label-studio", "file": "a.json", "pictures": "images"},
        file="a.json",
        content=json.dumps(STUDIO),
        task="classification",
    ),
    "create-ml": Format(
        params={"format": "create-ml", "file": "a.json", "pictures": "images"},
        file="a.json",
        content=json.dumps(CREATE_ML),
    ),
    "via": Format(
        params={"format": "via", "file": "a.json", "pictures": "images", "unnamed": "dog"},
        file="a.json",
        content=json.dumps(VIA),
    ),
    "csv": Format(
        params={
            "format": "csv",
            "file": "a.csv",
            "pictures": "images",
            "columns": COLUMNS | {"split": "part", "attributes": ["weight"], "caption": "class"},
        },
        file="a.csv",
        content=TABLE,
        task="classification",
    ),
    "csv of boxes": Format(
        params={
            "format": "csv",
            "file": "a.csv",
            "pictures": "images",
            "unit": "shares",
            "columns": COLUMNS | {"box": CORNERS},
        },
        file="a.csv",
        content=BOX_TABLE,
    ),
    "jsonl": Format(
        params={
            "format": "jsonl",
            "file": "a.jsonl",
            "pictures": "images",
            "columns": COLUMNS | {"box": ["box"]},
        },
        file="a.jsonl",
        content='{"file": "a.png", "class": "cat", "box": [5, 6, 25, 16]}\n{"file": "b", "box": ""}\n',
    ),
    "jsonl of objects": Format(
        params={
            "format": "jsonl",
            "file": "a.jsonl",
            "pictures": "images",
            "box_as": "corner-and-size",
            "columns": {"picture": "file", "label": "in.class", "box": ["in.box"]},
        },
        file="a.jsonl",
        content='{"file": "a.png", "in": {"class": ["cat", 1], "box": [[5, 6, 20, 10], [1, 2, 3, 4]]}}',
    ),
}
VALUE = re.compile(r"(?:(?<=^)|(?<=[\">;,\s]))[\w.+-]+(?=[\"<;,\s])")
TOKENS = re.compile(r"[\w.+-]+|\s+|[^\w\s]")


def tree_changed(content: str, steps: list[tuple[int, int, int]]) -> str:
    """Values of a JSON tree replaced, wrapped, doubled or taken out."""
    document = json.loads(content)
    for at, how, which in steps:
        places = list(_places(document))
        if not places:
            break
        holder, key = places[at % len(places)]
        if how == 0 and isinstance(holder, list):
            holder.append(deepcopy(holder[key]))
        elif how == 1:
            del holder[key]
        elif how == 2:
            holder[key] = [holder[key]]
        else:
            holder[key] = deepcopy(ODD[which % len(ODD)])
    return json.dumps(document).replace(f'"{LONG}"', "9" * 5000)


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, inner in list(items):
        yield data, key
        yield from _places(inner)


def values_changed(content: str, steps: list[tuple[int, int, int]]) -> str:
    """Values between the signs of a text format replaced."""
    for at, _, which in steps:
        found = list(VALUE.finditer(content))
        if found:
            start, end = found[at % len(found)].span()
            content = content[:start] + written(ODD[which % len(ODD)]) + content[end:]
    return content


def words_changed(content: str, steps: list[tuple[int, int, int]]) -> str:
    """Words and signs of a text replaced, doubled, moved or taken out."""
    tokens = TOKENS.findall(content)
    for at, how, which in steps:
        at %= len(tokens)
        if how == 0:
            tokens.insert(which % len(tokens), tokens[at])
        elif how == 1 and len(tokens) > 1:
            del tokens[at]
        elif how == 2:
            tokens[at:at] = tokens[at : at + which % 12]
        else:
            tokens[at] = written(ODD[which % len(ODD)])
    return "".join(tokens)


@st.composite
def changes(draw: st.DrawFn) -> Callable[[str], bytes]:
    """A change of a file's content."""
    number = st.integers(0, 9999)
    steps = draw(st.lists(st.tuples(number, st.integers(0, 5), number), min_size=1, max_size=4))
    along = draw(st.sampled_from([True, True, False]))
    damage = draw(st.none() | st.none() | st.tuples(number, st.integers(0, 255), st.booleans()))
    encoding = draw(st.sampled_from([*["utf-8"] * 8, "utf-16", "latin-1"]))

    def change(content: str) -> bytes:
        tree = content[0] in "{[" and "\n" not in content
        within = tree_changed if tree else values_changed
        text = (within if along else words_changed)(content, steps)
        changed = text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")
        if damage is None or not changed:
            return changed
        at, byte, cut = damage[0] % len(changed), damage[1], damage[2]
        return changed[:at] if cut else changed[:at] + bytes([byte]) + changed[at + 1 :]

    return change


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_changed_annotations_are_read_or_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("stages.preprocess.sorting.cores", lambda: 0)
    one, raw = FORMATS[name], tmp_path / "raw"
    for picture in ("a.png", "b.png"):
        write_picture(raw / "images" / picture)
    for file, content in one.others:
        write_text(raw / file, content)
    params = SOURCES[one.task].validate_python(FORM | one.params)
    policy = Policy.model_validate(POLICY | {"path_traversal": "refuse"})
    task: Any = one.task
    read = {"rows": 0, "refused": 0}

    @settings(
        max_examples=EXAMPLES or 20,
        derandomize=not EXAMPLES,
        database=None,
        phases=[Phase.generate],
        deadline=None,
    )
    @given(change=changes())
    def check(change: Callable[[str], bytes]) -> None:
        content = change(one.content)
        note(repr(content[:2000]))
        write_text(raw / one.file, content)
        run = RunSettings(raw=raw, seed=1, policy=policy, scratch=tmp_path / "scratch", cache=None)
        findings = Findings(policy)
        refused = None
        try:
            found = checked(read_source(raw, params, upright=True), raw)
            if sum(read.values()) % 10:
                list(found)
            else:  # this takes longest
                gather(found, gathering_for(params, task, run), findings)
        except DataError as error:
            refused = str(error)
        if refused is not None:
            assert re.fullmatch(r"[^\n]{20,1500}", refused)
            refused.encode()
        read["rows" if refused is None else "refused"] += 1

    check()
    print(f"\n{name}: {read['rows']} read, {read['refused']} refused in one line")
