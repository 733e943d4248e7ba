"""Tables that `dvc plots` reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stages.core.files import write_atomically


def write_table(path: Path, rows: pd.DataFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """Write rows, or columns by name, as CSV; floats have six significant digits."""
    write_atomically(path, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g").encode())
