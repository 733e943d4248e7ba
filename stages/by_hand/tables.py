"""Tables that may list the pictures of a folder: CSV, Parquet, or one JSON object a line."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stages.by_hand.seen import FolderListing, Guess, Named, chosen_of, files_of, keys_of, split_of
from stages.core.errors import DataError
from stages.sources.documents import number, parse_json
from stages.sources.rows import is_picture
from stages.sources.tables.table_file import SEPARATORS

LABELS = (
    "label",
    "labels",
    "class",
    "class_name",
    "classname",
    "category",
    "category_name",
    "labelname",
    "label_name",
    "name",
    "target",
    "species",
    "breed",
    "diagnosis",
    "dx",
    "tag",
    "class_id",
    "category_id",
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
NESTED = ("objects", "annotations", "faces")
"""Names of a column of things in the picture: lists by name, or a list of objects, as Hugging Face has it."""
NESTED_LABELS = ("categories", "category", "labels", "label", "classes", "class", "category_id")
NESTED_BOXES = ("bbox", "bboxes", "boxes", "box")
LISTS = (
    "tags",
    "labels",
    "keywords",
    "finding labels",
    "findings",
    "categories",
    "label",
    "tag",
)
"""Names of columns, in small letters, that hold several labels each."""
LIST_SIGNS = "|;"
SPLITS = ("split", "set", "subset")
LOOKED_AT = 30  # rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """The beginning of a table."""

    name: str
    format: Literal["csv", "jsonl", "parquet"]
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    keys: Mapping[str, Any]
    """What of `separator`, `encoding` and `header` has to be told."""

    def cells(self, column: str) -> list[Any]:
        """The cells of a column."""
        place = self.columns.index(column)
        return [row[place] for row in self.rows]


def table_guesses(seen: FolderListing) -> Iterator[Guess]:
    """What tables of pictures and classes would be read as, those of all splits together."""
    alike: dict[str, list[tuple[Named, dict[str, Any]]]] = {}
    for table in _tables(seen):
        source = _source(seen, table)
        if source is not None:
            named = table.cells(source["columns"]["picture"])
            size = (seen.folder / table.name).stat().st_size
            origin = seen.origin_of(named, table.name)
            one = Named(table.name, split_of(table.name), origin, size)
            alike.setdefault(repr(source), []).append((one, source))
    for group in alike.values():
        chosen, beside = chosen_of([one for one, _ in group])
        source = {"format": group[0][1]["format"], "file": files_of(chosen), **keys_of(chosen), **group[0][1]}
        task: Literal["classification", "detection"] = (
            "detection" if "box" in source["columns"] else "classification"
        )
        layout = f"a table, {', '.join(one.name for one in chosen)}"
        yield Guess(task=task, source=source, layout=layout, beside=beside)


def _source(seen: FolderListing, table: Looked) -> dict[str, Any] | None:
    """The table's keys but for where it lies; None: it names no pictures with classes."""
    picture = next((one for one in table.columns if _are_pictures(table.cells(one), seen)), None)
    if picture is None:
        return None
    small = {column.strip().lower(): column for column in table.columns if column != picture}
    split = next((small[word] for word in SPLITS if word in small), None)
    nested = next(filter(None, (_nested(table, small[word]) for word in NESTED if word in small)), None)
    if nested is not None:
        nested_columns = {"picture": picture, **nested} | ({} if split is None else {"split": split})
        return {"format": table.format, "columns": nested_columns, "box_as": "corner-and-size"}
    lists = _lists(table, small)
    label = next((small[word] for word in LABELS if word in small and small[word] not in lists), None)
    if (
        label is None
        and not lists
        and len(small) == 1
        and _are_classes(table.cells(next(iter(small.values()))))
    ):
        (label,) = small.values()
    boxes = _boxes(small)
    taken = {label, split, *lists}
    attributes = [name for name in small.values() if name not in taken and _says_yes_or_no(table.cells(name))]
    if label is None and (boxes is not None or not (attributes or lists)):
        said = "it names pictures, and no column of it is called as classes are, such as label"
        if "region_shape_attributes" in small:
            said = "CSV of the VGG Image Annotator: export the annotations as JSON, which is read"
        seen.tell(f"{seen.folder / table.name}: {said}: {', '.join(table.columns)[:200]}")
        return None
    columns: dict[str, Any] = {"picture": picture, "label": label}
    columns |= {} if split is None else {"split": split}
    source: dict[str, Any] = {"format": table.format, **table.keys, "columns": columns}
    if boxes is None:
        columns |= {"attributes": attributes} if attributes else {}
        columns |= {"label_lists": lists} if lists else {}
    else:
        columns["box"], box_as = boxes
        source |= {} if box_as == "corners" else {"box_as": box_as}
        edges = [edge for one in columns["box"] for edge in map(number, table.cells(one)) if edge is not None]
        source |= {"unit": "shares"} if edges and max(edges) <= 1 else {}
    return source


def _nested(table: Looked, column: str) -> dict[str, Any] | None:
    """The keys `label` and `box` of a column that holds the things in a picture; None: it does not."""
    cells = [one for cell in table.cells(column) for one in (cell if isinstance(cell, list) else [cell])]
    names = {str(name).strip().lower(): name for cell in cells if isinstance(cell, dict) for name in cell}
    label = next((names[word] for word in NESTED_LABELS if word in names), None)
    box = next((names[word] for word in NESTED_BOXES if word in names), None)
    if label is None or box is None:
        return None
    return {"label": f"{column}.{label}", "box": [f"{column}.{box}"]}


def _are_pictures(cells: Sequence[Any], seen: FolderListing) -> bool:
    """Whether cells name pictures, by their suffixes or because pictures are called so."""
    texts = [str(cell).strip() for cell in cells if cell is not None and str(cell).strip()]
    return bool(texts) and (all(map(is_picture, texts)) or sum(map(seen.has_picture, texts)) > len(texts) / 2)


def _are_classes(cells: Sequence[Any]) -> bool:
    """Whether cells could be classes: some of them stand there several times."""
    return len(set(map(repr, cells))) <= len(cells) / 2 and not isinstance(cells[0], dict | list)


def _says_yes_or_no(cells: Sequence[Any]) -> bool:
    """Whether the cells are 0 and 1, or -1 and 1, but for empty ones."""
    known = {number(cell) for cell in cells if cell is not None and str(cell).strip()}
    return len(known) == 2 and known in ({0.0, 1.0}, {-1.0, 1.0})


def _lists(table: Looked, small: Mapping[str, str]) -> dict[str, str | None]:
    """Columns that are called as lists are, and in which several labels stand, by the sign between them."""
    found: dict[str, str | None] = {}
    for column in (small[word] for word in LISTS if word in small):
        cells = table.cells(column)
        if any(isinstance(cell, list) and all(isinstance(one, str) for one in cell) for cell in cells):
            found[column] = None
            continue
        signs = [sign for sign in LIST_SIGNS if sum(sign in str(cell) for cell in cells) > len(cells) / 10]
        if signs:
            found[column] = signs[0]
    return found


def _boxes(small: Mapping[str, str]) -> tuple[list[str], str] | None:
    """The columns of a box, by their names in lower case, and what they contain."""
    for kind, all_ in BOXES.items():
        for four in all_:
            if set(four) <= set(small):
                return [small[word] for word in four], kind
    single = next((small[word] for word in BOX_COLUMNS if word in small), None)
    return None if single is None else ([single], "corners")


def _tables(seen: FolderListing) -> Iterator[Looked]:
    for name in seen.ending(".csv", ".tsv", ".txt"):
        table = _csv(seen, name)
        if table is not None:
            yield table
    for name in seen.ending(".jsonl"):
        table = _json_lines(seen, name)
        if table is not None:
            yield table
    for name in seen.ending(".parquet"):
        table = _parquet(seen, name)
        if table is not None:
            yield table


def _csv(seen: FolderListing, name: str) -> Looked | None:
    text, encoding = seen.encoded_head(name)
    lines = [line for line in text.splitlines() if line.strip()]
    stated = lines[0].strip('" ')[4:5] if lines and lines[0].lower().strip('" ').startswith("sep=") else ""
    lines = lines[1 if stated else 0 :][: LOOKED_AT + 1]
    lines = lines[:-1] if len(lines) > 2 else lines  # the last may be cut off
    keys: dict[str, Any] = {} if encoding is None else {"encoding": encoding}
    for separator in stated or SEPARATORS:
        try:
            rows = list(csv.reader(lines, delimiter=separator))
        except csv.Error:
            continue
        if len(rows) > 1 and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            return _with_header(name, rows, keys)
    words = [line.rsplit(" ", 1) for line in lines]  # as Caffe lists pictures
    if len(words) > 1 and all(
        len(pair) == 2 and is_picture(pair[0]) and " " not in pair[0] for pair in words
    ):
        return _with_header(name, words, {"separator": " ", **keys})
    return None


def _with_header(name: str, rows: list[list[str]], keys: Mapping[str, Any]) -> Looked | None:
    """A table whose first row names the columns, or already names a picture."""
    head, *below = rows
    if any(map(is_picture, head)):
        columns = _named_columns(head)
        if columns is None:
            return None
        keys, head, below = {"header": columns, **keys}, columns, rows
    return Looked(name=name, format="csv", columns=head, rows=below, keys=keys)


def _named_columns(cells: Sequence[str]) -> list[str] | None:
    """Names for a row that begins with a picture: of a class, or of a box, x1, y1, x2, y2, and a class."""
    if len(cells) == 2:
        return ["picture", "label"]
    if len(cells) == 6 and is_picture(cells[0]) and None not in map(number, cells[1:5]):
        return ["picture", "x1", "y1", "x2", "y2", "label"]
    return None


def _json_lines(seen: FolderListing, name: str) -> Looked | None:
    records = []
    lines = seen.head(name).split("\n")
    for place, line in enumerate(lines[: max(1, len(lines) - 1)][:LOOKED_AT], start=1):
        try:
            record = parse_json(line, f"{seen.folder / name}: row {place}")
        except DataError as error:
            seen.tell(str(error))
            return None
        records += [record] if isinstance(record, dict) else []
    if not records:
        return None
    columns = list(records[0])
    rows = [[record.get(column) for column in columns] for record in records]
    return Looked(name=name, format="jsonl", columns=columns, rows=rows, keys={})


def _parquet(seen: FolderListing, name: str) -> Looked | None:
    file = seen.folder / name
    try:
        import pyarrow.parquet  # not with every installation

        table = pyarrow.parquet.ParquetFile(file) if file.is_file() else None
        batch = next(table.iter_batches(batch_size=LOOKED_AT), None) if table else None
    except (ImportError, OSError, ValueError):  # Arrow's errors are one of the two
        return None
    records = batch.to_pylist() if batch is not None else []
    if not records:
        return None
    columns = list(records[0])
    rows = [list(record.values()) for record in records]
    return Looked(name=name, format="parquet", columns=columns, rows=rows, keys={})
