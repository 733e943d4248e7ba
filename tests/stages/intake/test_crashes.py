"""A picture whose decoder crashes its process is one finding, and all others are read."""

import os
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.intake.form import Form
from stages.intake.intake import take_in

FORM = Form(
    height=8,
    width=8,
    channels=1,
    fit="stretch",
    ground=0,
    max_pixels=10_000,
    refused=frozenset({"unreadable"}),
    kept=frozenset(),
)


class Crashing(PosixPath):
    """A picture that ends the process in which it arrives, as a fault in a decoder's code does."""

    def __reduce__(self) -> Any:
        return os.abort, ()


@pytest.mark.slow
@pytest.mark.parametrize(("remember", "processes"), [(False, 1), (True, 2)])
def test_a_crash_is_a_finding_about_its_file(tmp_path: Path, *, remember: bool, processes: int) -> None:
    tasks: list[Any] = []
    for number in range(150):
        picture = tmp_path / f"{number}.png"
        Image.fromarray(np.full((9, 9), number, np.uint8)).save(picture)
        tasks.append((Crashing(picture) if number in (70, 71) else picture, None))
    found = list(take_in(tasks, FORM, tmp_path / "rows", processes=processes, remember=remember))
    assert len(found) == 150
    for number in (70, 71):
        assert found[number].oddities == ("unreadable",)
        assert found[number].what.startswith(f"{tmp_path}/{number}.png: the process that decodes it crashes")
        assert found[number].place is None
    read = [facts.digest for number, facts in enumerate(found) if number not in (70, 71)]
    assert len(set(read)) == 148
