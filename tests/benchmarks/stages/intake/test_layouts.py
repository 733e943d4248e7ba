"""Every layout that other tools are compared on is read here, or refused in one line."""

from pathlib import Path

import pytest

from benchmarks.stages.intake.layouts import LAYOUTS, Layout, our_cell

REFUSED = ("names: [cat, cat]", "two columns called label")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.kind}: {layout.words}")
def test_what_other_tools_write_is_read(layout: Layout, tmp_path: Path) -> None:
    expected = "refuses with a fix" if layout.words in REFUSED else "reads"
    assert our_cell(layout, tmp_path / "set").startswith(expected)
