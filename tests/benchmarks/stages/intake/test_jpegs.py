import io
from itertools import islice

import numpy as np
from PIL import Image

from benchmarks.stages.intake.jpegs import Took, moved, ratios, rows


def test_real_photographs_go_round_without_an_equal_one(tmp_path):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    coarse.resize((640, 480), Image.Resampling.BICUBIC).save(tmp_path / "a.jpg", quality=80)
    pictures = list(islice(moved([tmp_path / "a.jpg"]), 3))
    pixels = [np.asarray(Image.open(io.BytesIO(picture))).astype(int) for picture in pictures]
    assert len({one.tobytes() for one in pixels}) == 3
    for number, one in enumerate(pixels):
        assert np.abs(np.roll(pixels[0], 16 * number, axis=1) - one).mean() < 1
    sizes = [len(picture) for picture in pictures]
    assert max(sizes) < 1.02 * min(sizes)


def test_ratios_are_of_the_same_round():
    bare = [Took(2.0, 4.0), Took(4.0, 4.0)]
    table = list(rows("| 8 | 1 ", 8, {"bare loop": bare, "intake": bare[::-1], "stage": bare}))
    assert table[0] == "| 8 | 1 | bare loop | 3 | | |"
    assert table[1] == "| | | intake | 3 | 1.25 (0.50 to 2.00) | 1.00 (1.00 to 1.00) |"
    assert ratios([0.5, 2.0, 3.0]) == "2.00 (0.50 to 3.00)"
