"""The sheets of doubted labels show no picture without a doubt."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from stages.core.packed import ClassificationSplit, DetectionSplit, Split
from stages.detector.network import Detection
from stages.drawing.sheets import Picture, sentence_sheet
from stages.evaluate.of_labels.sheets import NO_BOX, NO_CLASS, doubted_boxes_sheet, doubted_classes_sheet

CLASSES = ["bag", "sandal"]
REDS: dict[Split, int] = {"train": 101, "val": 102}


def of_red(red: int) -> Picture:
    """A picture [1, H, W, C] of a colour that no anti-aliased letter has."""
    return np.broadcast_to(np.array([red, 0, 0], np.uint8), (1, 40, 40, 3))


def pixels_of(sheet: Image.Image, red: int) -> int:
    return int((np.asarray(sheet) == [red, 0, 0]).all(axis=2).sum())


def test_only_doubted_classes_are_shown() -> None:
    splits = {
        split: ClassificationSplit(images=of_red(red), labels=np.zeros(1, np.int64), classes=CLASSES)
        for split, red in REDS.items()
    }
    row = {"picture": 0, "label": "bag", "suggested": "sandal"}
    table = pd.DataFrame(
        [
            {"rank": 1, "split": "train", "doubted": False, **row},
            {"rank": 2, "split": "val", "doubted": True, **row},
        ]
    )
    shown = doubted_classes_sheet(table, splits, 4)
    assert pixels_of(shown, 102) >= 40 * 40
    assert not pixels_of(shown, 101)
    none = doubted_classes_sheet(table.assign(doubted=False), splits, 4)
    assert (np.asarray(none) == np.asarray(sentence_sheet(NO_CLASS))).all()


def test_only_pictures_with_a_contradiction_to_boxes_are_shown() -> None:
    box: npt.NDArray[np.float32] = np.array([[4, 4, 9, 9]], np.float32)
    label, score = np.zeros(1, np.int64), np.array([0.9], np.float32)
    splits = {
        split: DetectionSplit(images=of_red(red), boxes=[box], labels=[label], classes=CLASSES)
        for split, red in REDS.items()
    }
    found: dict[Split, list[Detection]] = {split: [(box, label, score)] for split in splits}
    table = pd.DataFrame(
        {"rank": [1, 2], "split": ["val", "train"], "picture": [0, 0], "kind": ["missing", ""]}
    )
    shown = doubted_boxes_sheet(table, splits, found, scenes=5, score_min=0.3)
    assert pixels_of(shown, 102) > 40 * 40
    assert not pixels_of(shown, 101)
    none = doubted_boxes_sheet(table.assign(kind=""), splits, found, scenes=5, score_min=0.3)
    assert (np.asarray(none) == np.asarray(sentence_sheet(NO_BOX))).all()
