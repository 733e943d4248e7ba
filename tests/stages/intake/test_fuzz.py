"""Damaged picture files of every format: pixels or a finding about the file, and nothing else.

The same examples in each run; FUZZ_EXAMPLES=10000 takes so many new ones of each format.
"""

import os
from random import Random

import numpy as np
import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from stages.core.files import PICTURE_FORMATS
from stages.intake.decoding import decode
from stages.intake.form import ODDITIES, Form
from tests.stages.intake.picture_files import FILES

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
FORMS = [
    Form(
        height=9,
        width=7,
        channels=channels,
        fit=fit,
        ground=200,
        max_pixels=1_000_000,
        refused=frozenset(refused),
        kept=frozenset(kept),
    )
    for channels, fit, refused, kept in (
        (3, "stretch", ["damaged", "bomb"], []),
        (1, "pad", [], ["rotated", "damaged"]),
        (3, "crop", [], []),
    )
]
WORDS = [
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\x80\0",
    b"\1\0",
    b"\0",
    b"\xff",
]


def damaged(files: list[bytes], draw: Random) -> bytes:
    """One of the files with a few bytes changed, lost, doubled or cut away, often near its start."""
    content = draw.choice(files)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(max(1, min(len(content), draw.choice([30, 100, 10**9]))))
        before, part = content[:at], content[at : at + draw.choice([1, 2, 4, 16, 200])]
        after = content[at + len(part) :]
        match draw.choice(["word", "noise", "flip", "lose", "double", "cut"]):
            case "word":
                word = draw.choice(WORDS)
                content = before + word + content[at + len(word) :]
            case "noise":
                content = before + draw.randbytes(len(part)) + after
            case "flip":
                content = (
                    before + bytes(byte ^ 1 << draw.randrange(8) for byte in part[:1]) + content[at + 1 :]
                )
            case "lose":
                content = before + after
            case "double":
                content = before + part * 2 + after
            case _ if draw.random() < 0.3:  # little can go wrong after a cut
                content = before
    return content


def test_each_format_that_may_be_opened_has_a_file_here():
    assert set(FILES) == set(PICTURE_FORMATS)


@pytest.mark.parametrize(
    ("kind", "content"), [(kind, file) for kind, files in FILES.items() for file in files]
)
def test_whole_files_of_every_format_are_read(kind, content):
    decoded = decode(content, FORMS[2])
    assert decoded.pixels is not None, decoded.what
    assert decoded.what.upper().startswith(("MPO", kind))


@pytest.mark.parametrize("kind", PICTURE_FORMATS)
def test_a_damaged_file_gives_pixels_or_a_finding(kind):
    @settings(
        max_examples=EXAMPLES or 20,
        derandomize=not EXAMPLES,
        database=None,
        phases=[Phase.generate],
        deadline=None,
    )
    @given(seed=st.integers(0, 2**64 - 1))  # a draw for each change would take longer than the decoding
    def check(seed):
        draw = Random(seed)
        content, form = damaged(FILES[kind], draw), draw.choice(FORMS)
        crop = draw.choice([None, None, (-3, 2, 9, 30)])
        note(repr(content[:2000]))
        decoded = decode(content, form, crop)
        assert set(decoded.oddities) <= ODDITIES
        assert decoded.what.isprintable()
        if decoded.pixels is None:
            assert decoded.oddities
            assert decoded.what
        else:
            assert decoded.pixels.shape == (9, 7, form.channels)
            assert decoded.pixels.dtype == np.uint8
            assert decoded.width * decoded.height <= form.max_pixels

    check()
