import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.errors import DataError
from stages.sources.idx import read_idx

# By hand: two pictures of 1 row and 3 columns.
GOOD = b"\0\0\x08\x03" + struct.pack(">3I", 2, 1, 3) + bytes([1, 2, 3, 250, 251, 252])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "some-images"


def test_reads_what_the_format_says(path):
    path.write_bytes(GOOD)
    images = read_idx(path, dimensions=3)
    assert images.dtype == np.uint8
    assert images.tolist() == [[[1, 2, 3]], [[250, 251, 252]]]


@given(bit=st.integers(0, 16 * 8 - 1))
@settings(max_examples=128)
def test_every_flipped_bit_of_the_header_is_refused_by_one_line(path, bit):
    spoiled = bytearray(GOOD)
    spoiled[bit // 8] ^= 1 << bit % 8
    path.write_bytes(spoiled)
    with pytest.raises(DataError) as raised:
        read_idx(path, dimensions=3)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("length", range(len(GOOD)))
def test_every_shortened_file_is_refused(path, length):
    path.write_bytes(GOOD[:length])
    with pytest.raises(DataError, match="some-images"):
        read_idx(path, dimensions=3)


def test_what_is_wrong_is_said(path):
    path.write_bytes(GOOD + b"!")
    with pytest.raises(DataError, match=r"23 bytes, but its header \(2, 1, 3\) asks for 22"):
        read_idx(path, dimensions=3)
    path.write_bytes(GOOD)
    with pytest.raises(DataError, match=r"starts with 00 00 08 03, .* 1 dimension.* with 00 00 08 01"):
        read_idx(path, dimensions=1)
    path.write_bytes(b"\0\0\x08\x01" + bytes(4))
    with pytest.raises(DataError, match="empty"):
        read_idx(path, dimensions=1)


def test_missing_file_is_named_with_the_mend(tmp_path):
    with pytest.raises(DataError, match="no such file; `darkroom fetch`"):
        read_idx(tmp_path / "absent", dimensions=1)
