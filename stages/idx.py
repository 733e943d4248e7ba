"""IDX, the format of the MNIST family: a header of big-endian words, then the bytes of the array.

Header: two zero bytes, one byte for the type, one for the number of dimensions, and a 32-bit length for
each dimension (Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist/).
"""

import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.errors import DataError

UNSIGNED_BYTE = 0x08
MEND = "`darkroom fetch` checks it against its pinned hash"


def read_idx(path: Path, *, dimensions: int) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes in the IDX file `path`, with this many dimensions.

    Raises:
        DataError: no such file, or a header or a length that is not what IDX prescribes.

    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `darkroom fetch` obtains it") from None
    shape = _shape(path, content, dimensions)
    expected = 4 + 4 * dimensions + math.prod(shape)
    if len(content) != expected:
        raise DataError(f"{path}: {len(content)} bytes, but its header {shape} asks for {expected}; {MEND}")
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _shape(path: Path, content: bytes, dimensions: int) -> tuple[int, ...]:
    """The lengths that the header gives, each at least 1."""
    magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if content[:4] != magic:
        raise DataError(
            f"{path}: starts with {content[:4].hex(' ')}, an IDX file of unsigned bytes with {dimensions} "
            f"dimension(s) with {magic.hex(' ')}; {MEND}"
        )
    if len(content) < 4 + 4 * dimensions:
        raise DataError(f"{path}: ends within its header, at byte {len(content)}; {MEND}")
    shape = struct.unpack_from(f">{dimensions}I", content, offset=4)
    if 0 in shape:
        raise DataError(f"{path}: its header {shape} says that it is empty; {MEND}")
    return shape
