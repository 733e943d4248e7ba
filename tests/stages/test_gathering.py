import tracemalloc

import numpy as np

from stages.decoding import Form
from stages.gathering import Gathering, Names, gather
from stages.policy import Findings, Policy
from stages.sources.rows import Row
from tests.stages.param_files import POLICY

SIDE = 64


def made(count):
    """Pictures of a generator: never more than one of them at hand."""
    rng = np.random.default_rng(0)
    for number in range(count):
        picture = rng.integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8)
        yield Row(where=f"picture {number}", picture=picture, labels=("one",))


def peak(folder, count):
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
        classes=None,
        group_pattern=None,
        near_duplicates=None,
        file=folder / str(count),
        processes=1,
        cache=None,
    )
    tracemalloc.start()
    gathered = gather(made(count), how, Findings(Policy(**POLICY)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(gathered) == count
    assert how.file.stat().st_size == count * SIDE * SIDE
    return most


def test_memory_grows_by_a_small_part_of_each_picture(tmp_path):
    peak(tmp_path, 100)  # whatever is loaded once
    few, many = peak(tmp_path, 500), peak(tmp_path, 4500)
    assert (many - few) / 4000 < SIDE * SIDE / 16  # 256 bytes, so that a million take a quarter of a gigabyte


def test_names_come_back():
    names = Names()
    for name in ("a", "", "größer", "z" * 300):
        names.append(name)
    assert [names[row] for row in range(len(names))] == ["a", "", "größer", "z" * 300]
