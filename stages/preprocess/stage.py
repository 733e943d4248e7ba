"""Check, split and pack the pictures; compose detection scenes from them where no boxes are given.

in   the folder `raw`, read as section `preprocess` says: IDX, image folders, CSV, Parquet, COCO, VOC, YOLO
out  the folders `classification` and `detection`, as stages/core/packed.py describes them; counts; a sheet of
     samples; a report of the data that names what was mended and refused. The same bytes every time
run  python -m stages.preprocess --help

`cache` is a folder of pictures decoded before: with it only new ones are decoded. It decides no result.
"""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.core.errors import DataError
from stages.core.files import write_folder_atomically, write_json
from stages.core.libraries import check_libraries
from stages.core.packed import (
    SPLITS,
    ClassificationSplit,
    DetectionSplit,
    Split,
    load_classification,
    load_detection,
)
from stages.core.params import ComputeParams, load_params
from stages.core.seeds import pin_threads, seed_generators
from stages.drawing.sheets import CLASSES_MOST, Picture, draw_boxes, first_of, image_grid, save_png
from stages.intake.side_by_side import cores
from stages.preprocess.gathering import Gathered, Gathering, gather, sift
from stages.preprocess.packing import coco, pack_annotations, pack_images
from stages.preprocess.readers import Annotated, Classified, read
from stages.preprocess.report import TaskReport, write_report
from stages.preprocess.scenes import compose_scenes
from stages.preprocess.splitting import split_rows, strata_of_boxes
from stages.sources.composed import ComposedParams
from stages.sources.crops import CropsParams, crop_rows
from stages.sources.idx import IdxParams, picture_size
from stages.sources.policy import Findings, Policy, refuse_too_many
from stages.sources.preparation import PreprocessParams, form_of
from stages.sources.rows import Found

SHEET_COLUMNS = 16
SHEET_SCENES = 8
SHEET_PICTURE = 56  # pixels that a small picture is enlarged to, about
SHEET_SCENE = 288


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What every task of one run is told."""

    raw: Path
    seed: int
    policy: Policy
    scratch: Path
    """An empty folder on the disk that the outs go to."""
    cache: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sorted:
    """Pictures of one task, checked and split."""

    gathered: Gathered
    classes: list[str]
    numbers: dict[str, int]
    """Of the classes."""
    rows: dict[Split, npt.NDArray[np.int64]]
    """Into what was gathered."""

    def splits(self) -> dict[str, Split]:
        """The split of each picture, by where it is from."""
        return {self.gathered.where[row]: split for split, rows in self.rows.items() for row in rows}

    def labels(self, split: Split) -> Iterator[npt.NDArray[np.int64]]:
        """Labels of each of the split's pictures."""
        return (labels_of(self.gathered, row, self.numbers) for row in self.rows[split])

    def all_labels(self, split: Split) -> npt.NDArray[np.int64]:
        """Labels of all of the split's pictures one after the other."""
        names = chain.from_iterable(self.gathered.labels[row] for row in self.rows[split])
        return np.fromiter((self.numbers[name] for name in names), dtype=np.int64)


def main(
    *,
    raw: Path,
    params: Path,
    classification: Path,
    detection: Path,
    metrics: Path,
    sheet: Path,
    report: Path,
    cache: Path | None = None,
) -> None:
    """Read RAW; write the folders CLASSIFICATION, DETECTION and REPORT, the files METRICS and SHEET."""
    check_libraries(params)
    values = load_params(params, "preprocess", PreprocessParams)
    compute = load_params(params, "compute", ComputeParams)
    seed_generators(compute.seed)
    pin_threads(compute.threads)
    with (
        _scratch(classification.parent) as scratch,
        write_folder_atomically(classification) as classification_partial,
        write_folder_atomically(detection) as detection_partial,
    ):
        around = Surroundings(raw=raw, seed=compute.seed, policy=values.policy, scratch=scratch, cache=cache)
        reports = prepare(values, around, classification_partial, detection_partial)
        save_png(sheet, draw_sheet(classification_partial, detection_partial))
    write_report(report, reports, sheet)
    write_json(metrics, {told.task: told.figures() for told in reports})


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent`, which is gone afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".preprocess.", suffix=".partial", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare(
    values: PreprocessParams, around: Surroundings, classification: Path, detection: Path
) -> list[TaskReport]:
    """Fill both folders: scenes are composed of the classified pictures, crops cut from those with boxes.

    Raises:
        DataError: what the policy stops at, or a class without pictures or boxes.

    """
    if isinstance(values.detection, ComposedParams):
        assert not isinstance(values.classification, CropsParams)  # refused with the params
        found = rows_of(values.classification, around)
        pictures = prepare_classification(values, found, around, classification)
        return [pictures, compose(values.detection, around, classification, detection)]
    boxes, chosen = prepare_detection(values, values.detection, around, detection)
    if isinstance(values.classification, CropsParams):
        refused = around.policy.kinds("refuse", "stop")
        annotated = rows_of(values.detection, around)
        found = crop_rows(annotated, values.classification, refused, chosen.splits())
    else:
        found = rows_of(values.classification, around)
    del chosen  # what is kept of a million pictures takes memory
    return [prepare_classification(values, found, around, classification), boxes]


def rows_of(params: Classified | Annotated, around: Surroundings) -> Found:
    """What the source gives."""
    return read(around.raw, params, upright=around.policy.upright)


def prepare_classification(
    values: PreprocessParams, found: Found, around: Surroundings, folder: Path
) -> TaskReport:
    """Fill the folder that `datasets.load_classification` reads."""
    params, findings = values.classification, Findings(around.policy)
    chosen = sort_pictures(found, params, "classification", around, findings)
    pack(folder, chosen, values.shard_megabytes)
    for split in chosen.rows:
        labels = chosen.all_labels(split)
        if split != "val":
            refuse_empty_classes(labels, chosen.classes, f"preprocess.classification, {split}")
        np.save(folder / split / "labels.npy", labels)
        pack_descriptions(folder / split, chosen.gathered, chosen.rows[split])
    return tell("classification", params.format, chosen, findings)


def pack_descriptions(folder: Path, gathered: Gathered, rows: npt.NDArray[np.int64]) -> None:
    """Write captions and numbers of these rows, where the data has such columns."""
    if len(gathered.captions):
        write_json(folder / "captions.json", [gathered.captions[row] for row in rows])
    if gathered.attributes:
        columns = {name: [column[row] for row in rows] for name, column in gathered.attributes.items()}
        known = {name: [None if one != one else one for one in column] for name, column in columns.items()}
        write_json(folder / "attributes.json", known)


def prepare_detection(
    values: PreprocessParams, params: Annotated, around: Surroundings, folder: Path
) -> tuple[TaskReport, Sorted]:
    """Fill the folder that `datasets.load_detection` reads; what went into it."""
    findings = Findings(around.policy)
    chosen = sort_pictures(rows_of(params, around), params, "detection", around, findings)
    refuse_empty_classes(chosen.all_labels("train"), chosen.classes, "preprocess.detection, train")
    pack(folder, chosen, values.shard_megabytes)
    height, width = chosen.gathered.pixels.shape[:2]
    for split, rows in chosen.rows.items():
        boxes = [chosen.gathered.boxes[row] for row in rows]
        annotations = coco(boxes, list(chosen.labels(split)), chosen.classes, height=height, width=width)
        pack_annotations(folder / split / "annotations.json", annotations)
    return tell("detection", params.format, chosen, findings), chosen


def sort_pictures(
    found: Found,
    params: Classified | Annotated | CropsParams,
    task: str,
    around: Surroundings,
    findings: Findings,
) -> Sorted:
    """Decode, check, sift and split what a source gives.

    Raises:
        DataError: what the policy stops at, or pictures that cannot be split as asked.

    """
    idx = isinstance(params, IdxParams)
    rule = None if isinstance(params, CropsParams) else params.split  # crops stand where their pictures do
    how = Gathering(
        form=form_of(params, around.policy, (*picture_size(around.raw), 1) if idx else None),
        classes=params.classes,
        group_pattern=rule.group_pattern if rule else None,
        near_duplicates=rule.near_duplicates if rule else None,
        scratch=around.scratch / task,
        processes=1 if idx else cores(),  # nothing to decode there
        cache=None if idx else around.cache,
    )
    with ThreadPoolExecutor(1) as aside:  # it takes a second, for which this process has nothing else to do
        aside.submit(import_module, "sklearn.model_selection")
        gathered = gather(found, how, findings)
    rows, groups = sift(gathered, how, findings)
    refuse_too_many(gathered.seen - len(rows), gathered.seen, task, findings)
    if not len(rows):
        raise DataError(f"{around.raw}: no picture for {task} as preprocess.{task} describes it")
    classes = params.classes or sorted({label for row in rows for label in gathered.labels[row]})
    numbers = {name: label for label, name in enumerate(classes)}
    if task == "classification":
        strata = np.fromiter((numbers[gathered.labels[row][0]] for row in rows), dtype=np.int64)
    else:
        strata = strata_of_boxes([labels_of(gathered, row, numbers) for row in rows], len(classes))
    given = [gathered.splits[row] for row in rows]
    parts = split_rows(given, strata, groups, rule, around.seed, f"preprocess.{task}")
    return Sorted(
        gathered=gathered,
        classes=classes,
        numbers=numbers,
        rows={split: rows[part] for split, part in parts.items()},
    )


def labels_of(gathered: Gathered, row: int, numbers: dict[str, int]) -> npt.NDArray[np.int64]:
    """Labels of one picture as numbers."""
    return np.array([numbers[name] for name in gathered.labels[row]], dtype=np.int64)


def refuse_empty_classes(labels: npt.NDArray[np.int64], classes: list[str], where: str) -> None:
    """Raise DataError where a class has no picture: it could neither be learned nor measured."""
    empty = sorted(set(range(len(classes))) - set(labels.tolist()))
    if empty:
        names = ", ".join(classes[label] for label in empty)
        raise DataError(f"{where}: no picture of {names}; remove it from classes or add pictures")


def pack(folder: Path, chosen: Sorted, shard_megabytes: int) -> None:
    """Write the names of the classes and every split's pictures."""
    write_json(folder / "classes.json", chosen.classes)
    for split, rows in chosen.rows.items():
        (folder / split).mkdir()
        pack_images(folder / split, chosen.gathered.pixels, rows, shard_megabytes << 20)


def compose(params: ComposedParams, around: Surroundings, classification: Path, folder: Path) -> TaskReport:
    """Scenes for each split from its own pictures alone, each from a seed of its own."""
    seeds = dict(zip(SPLITS, np.random.SeedSequence(around.seed).generate_state(len(SPLITS)), strict=True))
    labels, images, shape = {}, {}, (0, 0, 0)
    for split in SPLITS:
        given = load_classification(classification, split)
        count = getattr(params.count, split)
        scenes = compose_scenes(
            given.images, given.labels, count=count, params=params, seed=int(seeds[split])
        )
        (folder / split).mkdir()
        np.save(folder / split / "images.npy", scenes.images)
        shape = scenes.images.shape[1:]
        annotations = coco(scenes.boxes, scenes.labels, given.classes, height=shape[0], width=shape[1])
        pack_annotations(folder / split / "annotations.json", annotations)
        labels[split], images[split] = np.concatenate(scenes.labels), count
    write_json(folder / "classes.json", given.classes)
    return TaskReport(
        task="detection",
        source="scenes composed of the classified pictures",
        classes=given.classes,
        labels=labels,
        images=images,
        packed_as=shape,
        sizes=np.empty((0, 2), dtype=np.uint32),
        seen=sum(images.values()),
        findings=Findings(around.policy),
    )


def tell(task: str, source: str, chosen: Sorted, findings: Findings) -> TaskReport:
    """What there is to tell of a task whose pictures came from files."""
    return TaskReport(
        task=task,
        source=source,
        classes=chosen.classes,
        labels={split: chosen.all_labels(split) for split in chosen.rows},
        images={split: len(rows) for split, rows in chosen.rows.items()},
        packed_as=chosen.gathered.pixels.shape,
        sizes=np.frombuffer(chosen.gathered.sizes, np.uint32).reshape(-1, 2),
        seen=chosen.gathered.seen,
        findings=findings,
    )


def draw_sheet(classification: Path, detection: Path) -> Image.Image:
    """The first training pictures of each class, a row each; under them the first ones with their boxes."""
    upper = _draw_classes(load_classification(classification, "train"))
    lower = _draw_scenes(load_detection(detection, "train"))
    sheet = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), "white")
    sheet.paste(upper, (0, 0))
    sheet.paste(lower, (0, upper.height))
    return sheet


def _draw_classes(split: ClassificationSplit) -> Image.Image:
    classes = split.classes[:CLASSES_MOST]
    rows = [np.flatnonzero(split.labels == label)[:SHEET_COLUMNS] for label in range(len(classes))]
    columns = max(len(row) for row in rows)
    blank = np.full(split.images.shape[1:], 255, dtype=np.uint8)
    shown: list[Picture] = []
    for row in rows:
        shown += [*split.images[row], *[blank] * (columns - len(row))]
    scale = max(1, SHEET_PICTURE // max(blank.shape[:2]))
    return image_grid(shown, columns, scale=scale, rows=classes, note=first_of(split.classes))


def _draw_scenes(split: DetectionSplit) -> Image.Image:
    scale = max(1, SHEET_SCENE // max(split.images.shape[1:3]))
    first = zip(split.images[:SHEET_SCENES], split.boxes, split.labels, strict=False)
    drawn = [
        np.asarray(draw_boxes(image, boxes, [split.classes[label] for label in labels], labels, scale))
        for image, boxes, labels in first
    ]
    return image_grid(drawn, columns=SHEET_SCENES // 2)
