"""Labels of train and val that the models contradict: a table of all, a sheet of those that are doubted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from stages.classifier.network import Classifier
from stages.core.packed import (
    DetectionSplit,
    PictureSource,
    Split,
    load_classification,
    load_detection,
    load_sources,
)
from stages.detector.network import Detection, Detector, detect, given_proposals
from stages.evaluate.of_labels.asked_boxes import class_probabilities
from stages.evaluate.of_labels.box_labels import BoxDoubt, doubted_boxes, found_scores
from stages.evaluate.of_labels.class_labels import doubted_classes
from stages.evaluate.of_labels.left_out import left_out_scores
from stages.evaluate.of_labels.ranking import ranked
from stages.evaluate.of_labels.sheets import doubted_boxes_sheet, doubted_classes_sheet
from stages.evaluate.params import EvaluateParams
from stages.evaluate.result import Evaluation, Sheet
from stages.evaluate.timing import timed
from stages.networks.compute import Compute

Floats = npt.NDArray[np.float64]

LEARNT: tuple[Split, ...] = ("train", "val")
"""Splits whose labels decide what the models are: errors in them are worth mending before all others."""

CLASS_COLUMNS = ("rank", "split", "picture", "source", "label", "suggested", "contradiction", "doubted")
BOX_COLUMNS = (
    *("rank", "split", "picture", "source", "place", "kind", "label", "suggested", "contradiction"),
    *("x1", "y1", "x2", "y2"),
)


def question_labels(
    classifier: Classifier | None,
    detector: "Detector | None",
    classification: Path,
    detection: Path,
    params: EvaluateParams,
    compute: Compute,
) -> Evaluation:
    """Rank the pictures of train and val by how strongly the models, where there are any, contradict them.

    Its tables are `label_errors`, a row for each classified picture, and `box_label_errors`, a row for each
    picture with boxes, with its most contradicted box. Scenes that preprocess composed have no labels of
    their own, and no rows.

    Raises:
        ModelError: The detector takes proposals from a file that is missing or another one.
        DataError: A packed file is missing or damaged.

    """
    tables: dict[str, pd.DataFrame] = {}
    sheets: dict[str, Sheet] = {}
    figures: dict[str, Any] = {}
    if classifier is not None and classifier.config["classes"]:
        table, image = _of_classes(classifier, classification, params, compute)
        tables["label_errors"] = table
        sheets["label-errors"] = Sheet(
            caption="Labels of train and val that the classifier doubts, and what it suggests",
            image=image,
        )
        figures["classes"] = {"pictures": len(table), "doubted": int(table["doubted"].sum())}
    if detector is not None and load_sources(detection, "train") is not None:
        table, image = _of_boxes(detector, detection, params, compute)
        tables["box_label_errors"] = table
        sheets["box-label-errors"] = Sheet(
            caption="Pictures of train and val with the most contradicted boxes: labelled, and found",
            image=image,
        )
        figures["boxes"] = {"pictures": len(table)}
    return Evaluation(figures=figures, resampled={}, shares={}, tables=tables, curves=[], sheets=sheets)


def _of_classes(
    network: Classifier, folder: Path, params: EvaluateParams, compute: Compute
) -> tuple[pd.DataFrame, Image.Image]:
    splits = {split: load_classification(folder, split) for split in LEARNT}
    parts = [(pictures.images, pictures.labels) for pictures in splits.values()]
    with timed("of train and val held against their labels", sum(len(labels) for _, labels in parts)):
        scores = left_out_scores(network, parts, compute, params.batch_size)
    found = doubted_classes(scores, np.concatenate([labels for _, labels in parts]))
    first = {"train": 0, "val": len(splits["train"].labels)}  # where each split begins among all
    contradictions = dict(zip(LEARNT, np.split(found.contradiction, [first["val"]]), strict=True))
    names, sources = splits["train"].classes, _sources(folder)
    order = ranked(contradictions)
    rows = [
        {
            "rank": rank,
            "split": split,
            "picture": row,
            "source": sources[split][row].picture,
            "label": names[splits[split].labels[row]],
            "suggested": names[found.suggested[first[split] + row]],
            "contradiction": contradictions[split][row],
            "doubted": bool(found.doubted[first[split] + row]),
        }
        for rank, (split, row) in enumerate(order, start=1)
    ]
    table = pd.DataFrame(rows)
    return table, doubted_classes_sheet(table, splits, params.sheet_columns)


def _of_boxes(
    network: Detector, folder: Path, params: EvaluateParams, compute: Compute
) -> tuple[pd.DataFrame, Image.Image]:
    splits: dict[Split, DetectionSplit] = {}
    detections: dict[Split, list[Detection]] = {}
    doubts: dict[Split, list[BoxDoubt]] = {}
    for split in LEARNT:
        pictures = splits[split] = load_detection(folder, split)
        proposals = given_proposals(network.config, split, len(pictures.images))
        with timed(f"of {split} searched for items", len(pictures.images)):
            detections[split] = detect(network, pictures.images, compute, params.batch_size, proposals)
            believed = _believed(network, pictures, detections[split], compute, params.batch_size)
        doubts[split] = doubted_boxes(detections[split], pictures.boxes, pictures.labels, believed)
    sources = _sources(folder)
    order = ranked({split: np.array([one.contradiction for one in found]) for split, found in doubts.items()})
    rows = [
        (
            rank,
            split,
            row,
            *_box_cells(splits[split], row, detections[split][row], doubt, sources[split][row]),
        )
        for rank, (split, row) in enumerate(order, start=1)
        for doubt in [doubts[split][row]]
    ]
    table = pd.DataFrame(rows, columns=list(BOX_COLUMNS))
    sheet = doubted_boxes_sheet(
        table, splits, detections, scenes=params.sheet_scenes, score_min=params.score_min
    )
    return table, sheet


def _believed(
    network: Detector,
    pictures: DetectionSplit,
    detections: Sequence[Detection],
    compute: Compute,
    batch_size: int,
) -> list[Floats]:
    """How probable the detector finds the class of each box [M] of each picture."""
    asked = class_probabilities(network, pictures.images, pictures.boxes, compute, batch_size)
    if asked is None:
        every = zip(detections, pictures.boxes, pictures.labels, strict=True)
        return [found_scores(*one) for one in every]
    pairs = zip(asked, pictures.labels, strict=True)
    return [of_boxes[np.arange(len(labels)), labels + 1] for of_boxes, labels in pairs]


def _sources(folder: Path) -> dict[Split, Sequence[PictureSource]]:
    return {split: load_sources(folder, split) or () for split in LEARNT}


def _box_cells(
    pictures: DetectionSplit, row: int, found: Detection, doubt: BoxDoubt, source: PictureSource
) -> tuple[Any, ...]:
    """The cells from `source` on; the box is the labelled one, or the one that is missing."""
    boxes, labels, _ = found
    place, label, suggested, edges = "", "", "", [float("nan")] * 4
    if doubt.detection is not None:
        suggested, edges = pictures.classes[labels[doubt.detection]], boxes[doubt.detection].tolist()
    if doubt.box is not None:
        place, label = source.places[doubt.box], pictures.classes[pictures.labels[row][doubt.box]]
        edges = pictures.boxes[row][doubt.box].tolist()
    return source.picture, place, doubt.kind or "", label, suggested, doubt.contradiction, *edges
