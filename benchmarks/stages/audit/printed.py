"""Which figures the pipeline prints, and which of them the audit does not compute once more."""

import json
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks.stages.audit.table import Row

BY_ITSELF = ("evaluate", "fuse")
"""Metrics files whose figures have names that say what they are of; others have the file's name in front."""
EXCUSED = {
    "*.accuracy_trained_on_it": "a training, whose result nothing but the training tells",
    "train-gan.*": "of steps of the training, which leave nothing to be measured again",
    "train-classifier.val_loss": "of probabilities before they were calibrated, which are not kept",
    "train-*.epochs": "a count of the training",
    "preprocess.*.seen": "a count of files that need not be there any more",
    "preprocess.*.findings.*": "a count of files that need not be there any more",
    "labels.*": "no figure of a model: counts of the rows of label-errors.csv",
    "composites.*": "the labels of what was set into scenes are not kept",
    "own.*": "of the user's own pictures, which are kept by group and not as arrays: compared on photographs",
    "classifier.by_attribute.*.threshold": "chosen on val, and no figure of the test split",
    "*.size.megaflops": "of a detector it depends on what is proposed; torch counts it as it runs",
}
"""Patterns of figures that are not computed once more, each with the reason."""


def printed(metrics: Path) -> dict[str, float]:
    """Every number in the metrics files of the folder, by its name."""
    found: dict[str, float] = {}
    for path in sorted(metrics.glob("*.json")):
        prefix = "" if path.stem in BY_ITSELF else f"{path.stem}."
        found |= {prefix + name: value for name, value in numbers(json.loads(path.read_text()))}
    return found


def numbers(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Names and values of the numbers in nested figures: `classifier.by_class.cat.f1`."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + name, float(value)


def not_computed(names: Iterable[str], rows: Iterable[Row]) -> list[str]:
    """The figures that have neither a row nor an excuse."""
    known = {row.figure for row in rows}
    return [
        name
        for name in names
        if name not in known and not any(fnmatchcase(name, excused) for excused in EXCUSED)
    ]
