"""Metrics and tables for `dvc metrics` and `dvc plots`.

Every number has six significant digits, so that a last bit that differs on another processor changes no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.files import write_atomically, write_json

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = ".6g"


def write_table(path: Path, rows: pd.DataFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """Write rows, or columns by name, as CSV."""
    import pandas as pd  # 60 MB, which a stage that writes figures alone does without

    write_atomically(path, pd.DataFrame(rows).to_csv(index=False, float_format=f"%{_DIGITS}").encode())


def write_metrics(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as indented JSON, keys in the order given.

    Raises:
        DataError: A number is NaN or infinite.

    """
    write_json(path, rounded(figures))


def rounded(value: Any) -> Any:
    """Numbers in mappings and lists as they are written."""
    if isinstance(value, float):
        return float(format(value, _DIGITS))
    if isinstance(value, Mapping):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    return value
