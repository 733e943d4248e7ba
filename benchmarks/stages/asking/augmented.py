"""What `darkroom detect --augment` gains on BCCD, merged by weighted boxes fusion and by suppression.

`python -m benchmarks.stages.asking.augmented --bccd FOLDER` trains the Faster R-CNN of
benchmarks/stages/bccd.yaml and asks it about the pictures of val and of test (FOLDER holds Annotations,
JPEGImages, ImageSets). Val says which merging is better; test is what the better one reaches. `--epochs`
trains for less time. `--kept FOLDER` keeps the detector, `--out FILE` writes what is printed.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import batched_nms

from benchmarks.machine import describe
from benchmarks.stages.asking.trained import Trained, parser_of, trained_on
from stages.core.packed import Split
from stages.detector.average_precision import AveragePrecision, average_precision, precision
from stages.detector.network import Detection
from stages.intake.geometry import fit_boxes
from stages.prediction.merging import fuse_boxes
from stages.prediction.predictors import AugmentedDetectorPredictor, Ready, load_detector

BATCH = 8
SAME_ITEM = (0.45, 0.55, 0.65)
BINS = 10

Merge = Callable[[Sequence[Detection]], Detection]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One way of asking, on one split."""

    scores: AveragePrecision
    gap: float
    """Between scores and how often they are right: the mean over ten steps of the score."""


def main() -> None:
    arguments = parser_of(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        trained = trained_on(arguments.bccd, arguments.kept or Path(scratch), arguments.epochs)
        judged = {split: judge(trained, split) for split in ("val", "test")}
        plain, augmented = (milliseconds(trained, augment=augment) for augment in (False, True))
    best = max(merges(), key=lambda name: judged["val"][name].scores.map)
    report = "\n".join(
        [
            "# Test-time augmentation\n",
            f"`python -m benchmarks.stages.asking.augmented --bccd FOLDER --epochs {arguments.epochs}` on"
            f" {describe()}.\n",
            "One Faster R-CNN, 3 sizes and their mirror images, one thread.",
            f"A picture takes {plain:.0f} ms in one view and {augmented:.0f} ms in six.",
            f"Best on val: {best}.\n",
            *table(judged),
        ]
    )
    print(report)
    if arguments.out:
        arguments.out.write_text(report + "\n")


def merges() -> dict[str, Merge]:
    """Every way of merging six views, by its name."""
    fusions: dict[str, Merge] = {
        f"fusion at IoU {same}": lambda views, same=same: fuse_boxes(views, same)  # type: ignore[misc]
        for same in SAME_ITEM
    }
    suppressions: dict[str, Merge] = {
        f"suppression at IoU {same}": lambda views, same=same: suppressed(views, same)  # type: ignore[misc]
        for same in SAME_ITEM
    }
    return fusions | suppressions


def suppressed(views: Sequence[Detection], same_item: float) -> Detection:
    """Of boxes of one class that overlap the surest, as a detector does with those of one view."""
    boxes, labels, scores = (np.concatenate(part) for part in zip(*views, strict=True))
    kept = batched_nms(*(torch.from_numpy(part) for part in (boxes, scores, labels)), same_item).numpy()
    return boxes[kept], labels[kept], scores[kept]


def judge(trained: Trained, split: Split) -> dict[str, Judged]:
    """One view, and each way of merging six."""
    predictor = load_detector(trained.model, params=trained.params, augment=True)
    assert isinstance(predictor, AugmentedDetectorPredictor)
    files, truth = trained.pictures(split)
    ready = [predictor.in_form(number, file) for number, file in enumerate(files, start=1)]
    readable = [one for one in ready if isinstance(one, Ready)]
    assert len(readable) == len(truth.images)
    views: list[list[Detection]] = [[] for _ in readable]
    for start in range(0, len(readable), BATCH):
        for found in predictor.views_of(readable[start : start + BATCH]):
            for own, one in zip(views[start : start + BATCH], found, strict=True):
                own.append(one)
    asked: dict[str, Merge] = {"one view": lambda own: own[0], **merges()}
    form = predictor.form
    judged = {}
    for name, merge in asked.items():
        detections = []
        for one, own in zip(readable, views, strict=True):
            boxes, labels, scores = merge(own)
            framed = fit_boxes(boxes, (one.width, one.height), form.frame, form.fit)
            detections.append((framed, labels, scores))
        measured = precision(detections, truth.boxes, truth.labels, truth.classes)
        pairs = [(found.scores, found.right[0]) for found in measured.found]
        scores, right = (np.concatenate(part) for part in zip(*pairs, strict=True))
        judged[name] = Judged(scores=average_precision(measured), gap=calibration_gap(scores, right))
    return judged


def calibration_gap(scores: np.ndarray, right: np.ndarray) -> float:  # type: ignore[type-arg]
    """Between scores and how often they are right at IoU .50."""
    step = np.minimum((scores * BINS).astype(int), BINS - 1)
    gaps = [abs(scores[step == one].sum() - right[step == one].sum()) for one in range(BINS)]
    return float(sum(gaps) / max(1, len(scores)))


def milliseconds(trained: Trained, *, augment: bool, pictures: int = 20) -> float:
    """For one picture alone, file and all: the median."""
    predictor = load_detector(trained.model, params=trained.params, augment=augment)
    files, _ = trained.pictures("val")
    moments = []
    for file in files[: pictures + 1]:
        started = time.process_time()
        list(predictor.predict([file]))
        moments.append(time.process_time() - started)
    return 1000 * float(np.median(moments[1:]))


def table(judged: Mapping[str, Mapping[str, Judged]]) -> list[str]:
    """A row for each way of asking."""
    heads = [f"{figure}, {split}" for split in judged for figure in ("mAP", "mAP@50", "gap of scores")]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name in judged["val"]:
        cells = [
            f"{value:.3f}"
            for split in judged.values()
            for value in (split[name].scores.map, split[name].scores.map50, split[name].gap)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
