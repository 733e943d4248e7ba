"""Tables that could name the pictures of a folder: CSV, Parquet, a JSON object a line."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from stages.by_hand.seen import Guess, Seen
from stages.core.errors import DataError
from stages.sources.documents import parse_json
from stages.sources.rows import is_picture

LABELS = (
    "label",
    "class",
    "class_name",
    "classname",
    "category",
    "name",
    "target",
    "species",
    "diagnosis",
    "dx",
)
"""Names of columns, in small letters, that hold classes; the first that a table has."""
BOXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "corners": (
        ("xmin", "ymin", "xmax", "ymax"),
        ("x1", "y1", "x2", "y2"),
        ("x_min", "y_min", "x_max", "y_max"),
    ),
    "corner-and-size": (
        ("x", "y", "width", "height"),
        ("x", "y", "w", "h"),
        ("left", "top", "width", "height"),
    ),
}
"""Names of the columns of boxes by what they hold."""
BOX_COLUMNS = ("box", "bbox")
"""Names of a column of four numbers."""
SPLITS = ("split", "set", "subset")


def table_guesses(seen: Seen) -> Iterator[Guess]:
    """What a table with a column of pictures and one of classes would be read as."""
    for name, kind, record in _first_rows(seen):
        picture = next((column for column, cell in record.items() if is_picture(str(cell))), None)
        small = {column.strip().lower(): column for column in record}
        label = next((small[word] for word in LABELS if word in small), None)
        if picture is None or label is None:
            continue
        pictures, _ = seen.folder_of(str(record[picture]), name)
        columns: dict[str, Any] = {"picture": picture, "label": label}
        split = next((small[word] for word in SPLITS if word in small), None)
        columns |= {} if split is None else {"split": split}
        source = {"format": kind, "file": name, "pictures": pictures, "columns": columns}
        boxes = _boxes(small)
        if boxes is not None:
            columns["box"], box_as = boxes
            source |= {} if box_as == "corners" else {"box_as": box_as}
        task: Literal["classification", "detection"] = "classification" if boxes is None else "detection"
        yield Guess(task=task, source=source, layout=f"a table, {name}")


def _boxes(small: Mapping[str, str]) -> tuple[list[str], str] | None:
    """The columns of a box, by their names in small letters, and what they hold."""
    for kind, all_ in BOXES.items():
        for four in all_:
            if set(four) <= set(small):
                return [small[word] for word in four], kind
    single = next((small[word] for word in BOX_COLUMNS if word in small), None)
    return None if single is None else ([single], "corners")


def _first_rows(seen: Seen) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The name of each table, its format, and the cells of its first row by their columns."""
    for name in seen.ending(".csv", ".tsv", ".txt"):
        lines = [line for line in seen.head(name).splitlines() if line.strip()][:-1]
        if len(lines) < 2:
            continue
        try:
            dialect = csv.Sniffer().sniff("\n".join(lines[:20]), ",;\t|")
        except csv.Error:
            continue
        head, *rows = list(csv.reader(lines, dialect))
        yield name, "csv", dict(zip(head, rows[0], strict=False))
    for name in seen.ending(".jsonl"):
        first: Sequence[str] = seen.head(name).split("\n", 1)
        try:
            record = parse_json(first[0], name)
        except DataError:
            continue
        if isinstance(record, dict):
            yield name, "jsonl", record
    for name in seen.ending(".parquet"):
        record = _of_parquet(seen.folder / name)
        if record is not None:
            yield name, "parquet", record


def _of_parquet(file: Path) -> Mapping[str, Any] | None:
    try:
        import pyarrow.parquet  # not with every installation

        table = pyarrow.parquet.ParquetFile(file) if file.is_file() else None
        batch = next(table.iter_batches(batch_size=1), None) if table else None
    except (ImportError, OSError, ValueError):  # Arrow's errors are one of the two
        return None
    rows = batch.to_pylist() if batch is not None else []
    return rows[0] if rows else None
