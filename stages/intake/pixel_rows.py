"""Pixels of pictures as rows of files without a header: where they stand between decoding and packing.

Who decodes appends to a file of its own, so that nobody waits for anybody. Imports little: worker processes
load it.
"""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from stages.intake.columns import Shared

Place = tuple[str, int]
"""Name of the file and row in it."""

ROWS = ".rows"
"""The suffix of the files."""

BLOCK = 4 << 20  # bytes read at once


class RowWriter:
    """Appends rows of `row_bytes` to the file `path`, which the first one creates; to be closed."""

    def __init__(self, path: Path, row_bytes: int) -> None:
        self._path, self._row_bytes = path, row_bytes
        self._file: BinaryIO | None = None

    def append(self, pixels: npt.NDArray[np.uint8]) -> Place:
        """Append the pixels of a picture and return their place."""
        if self._file is None:
            self._file = self._path.open("ab")
        row = self._file.tell() // self._row_bytes
        self._file.write(pixels.data)
        return self._path.name, row

    def close(self) -> None:
        """Flush and close the file."""
        if self._file is not None:
            self._file.close()


def read_row(folder: Path, place: Place, row_bytes: int) -> bytes:
    """Read the bytes of one row; there are fewer where the file ends before.

    Raises:
        OSError: There is no such file, or it cannot be read.

    """
    name, row = place
    with (folder / name).open("rb", buffering=0) as file:
        file.seek(row * row_bytes)
        return file.read(row_bytes)


@dataclass(kw_only=True, slots=True)
class PixelRows:
    """Rows in files of one folder, in the order in which they were added."""

    folder: Path
    shape: tuple[int, int, int]
    """H, W, C of each row."""
    _files: Shared[str] = field(default_factory=Shared)
    _rows: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def row_bytes(self) -> int:
        """Bytes of each row."""
        return math.prod(self.shape)

    def append(self, place: Place) -> None:
        """Add a row, by its place, at the end."""
        name, row = place
        self._files.append(name)
        self._rows.append(row)

    def blocks(self, wanted: npt.NDArray[np.int64]) -> Iterator[bytes]:
        """Read the bytes of the wanted rows [N] in blocks; rows that stand side by side are read together."""
        files, rows = self._files.numbers()[wanted], np.frombuffer(self._rows, np.int64)[wanted]
        breaks = np.flatnonzero((np.diff(files) != 0) | (np.diff(rows) != 1)) + 1
        longest = max(1, BLOCK // self.row_bytes)
        for run in np.split(np.arange(len(wanted)), breaks):
            name = self._files[wanted[run[0]]]
            with (self.folder / name).open("rb", buffering=0) as file:
                file.seek(int(rows[run[0]]) * self.row_bytes)
                for start in range(0, len(run), longest):
                    yield file.read(len(run[start : start + longest]) * self.row_bytes)
