import tracemalloc

import numpy as np
import pytest

from stages.intake.columns import Texts
from stages.intake.form import Form
from stages.preprocess.gathering import Gathering, gather
from stages.sources.params import Policy
from stages.sources.policy import Findings
from stages.sources.rows import Row
from tests.stages.param_files import POLICY

SIDE = 64


def made(count, **told):
    """Pictures of a generator: never more than one of them at hand."""
    rng = np.random.default_rng(0)
    for number in range(count):
        picture = rng.integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8)
        own = {name: value(number) for name, value in told.items()}
        yield Row(where=f"picture {number}", picture=picture, labels=("one",), **own)


TOLD = {
    "split": lambda _: "train",
    "group": lambda number: f"patient {number // 10}",
    "caption": lambda number: f"picture {number} of all that there are",
    "attributes": lambda number: {"weight": number / 3},
}


def peak(folder, count, **told):
    form = Form(
        height=SIDE,
        width=SIDE,
        channels=1,
        fit="stretch",
        ground=0,
        max_pixels=10**6,
        refused=frozenset(),
        kept=frozenset(),
    )
    how = Gathering(
        form=form,
        raw=folder,
        classes=None,
        group_pattern=None,
        near_duplicates=None,
        scratch=folder / str(count),
        processes=0,
        cache=None,
    )
    tracemalloc.start()
    gathered = gather(made(count, **told), how, Findings(Policy(**POLICY)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(gathered) == count
    (rows,) = how.scratch.glob("*.rows")  # beside an index, where it took more than a second
    assert rows.stat().st_size == count * SIDE * SIDE
    return most


@pytest.mark.slow
@pytest.mark.parametrize(("told", "bytes_each"), [({}, 110), (TOLD, 180)])
def test_memory_grows_by_a_small_part_of_each_picture(tmp_path, told, bytes_each):
    """So little that a million pictures take less than a fifth of a gigabyte."""
    peak(tmp_path, 100, **told)  # whatever is loaded once
    few, many = peak(tmp_path, 500, **told), peak(tmp_path, 4500, **told)
    assert (many - few) / 4000 < bytes_each


def test_names_come_back():
    names = Texts()
    for name in ("a", "", "größer", "z" * 300):
        names.append(name)
    assert [names[row] for row in range(len(names))] == ["a", "", "größer", "z" * 300]
