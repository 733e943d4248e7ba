"""What a source's reader makes of a folder, for tests of formats: rows and findings, no picture decoded."""

import math
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import TypeAdapter

from stages.preprocess.readers import read_source
from stages.sources.preparation import BoxSource, PictureSource
from stages.sources.rows import Finding, Found, Row

SPLIT = {"val": 0.2, "test": 0.2, "group_pattern": None, "near_duplicates": None}
FORM = {"classes": None, "shape": [32, 32], "channels": 3, "fit": "stretch", "ground": 0, "split": SPLIT}
SOURCES: dict[str, Any] = {
    "detection": TypeAdapter(BoxSource),
    "classification": TypeAdapter(PictureSource),
}


def read(raw: Path, params: dict[str, Any], task: str = "detection") -> tuple[list[Row], list[Finding]]:
    """The rows and the findings of a source as section `preprocess` describes it."""
    found = list(read_source(raw, SOURCES[task].validate_python(FORM | params), upright=True))
    return [one for one in found if isinstance(one, Row)], [one for one in found if isinstance(one, Finding)]


def checked(found: Found, raw: Path) -> Found:
    """What a reader gives, each of it as it has to be."""
    for one in found:
        if isinstance(one, Finding):
            for text in (one.where, one.what):
                assert len(text.encode()) < 2000
                assert "\n" not in text
        else:
            _check_row(one, raw)
        yield one


def _check_row(row: Row, raw: Path) -> None:
    if isinstance(row.picture, Path):
        assert row.picture.is_relative_to(raw)
        assert ".." not in row.picture.parts
    row.where.encode()
    assert all(label.strip() and label.encode() for label in row.labels)
    if row.places or not row.labels:
        assert len(row.places) == len(row.labels) == len(row.boxes)
    assert all(math.isfinite(edge) for box in row.boxes.tolist() for edge in box)
    for polygons in row.polygons.values():
        assert all(len(polygon) >= 6 and all(map(math.isfinite, polygon)) for polygon in polygons)
    assert not any(math.isinf(number) for number in row.attributes.values())
    assert row.split in (None, "train", "val", "test")


def boxes(rows: list[Row]) -> dict[str, list[tuple[str, list[float]]]]:
    """The classes and boxes of each picture by its name."""
    return {
        Path(row.picture).name: list(zip(row.labels, row.boxes.round(2).tolist(), strict=True))
        for row in rows
        if isinstance(row.picture, Path)
    }


def splits(rows: list[Row]) -> dict[str, str | None]:
    """The split of each picture by its name."""
    return {Path(row.picture).name: row.split for row in rows if isinstance(row.picture, Path)}


def kinds(findings: list[Finding]) -> list[str]:
    """The kinds of findings."""
    return [finding.kind for finding in findings]


def write_picture(path: Path, size: tuple[int, int] = (40, 20)) -> Path:
    """A black picture of 40 x 20 px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
    return path


def write_text(path: Path, text: str | bytes) -> Path:
    """A file of annotations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path
