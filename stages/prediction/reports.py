"""A model's answers in formats for people and programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.core.texts import in_a_line
from stages.prediction.answers import Classified, Detected, Unread

Answer = Classified | Detected | Unread

DIGITS = 4
"""Digits of probabilities after the point."""
LIST_SIGN = "; "
"""Between the attributes that a picture has, in a cell of a table."""


def line_of(answer: Answer) -> str:
    """An answer as a line for people."""
    name = in_a_line(answer.picture)
    if isinstance(answer, Unread):
        return f"{name}: cannot be read: {in_a_line(answer.reason)}"
    if isinstance(answer, Classified):
        parts = [_shares(list(answer.probabilities.items())[:3])] if answer.probabilities else []
        if answer.attributes:
            parts.append(f"has {_shares(answer.present.items()) or 'none of the attributes'}")
        return f"{name}: {'; '.join(parts)}"
    found = [f"{in_a_line(box.label)} {box.score:.2f}" for box in answer.boxes]
    return f"{name}: {', '.join(found) or 'nothing found'}"


def lines_of(answer: Answer) -> list[str]:
    """An answer as lines for people: the nearest training pictures have a line each."""
    nearest = answer.nearest if isinstance(answer, Classified) else ()
    return [
        line_of(answer),
        *(
            f"  {number}. {in_a_line(one.label or 'no class')}, distance {one.distance:.{DIGITS}f}:"
            f" {in_a_line(one.picture)}"
            for number, one in enumerate(nearest, start=1)
        ),
    ]


def _shares(shares: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{in_a_line(label)} {value:.2f}" for label, value in shares)


def to_text(answers: Iterable[Answer]) -> str:
    """Answers as lines for people."""
    return "".join(f"{line}\n" for answer in answers for line in lines_of(answer))


def to_json(answers: Iterable[Answer]) -> str:
    """Answers as a JSON list; of a picture that cannot be read it has `picture` and `reason`."""
    return json.dumps([_rounded(_plain(answer)) for answer in answers], indent=1, ensure_ascii=False) + "\n"


def _plain(answer: Answer) -> dict[str, Any]:
    """An answer as plain values; without `attributes` and `nearest` where there are none."""
    values = asdict(answer)
    return {name: value for name, value in values.items() if value or name not in ("attributes", "nearest")}


def to_csv(answers: Iterable[Answer]) -> str:
    """Answers as a table: a row for each picture that is classified, each box, and what cannot be read.

    Of a classifier with attributes, `attributes` names those that the picture has, and `attribute:NAME` is
    the probability of each. `nearest:1`, `nearest:1:label` and `nearest:1:distance` are of the nearest
    training picture, where they were asked for, and so on.
    """
    rows = [row for answer in answers for row in _rows(answer)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    written = io.StringIO()
    table = csv.DictWriter(written, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


def _rows(answer: Answer) -> list[dict[str, Any]]:
    if isinstance(answer, Unread):
        return [{"picture": answer.picture, "reason": answer.reason}]
    if isinstance(answer, Classified):
        share = "" if answer.probability is None else f"{answer.probability:.{DIGITS}f}"
        row = {"picture": answer.picture, "label": answer.label or "", "probability": share}
        if answer.attributes:
            row["attributes"] = LIST_SIGN.join(answer.present)
            shares = sorted((name, one.probability) for name, one in answer.attributes.items())
            row |= {f"attribute:{name}": f"{value:.{DIGITS}f}" for name, value in shares}
        for number, one in enumerate(answer.nearest, start=1):
            row[f"nearest:{number}"] = one.picture
            row[f"nearest:{number}:label"] = one.label or ""
            row[f"nearest:{number}:distance"] = f"{one.distance:.{DIGITS}f}"
        return [row]
    return [
        {
            "picture": answer.picture,
            "label": box.label,
            "score": f"{box.score:.{DIGITS}f}",
            **{side: f"{getattr(box, side):.1f}" for side in ("x1", "y1", "x2", "y2")},
        }
        for box in answer.boxes
    ]


def to_coco(answers: Iterable[Answer], classes: Sequence[str]) -> str:
    """Boxes as COCO's JSON with a `score` for each; what cannot be read is left out."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for answer in answers:
        if not isinstance(answer, Detected):
            continue
        images.append(
            {
                "id": len(images) + 1,
                "file_name": answer.picture,
                "width": answer.width,
                "height": answer.height,
            }
        )
        for box in answer.boxes:
            width, height = box.x2 - box.x1, box.y2 - box.y1
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": classes.index(box.label) + 1,
                    "bbox": [round(value, 2) for value in (box.x1, box.y1, width, height)],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                    "score": round(box.score, DIGITS),
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return (
        json.dumps({"images": images, "annotations": annotations, "categories": categories}, indent=1) + "\n"
    )


def to_yolo(answers: Iterable[Answer], classes: Sequence[str]) -> dict[Path, str]:
    """Boxes as YOLO's label files by their paths: a file for each picture, and classes.txt."""
    files = {Path("classes.txt"): "".join(f"{name}\n" for name in classes)}
    for answer in answers:
        if isinstance(answer, Detected):
            files[labels_path(answer.picture)] = "".join(
                f"{classes.index(box.label)}"
                f" {(box.x1 + box.x2) / 2 / answer.width:.6f} {(box.y1 + box.y2) / 2 / answer.height:.6f}"
                f" {(box.x2 - box.x1) / answer.width:.6f} {(box.y2 - box.y1) / answer.height:.6f}\n"
                for box in answer.boxes
            )
    return files


def labels_path(picture: str) -> Path:
    """The file of a picture's labels below a folder: by its path, which cannot lead out of it."""
    path = Path(picture)
    parts = [part for part in path.parts if part not in (path.anchor, "..", ".")]
    return Path(*parts).with_suffix(".txt")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
