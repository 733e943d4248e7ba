import json
import math
from pathlib import Path

import pytest

from stages.core.errors import DataError
from stages.core.tables import write_metrics, write_table

FIGURES = {"map": 0.7345678912, "few": 1e-12, "many": 123456789.25, "whole": 3, "interval": [0.1 + 0.2, 1.5]}


def moved(value: object) -> object:
    """The same with every float one last bit further."""
    if isinstance(value, float):
        return math.nextafter(value, math.inf)
    if isinstance(value, list):
        return [moved(entry) for entry in value]
    return value


def test_numbers_have_six_significant_digits(tmp_path: Path) -> None:
    write_metrics(tmp_path / "m.json", {"val": FIGURES, "seen": True, "by": "aa", "none": None})
    assert json.loads((tmp_path / "m.json").read_text()) == {
        "val": {"map": 0.734568, "few": 1e-12, "many": 123457000.0, "whole": 3, "interval": [0.3, 1.5]},
        "seen": True,
        "by": "aa",
        "none": None,
    }
    write_table(tmp_path / "t.csv", [{"map": 0.7345678912, "n": 1234567}])
    assert (tmp_path / "t.csv").read_text() == "map,n\n0.734568,1234567\n"


def test_the_last_bit_of_another_processor_changes_no_file(tmp_path: Path) -> None:
    others = {name: moved(value) for name, value in FIGURES.items()}
    assert others != FIGURES
    for name, figures in (("here", FIGURES), ("there", others)):
        write_metrics(tmp_path / f"{name}.json", figures)
        write_table(tmp_path / f"{name}.csv", [{**figures, "interval": 0}])
    for suffix in ("json", "csv"):
        here, there = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("here", "there"))
        assert here == there


def test_what_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"val\.loss is NaN"):
        write_metrics(tmp_path / "m.json", {"val": {"loss": math.nan}})
    assert not (tmp_path / "m.json").exists()
