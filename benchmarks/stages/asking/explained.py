"""What the heat maps of `darkroom explain --detector` are worth on BCCD, and how long they take.

`python -m benchmarks.stages.asking.explained --bccd FOLDER` trains the Faster R-CNN of
benchmarks/stages/bccd.yaml and explains the three surest boxes of some test pictures, by several numbers of
masks and sizes of cells. It plays the pointing game (J. Zhang et al. 2016, https://arxiv.org/abs/1608.00507):
how often the hottest place lies in the box. `--pictures 10` says how many pictures, `--masks` and `--cells`
which settings, `--epochs` how long the detector is trained. `--kept FOLDER` keeps it, `--out FILE` writes
what is printed.
"""

import itertools
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.stages.asking.trained import Trained, parser_of, trained_on
from stages.prediction.answers import MASKS
from stages.prediction.predictors import load_detector
from stages.prediction.saliency import Explained, Masks, explain_boxes

COLUMNS = ("masks", "cells", "boxes", "hottest place in the box", "heat in the box", "by its area", "CPU s")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--masks", type=int, nargs="+", default=[MASKS // 4, MASKS, 2 * MASKS])
    parser.add_argument("--cells", type=int, nargs="+", default=[6, 8, 12])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        trained = trained_on(arguments.bccd, arguments.kept or Path(scratch), arguments.epochs)
        pairs = itertools.product(arguments.masks, arguments.cells)
        rows = [row(trained, arguments.pictures, Masks(count=count, cells=cells)) for count, cells in pairs]
    words = [f"--{name} {' '.join(map(str, getattr(arguments, name)))}" for name in ("masks", "cells")]
    report = "\n".join(
        [
            "# Heat maps of boxes\n",
            f"`python -m benchmarks.stages.asking.explained --bccd FOLDER --epochs {arguments.epochs}"
            f" --pictures {arguments.pictures} {' '.join(words)}` on {describe()}.\n",
            "One Faster R-CNN, 320 x 240 px, the three surest boxes of each picture, one thread."
            " `heat in the box` is the share of all heat, `by its area` the share that it would be if heat"
            " were everywhere the same. CPU seconds are of one picture.\n",
            f"| {' | '.join(COLUMNS)} |",
            "|---" * len(COLUMNS) + "|",
            *rows,
        ]
    )
    print(report)
    if arguments.out:
        arguments.out.write_text(report + "\n")


def row(trained: Trained, pictures: int, masks: Masks) -> str:
    """What maps by these masks are worth."""
    predictor = load_detector(trained.model, params=trained.params)
    files, _ = trained.pictures("test")
    started = time.process_time()
    explained = [
        one for one in explain_boxes(predictor, files[:pictures], masks=masks) if isinstance(one, Explained)
    ]
    seconds = (time.process_time() - started) / len(explained)
    if not any(len(one.heats) for one in explained):
        raise SystemExit("the detector finds no box that is sure enough; train it for more epochs")
    hits, shares, areas = [], [], []
    for one in explained:
        for (x1, y1, x2, y2), heat in zip(one.framed.round().astype(int).tolist(), one.heats, strict=True):
            y, x = np.unravel_index(heat.argmax(), heat.shape)
            hits.append(x1 <= x < x2 and y1 <= y < y2)
            shares.append(heat[y1:y2, x1:x2].sum() / max(heat.sum(), 1e-9))
            areas.append((x2 - x1) * (y2 - y1) / heat.size)
    figures = [f"{np.mean(values):.2f}" for values in (hits, shares, areas)]
    cells = [str(masks.count), str(masks.cells), str(len(hits)), *figures, f"{seconds:.1f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
