"""A table with a picture's path and its class in each row: CSV or Parquet."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from stages.core.errors import DataError
from stages.core.packed import SPLITS
from stages.core.params import StageParams
from stages.sources.params import PictureParams
from stages.sources.rows import Finding, Found, Row, existing_file, unsafe, with_unlabelled


class Columns(StageParams):
    """Names of the table's columns; null where it has none such."""

    picture: str
    """Path below `pictures`."""
    label: str
    """Name of the class."""
    split: str | None
    """train, val, test, or empty: to be decided."""
    group: str | None
    """What must stay in one split."""
    caption: str | None
    """What is to be seen, in words: train-gan learns to draw by it."""
    attributes: list[str]
    """Numbers that train-gan may learn to draw by; an empty cell is unknown."""


class ManifestParams(PictureParams):
    """`format: csv` or `format: parquet`."""

    format: Literal["csv", "parquet"]

    file: str
    """Below the raw folder."""

    pictures: str
    """The folder that the table's paths start from, below the raw folder."""

    columns: Columns


def read_manifest(raw: Path, params: ManifestParams) -> Found:
    """A row for each row of the table, in its order; then the pictures that it does not name.

    Raises:
        DataError: no such file, no table, or a column that is missing.

    """
    file, folder = existing_file(raw / params.file), raw / params.pictures
    records = _csv(file) if params.format == "csv" else _parquet(file)
    rows = (_row(f"{file}: row {number}", folder, record, params.columns) for number, record in records)
    return with_unlabelled(rows, folder, f"{file} does not name it")


def _row(where: str, folder: Path, record: Mapping[str, Any] | None, columns: Columns) -> Row | Finding:
    if record is None:
        return Finding(kind="bad_row", where=where, what="not as many cells as columns")
    texts = columns.model_dump(exclude={"attributes"})
    wanted = [*(name for name in texts.values() if name is not None), *columns.attributes]
    missing = [name for name in wanted if name not in record]
    if missing:
        table = where.rpartition(": row")[0]
        raise DataError(f"{table}: no column '{missing[0]}' among {', '.join(map(str, record))}")
    values = {key: _text(record[name]) for key, name in texts.items() if name is not None}
    name, label, split = values["picture"], values["label"], values.get("split")
    if not name or not label:
        empty = columns.picture if not name else columns.label
        return Finding(kind="bad_row", where=where, what=f"column '{empty}' is empty")
    if unsafe(name):
        return Finding(kind="path_traversal", where=where, what=f"leads out of {folder}: {name!r}")
    if split and split not in SPLITS:
        return Finding(kind="bad_row", where=where, what=f"split {split!r} is none of {', '.join(SPLITS)}")
    given = next((known for known in SPLITS if known == split), None)
    try:
        attributes = {column: float(_text(record[column]) or "nan") for column in columns.attributes}
    except ValueError as error:
        return Finding(kind="bad_row", where=where, what=f"an attribute is no number: {error}")
    return Row(
        where=f"{where}: {name}",
        picture=folder / name,
        labels=(label,),
        split=given,
        group=values.get("group") or None,
        caption=values.get("caption"),
        attributes=attributes,
    )


def _text(value: Any) -> str:
    missing = value is None or value != value  # NaN, which differs from itself
    return "" if missing else str(value).strip()


def _csv(file: Path) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    """Rows with the number of their line; None for one with too many or too few cells."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines, strict=True)
        try:
            for record in table:
                whole = None not in record and None not in record.values()
                yield table.line_num, record if whole else None
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{file}: row {table.line_num + 1}: no CSV in UTF-8 ({error})") from None


def _parquet(file: Path) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    import pandas as pd  # 35 MB, which the other formats do without

    try:
        table = pd.read_parquet(file)
    except ImportError:
        raise DataError(f"{file}: Parquet is read by pyarrow: `pip install pyarrow`, or save CSV") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{file}: no Parquet ({' '.join(str(error).split())})") from None
    names = list(table.columns)
    for number, record in enumerate(table.itertuples(index=False, name=None)):
        yield number, dict(zip(names, record, strict=True))
