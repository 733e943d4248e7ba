"""IDX, the format of the MNIST family: a header of big-endian words, then the bytes of the array.

Header: two zero bytes, one byte for the type, one for the number of dimensions, and a 32-bit length for
each dimension (Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist/).
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.intake.folders import open_file
from stages.sources.params import IdxParams
from stages.sources.rows import Finding, Found, Row

UNSIGNED_BYTE = 0x08
CHUNK = 256  # pictures read at once
MEND = "`darkroom fetch` checks it against its pinned hash"
FILES: dict[str, Split | None] = {"train": None, "t10k": "test"}
"""What the family names its files, and which split they are: val is taken from the training pictures."""


def read_idx_files(raw: Path, params: IdxParams) -> Found:
    """A row for each picture: the training pictures, then those of the test.

    Raises:
        DataError: A broken file, or files that differ in number.

    """
    for name, split in FILES.items():
        labels_path, images_path = raw / f"{name}-labels-idx1-ubyte", raw / f"{name}-images-idx3-ubyte"
        count = idx_shape(images_path, dimensions=3)[0]
        labels = read_idx(labels_path, dimensions=1)
        if len(labels) != count:
            raise DataError(f"{labels_path}: {len(labels)} labels for {count} images; fetch both anew")
        named = [(name,) for name in params.classes]
        for row, (image, label) in enumerate(zip(_images(images_path), labels.tolist(), strict=True)):
            if label < len(named):
                yield Row(where=f"{images_path}: row {row}", picture=image, labels=named[label], split=split)
            else:
                what = f"label {label}, but preprocess.classification.classes names {len(named)}"
                yield Finding(kind="unknown_class", where=f"{labels_path}: row {row}", what=what)


def picture_size(raw: Path) -> tuple[int, int]:
    """Height and width of all pictures.

    Raises:
        DataError: A broken file, or training and test pictures of different sizes.

    """
    sizes = [idx_shape(raw / f"{name}-images-idx3-ubyte", dimensions=3)[1:] for name in FILES]
    if sizes[0] != sizes[1]:
        raise DataError(f"{raw}: training pictures are {sizes[0]}, test pictures {sizes[1]}; fetch both anew")
    height, width = sizes[0]
    return height, width


def read_idx(path: Path, *, dimensions: int) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes in the IDX file `path`, with this many dimensions.

    Raises:
        DataError: No such file, or a header or a length that is not what IDX prescribes.

    """
    shape = idx_shape(path, dimensions=dimensions)
    return np.frombuffer(path.read_bytes(), dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def idx_shape(path: Path, *, dimensions: int) -> tuple[int, ...]:
    """The lengths that the header gives, each at least 1.

    Raises:
        DataError: No such file, or a header or a length that is not what IDX prescribes.

    """
    try:
        with open_file(path) as file:
            start = file.read(4 + 4 * dimensions)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `darkroom fetch` obtains it") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {MEND}") from None
    magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if start[:4] != magic:
        raise DataError(
            f"{path}: starts with {start[:4].hex(' ')}, an IDX file of unsigned bytes with {dimensions} "
            f"dimension(s) with {magic.hex(' ')}; {MEND}"
        )
    if len(start) < 4 + 4 * dimensions:
        raise DataError(f"{path}: ends within its header, at byte {len(start)}; {MEND}")
    shape = struct.unpack_from(f">{dimensions}I", start, offset=4)
    if 0 in shape:
        raise DataError(f"{path}: its header {shape} says that it is empty; {MEND}")
    expected, size = len(start) + math.prod(shape), path.stat().st_size
    if size != expected:
        raise DataError(f"{path}: {size} bytes, but its header {shape} asks for {expected}; {MEND}")
    return shape


def _images(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures [H, W, 1], read some at a time: mapped ones would fill the memory."""
    count, height, width = idx_shape(path, dimensions=3)
    with path.open("rb") as file:
        file.seek(16)
        for start in range(0, count, CHUNK):
            rows = min(CHUNK, count - start)
            pixels = np.frombuffer(file.read(rows * height * width), dtype=np.uint8)
            yield from pixels.reshape(rows, height, width, 1)
