"""Check, split and pack the pictures; compose detection scenes from them.

In: the four IDX files of an MNIST-like data set. Out: the folders `classification` and `detection`, as
stages/datasets.py describes them; counts, and what was refused and why; a sheet to look at. The same bytes
every time.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field, field_validator
from sklearn.model_selection import train_test_split

from stages.checkpoints import write_atomically, write_folder_atomically, write_json
from stages.command import run_stage
from stages.compute import prepare
from stages.datasets import SPLITS, Split
from stages.errors import DataError
from stages.idx import read_idx
from stages.libraries import check_libraries
from stages.params import ComputeParams, StageParams, load_params
from stages.scenes import SceneParams, Scenes, compose_scenes
from stages.sheets import draw_boxes, image_grid, save_png

SHEET_COLUMNS = 16
SHEET_SCENES = 8


class PreprocessParams(StageParams):
    """Section `preprocess`."""

    val_fraction: float = Field(gt=0, lt=1)
    """Of the training pictures, kept back to choose by."""

    classes: list[str] = Field(min_length=2)
    """Names by label: a label is an index into it."""

    scenes: SceneParams
    """What the detector learns from and is tested on."""

    @field_validator("classes")
    @classmethod
    def _names_differ(cls, classes: list[str]) -> list[str]:
        if len(set(classes)) < len(classes):
            raise ValueError("two classes have the same name")
        return classes


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Pictures and what they show."""

    images: npt.NDArray[np.uint8]
    """[N, H, W, C]."""
    labels: npt.NDArray[np.int64]
    """[N]."""

    def rows(self, rows: npt.NDArray[np.int64]) -> "Labelled":
        """The pictures in these rows, in this order."""
        return Labelled(images=self.images[rows], labels=self.labels[rows])


def main(
    *, raw: Path, params: Path, classification: Path, detection: Path, metrics: Path, sheet: Path
) -> None:
    """Read `raw`; write the folders `classification` and `detection`, the files `metrics` and `sheet`."""
    check_libraries(params)
    values = load_params(params, "preprocess", PreprocessParams)
    compute_params = load_params(params, "compute", ComputeParams)
    prepare(compute_params)
    seed = compute_params.seed
    given, test = (read_labelled(raw, name, values.classes) for name in ("train", "t10k"))
    kept, refused = sift(given, test)
    sifted = given.rows(kept)
    for name, pictures in (("train", sifted), ("t10k", test)):
        refuse_empty_classes(raw / name, pictures, values.classes)
    train, val = split(sifted, values.val_fraction, seed)
    splits: dict[Split, Labelled] = {"train": train, "val": val, "test": test}
    scenes = compose(splits, values.scenes, seed)
    write_classification(classification, splits, values.classes)
    write_detection(detection, scenes, values.classes)
    save_png(sheet, draw_sheet(train, scenes["train"], values.classes))
    write_json(metrics, describe(splits, scenes, values.classes) | {"refused": refused})


def read_labelled(raw: Path, name: str, classes: list[str]) -> Labelled:
    """The pictures of `<name>-images-idx3-ubyte` with the labels of `<name>-labels-idx1-ubyte`.

    Raises:
        DataError: a broken file, files that differ in number, or a label without a class.

    """
    labels_path = raw / f"{name}-labels-idx1-ubyte"
    images = read_idx(raw / f"{name}-images-idx3-ubyte", dimensions=3)
    labels = read_idx(labels_path, dimensions=1)
    if len(images) != len(labels):
        raise DataError(f"{labels_path}: {len(labels)} labels for {len(images)} images; fetch both anew")
    nameless = np.flatnonzero(labels >= len(classes))
    if len(nameless):
        row = nameless[0]
        raise DataError(
            f"{labels_path}: row {row}: label {labels[row]}, but preprocess.classes names {len(classes)}: "
            "name the missing classes, or fetch the file anew"
        )
    return Labelled(
        images=images[..., np.newaxis], labels=labels.astype(np.int64)
    )  # [N, H, W] to [N, H, W, 1]


def sift(given: Labelled, test: Labelled) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
    """Rows of `given` that may be learned from, and how many were refused for which reason.

    Only pictures that are equal to the last pixel are found. The test pictures stay as they are: others'
    figures are measured on all of them.
    """
    tested = {image.tobytes() for image in test.images}
    labels_of: dict[bytes, set[int]] = {}
    for image, label in zip(given.images, given.labels, strict=True):
        labels_of.setdefault(image.tobytes(), set()).add(int(label))
    seen: set[bytes] = set()
    refused = {"in_test_too": 0, "under_several_labels": 0, "repeated": 0}
    kept = []
    for row, image in enumerate(given.images):
        key = image.tobytes()
        if key in tested:
            refused["in_test_too"] += 1
        elif len(labels_of[key]) > 1:
            refused["under_several_labels"] += 1
        elif key in seen:
            refused["repeated"] += 1
        else:
            seen.add(key)
            kept.append(row)
    return np.array(kept, dtype=np.int64), refused


def refuse_empty_classes(source: Path, pictures: Labelled, classes: list[str]) -> None:
    """Raise DataError where a class has no picture: it could neither be learned nor measured."""
    empty = sorted(set(range(len(classes))) - set(pictures.labels.tolist()))
    if empty:
        names = ", ".join(classes[label] for label in empty)
        raise DataError(
            f"{source}-*: no picture of {names}; remove it from preprocess.classes or add pictures"
        )


def split(given: Labelled, val_fraction: float, seed: int) -> tuple[Labelled, Labelled]:
    """`given` as train and val, each class in the same proportion in both, rows in their order.

    Raises:
        DataError: a class has too few pictures to stand in both.

    """
    try:
        train, val = train_test_split(
            np.arange(len(given.labels)), test_size=val_fraction, stratify=given.labels, random_state=seed
        )
    except ValueError as error:
        raise DataError(
            f"preprocess.val_fraction: {val_fraction} cannot split these pictures: {error}"
        ) from None
    return given.rows(np.sort(train)), given.rows(np.sort(val))


def write_classification(folder: Path, splits: dict[Split, Labelled], classes: list[str]) -> None:
    """The folder that `datasets.load_classification` reads; all of it or nothing."""
    with write_folder_atomically(folder) as partial:
        write_json(partial / "classes.json", classes)
        for name, pictures in splits.items():
            (partial / name).mkdir()
            np.save(partial / name / "images.npy", pictures.images)
            np.save(partial / name / "labels.npy", pictures.labels)


def compose(splits: dict[Split, Labelled], params: SceneParams, seed: int) -> dict[Split, Scenes]:
    """Scenes for each split from its own pictures alone, each from a seed of its own."""
    seeds = dict(zip(SPLITS, np.random.SeedSequence(seed).generate_state(len(SPLITS)), strict=True))
    return {
        name: compose_scenes(
            pictures.images,
            pictures.labels,
            count=getattr(params.count, name),
            params=params,
            seed=int(seeds[name]),
        )
        for name, pictures in splits.items()
    }


def write_detection(folder: Path, splits: dict[Split, Scenes], classes: list[str]) -> None:
    """The folder that `datasets.load_detection` reads; all of it or nothing."""
    with write_folder_atomically(folder) as partial:
        write_json(partial / "classes.json", classes)
        for name, scenes in splits.items():
            (partial / name).mkdir()
            np.save(partial / name / "images.npy", scenes.images)
            write_atomically(
                partial / name / "annotations.json", json.dumps(coco(scenes, classes)).encode() + b"\n"
            )


def coco(scenes: Scenes, classes: list[str]) -> dict[str, Any]:
    """The scenes' boxes as COCO has them; `images` has the row in images.npy as its id."""
    height, width = scenes.images.shape[1:3]
    annotations: list[dict[str, Any]] = []
    for row, (boxes, labels) in enumerate(zip(scenes.boxes, scenes.labels, strict=True)):
        for (x1, y1, x2, y2), label in zip(boxes.tolist(), labels.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # from 1: pycocotools takes a match with 0 for none
                    "image_id": row,
                    "category_id": label + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    return {
        "images": [{"id": row, "width": width, "height": height} for row in range(len(scenes.images))],
        "categories": [{"id": label + 1, "name": name} for label, name in enumerate(classes)],
        "annotations": annotations,
    }


def draw_sheet(pictures: Labelled, scenes: Scenes, classes: list[str]) -> Image.Image:
    """The first pictures of each class, a row each; under them the first scenes with their boxes."""
    rows = [np.flatnonzero(pictures.labels == label)[:SHEET_COLUMNS] for label in range(len(classes))]
    columns = min(len(row) for row in rows)
    shown = pictures.images[np.concatenate([row[:columns] for row in rows])]
    first = zip(scenes.images[:SHEET_SCENES], scenes.boxes, scenes.labels, strict=False)
    drawn = [
        np.asarray(draw_boxes(image, boxes, [classes[label] for label in labels], scale=3))
        for image, boxes, labels in first
    ]
    upper = image_grid(shown, columns, scale=2, rows=classes)
    lower = image_grid(drawn, columns=SHEET_SCENES // 2)
    sheet = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), "white")
    sheet.paste(upper, (0, 0))
    sheet.paste(lower, (0, upper.height))
    return sheet


def describe(
    splits: dict[Split, Labelled], scenes: dict[Split, Scenes], classes: list[str]
) -> dict[str, Any]:
    """Counts of pictures and of items in scenes, by split and class."""
    return {
        "classification": {
            name: {"images": len(pictures.images), "by_class": _by_class(pictures.labels, classes)}
            for name, pictures in splits.items()
        },
        "detection": {
            name: {
                "images": len(part.images),
                "boxes_by_class": _by_class(np.concatenate(part.labels), classes),
            }
            for name, part in scenes.items()
        },
    }


def _by_class(labels: npt.NDArray[np.int64], classes: list[str]) -> dict[str, int]:
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


if __name__ == "__main__":
    run_stage(main)
