"""Annotations that are no files: a pipe, a socket, a folder, a link to nothing or out of the raw folder.

Each is a finding, and its picture is never taken for background.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stages.sources.readers import read, write_picture, write_text

YOLO = {"format": "yolo", "file": "data.yaml"}
VOC = {"format": "pascal-voc", "folder": ".", "first_pixel": 1, "pictures": "images", "annotations": "labels"}
LABELME = {"format": "labelme", "folder": "images"}
BOX = "<bndbox><xmin>5</xmin><ymin>6</ymin><xmax>25</xmax><ymax>16</ymax></bndbox>"
XML = f"<annotation><object><name>cat</name>{BOX}</object></annotation>"
JSON = '{"shapes": [{"label": "cat", "points": [[5, 6], [25, 16]], "shape_type": "rectangle"}]}'
FORMATS = {
    "yolo": (YOLO, "labels/{}.txt", "0 0.5 0.5 0.5 0.5"),
    "pascal-voc": (VOC, "labels/{}.xml", XML),
    "labelme": (LABELME, "images/{}.json", JSON),
}


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may have a hundred characters
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(path.name)
    os.chdir(here)


def link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))


def link_out(path: Path) -> None:
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("make", [pipe, listening, link_to_nothing, link_out])
def test_is_a_finding_and_its_picture_is_no_background(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    params, file, content = FORMATS[name]
    write_text(tmp_path / "data.yaml", "train: images\nnames: [cat]\n")
    for picture in ("good", "odd"):
        write_picture(tmp_path / f"images/{picture}.png")
    write_text(tmp_path / file.format("good"), content)
    make(tmp_path / file.format("odd"))
    rows, findings = read(tmp_path, params)
    assert [(Path(str(row.picture)).stem, row.labels) for row in rows] == [("good", ("cat",))]
    of_odd: list[Any] = [one for one in findings if "odd" in one.where and "unlabelled" not in one.kind]
    assert [one.kind for one in of_odd] == ["unfollowed_link" if make is link_out else "bad_row"]


def test_a_folder_in_place_of_labels(tmp_path: Path) -> None:
    write_text(tmp_path / "data.yaml", "train: images\nnames: [cat]\n")
    write_picture(tmp_path / "images/odd.png")
    (tmp_path / "labels/odd.txt").mkdir(parents=True)
    rows, findings = read(tmp_path, YOLO)
    assert not rows
    assert [one.kind for one in findings] == ["bad_row"]
    assert findings[0].what.endswith("odd.txt: a folder, no file")


def test_a_pipe_named_as_a_video(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        os.mkfifo(tmp_path / label / "x.mp4")
    params = {"format": "video", "folder": ".", "every": 1}
    rows, findings = read(tmp_path, params, "classification")
    assert not rows
    assert [one.kind for one in findings] == ["unreadable", "unreadable"]
