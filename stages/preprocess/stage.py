"""Checks, splits and packs the pictures, and composes detection scenes from them if there are no boxes.

in   the folder `raw`, read as section `preprocess` says: IDX, image folders, CSV, Parquet, COCO, VOC, YOLO
     and more
out  the folders `classification` and `detection`, as stages/core/packed.py describes them; counts; a sheet of
     samples; a report of the data that names what was corrected and refused. The same bytes every time
run  python -m stages.preprocess --help

`cache` is a folder of pictures that were decoded before: with it only new ones are decoded. It affects no
result.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.errors import DataError, StageError
from stages.core.files import write_folder_atomically, write_json
from stages.core.libraries import check_libraries
from stages.core.packed import (
    SOURCES,
    SPLITS,
    UNCLASSED,
    Numbers,
    Split,
    binary_names,
    load_classification,
    pack_left_out,
)
from stages.core.params import AUTO, ComputeParams, load_params
from stages.core.seeds import pin_threads, seed_generators
from stages.core.tables import write_metrics
from stages.drawing.sheets import save_png
from stages.preprocess.fitting import with_fitted_shapes
from stages.preprocess.gathering import Gathered
from stages.preprocess.packing import coco, pack_annotations, pack_images, pack_sources
from stages.preprocess.readers import read_source
from stages.preprocess.report import TaskReport, write_findings, write_report
from stages.preprocess.scenes import compose_scenes
from stages.preprocess.sheet import draw_sheet
from stages.preprocess.sorting import RunSettings, SortedPictures, sort_pictures
from stages.sources.composed import ComposedParams
from stages.sources.crops import crop_rows
from stages.sources.params import CropsParams
from stages.sources.policy import Findings, commonest_reason
from stages.sources.preparation import BoxSource, PictureSource, PreprocessParams
from stages.sources.rows import Found


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
    """Check, split and pack the pictures of a folder, and compose scenes from them where it gives no boxes.

    Args:
        raw: Folder of the pictures, laid out as section `preprocess` says.
        params: params.yaml.
        classification: Folder to pack labelled pictures into; what it held before is removed.
        detection: Folder to pack pictures with boxes into; what it held before is removed.
        metrics: JSON file for counts by split and class, and of findings.
        sheet: PNG file for samples of each class and of pictures with boxes.
        report: Folder for report.md and findings.csv, which name what was mended and refused.
        cache: Folder of pictures decoded before: with it only new ones are decoded. It decides no result.

    """
    check_libraries(params, later=("scikit-learn", "scipy"))
    with _naming_the_command(raw):
        stated = load_params(params, "preprocess", PreprocessParams)
        values = with_fitted_shapes(stated, raw)
    compute = load_params(params, "compute", ComputeParams)
    seed_generators(compute.seed)
    pin_threads(compute.threads)
    with (
        _scratch(classification.parent) as scratch,
        write_folder_atomically(classification) as classification_partial,
        write_folder_atomically(detection) as detection_partial,
    ):
        settings = RunSettings(raw=raw, seed=compute.seed, policy=values.policy, scratch=scratch, cache=cache)
        try:
            with _naming_the_command(raw):
                reports = prepare(values, settings, classification_partial, detection_partial)
        except DataError:
            if any(findings.all for findings in settings.found.values()):
                write_findings(report, settings.found)
            raise
        save_png(sheet, draw_sheet(classification_partial, detection_partial))
    fitted = {task.task for task in reports if is_fitted(getattr(stated, task.task))}
    write_report(report, reports, sheet, fitted)
    write_metrics(metrics, {task.task: task.figures() for task in reports})


def is_fitted(params: PictureSource | CropsParams | BoxSource | ComposedParams) -> bool:
    """Whether the pictures' form is `auto`: derived from the pictures."""
    return AUTO in (getattr(params, "shape", None), getattr(params, "side", None))


@contextmanager
def _naming_the_command(raw: Path) -> Iterator[None]:
    """Add to what a section is refused for the command that writes one."""
    try:
        yield
    except StageError as error:
        raise type(error)(f"{error}; `darkroom data {raw}` tells what reads this folder") from error


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
    values: PreprocessParams, settings: RunSettings, classification: Path, detection: Path
) -> list[TaskReport]:
    """Fill both folders: scenes are composed of the classified pictures, crops cut from those with boxes.

    The folder of a task that the params leave out says so. There is a report for each of the others.

    Raises:
        DataError: What the policy stops at, or a class without pictures or boxes.

    """
    pictures, scenes = values.classification, values.detection
    if isinstance(scenes, ComposedParams):
        assert not isinstance(pictures, CropsParams | None)  # refused with the params
        of_pictures = prepare_classification(
            values, pictures, rows_of(pictures, settings), settings, classification
        )
        return [of_pictures, compose_detection(scenes, settings, classification, detection)]
    reports: list[TaskReport] = []
    splits: dict[str, Split] = {}
    if scenes is None:
        pack_left_out(detection, "preprocess.detection is null")
    else:
        of_scenes, splits = prepare_detection(values, scenes, settings, detection)
        reports.append(of_scenes)
    if pictures is None:
        pack_left_out(classification, "preprocess.classification is null")
        return reports
    if isinstance(pictures, CropsParams):
        assert scenes is not None  # refused with the params
        refused = settings.policy.kinds("refuse", "stop")
        found: Found = crop_rows(rows_of(scenes, settings), pictures, refused, splits)
    else:
        found = rows_of(pictures, settings)
    return [prepare_classification(values, pictures, found, settings, classification), *reports]


def rows_of(params: PictureSource | BoxSource, settings: RunSettings) -> Found:
    """Read what the source gives: a row for each picture, a finding for each line that is none.

    Raises:
        DataError: A file or folder of the source is missing or cannot be read as a whole.

    """
    return read_source(settings.raw, params, upright=settings.policy.upright)


def prepare_classification(
    values: PreprocessParams,
    params: PictureSource | CropsParams,
    found: Found,
    settings: RunSettings,
    folder: Path,
) -> TaskReport:
    """Fill the folder that `stages.core.packed.load_classification` reads; return what there is to report.

    Raises:
        DataError: The policy stops at a finding, or a class has no picture.

    """
    findings = settings.findings_of("classification")
    chosen = sort_pictures(found, params, "classification", settings, findings)
    chosen = chosen.with_unclassed_last()
    labels = {split: chosen.all_labels(split) for split in chosen.rows}
    for split in ("train", "test"):
        refuse_empty_classes(labels[split], chosen.classes, f"preprocess.classification, {split}", findings)
    pack(folder, chosen, values.shard_megabytes)
    for split in chosen.rows:
        without = np.full(len(chosen.rows[split]) - len(labels[split]), UNCLASSED)
        np.save(folder / split / "labels.npy", np.concatenate([labels[split], without]))
        pack_descriptions(folder / split, chosen.gathered, chosen.rows[split])
    return report_of("classification", params.format, chosen, findings)


def pack_descriptions(folder: Path, gathered: Gathered, rows: npt.NDArray[np.int64]) -> None:
    """Write captions and numbers of these rows [N], where the data has such columns."""
    if len(gathered.captions):
        write_json(folder / "captions.json", [gathered.captions[row] for row in rows])
    if gathered.attributes:
        columns = {name: [column[row] for row in rows] for name, column in gathered.attributes.items()}
        known = {name: [None if one != one else one for one in column] for name, column in columns.items()}
        write_json(folder / "attributes.json", known)


def prepare_detection(
    values: PreprocessParams, params: BoxSource, settings: RunSettings, folder: Path
) -> tuple[TaskReport, dict[str, Split]]:
    """Fill the folder that `stages.core.packed.load_detection` reads; return the report and the splits.

    These are the split of each picture, by the words that findings name the picture with, for crops alone:
    for a million pictures they take memory.

    Raises:
        DataError: The policy stops at a finding, or a class has no box in the training split.

    """
    findings = settings.findings_of("detection")
    chosen = sort_pictures(rows_of(params, settings), params, "detection", settings, findings)
    refuse_empty_classes(chosen.all_labels("train"), chosen.classes, "preprocess.detection, train", findings)
    pack(folder, chosen, values.shard_megabytes)
    height, width = chosen.gathered.pixels.shape[:2]
    for split, rows in chosen.rows.items():
        boxes = [chosen.gathered.boxes[row] for row in rows]
        drawn = chosen.gathered.polygons
        polygons = {place: drawn[row] for place, row in enumerate(rows.tolist()) if row in drawn}
        labels = list(chosen.labels(split))
        annotations = coco(boxes, labels, chosen.classes, height=height, width=width, polygons=polygons)
        pack_annotations(folder / split / "annotations.json", annotations)
    splits = chosen.splits() if isinstance(values.classification, CropsParams) else {}
    return report_of("detection", params.format, chosen, findings), splits


def refuse_empty_classes(
    labels: npt.NDArray[np.int64], classes: list[str], where: str, findings: Findings
) -> None:
    """Refuse classes without a picture, which could neither be learned nor measured.

    Raises:
        DataError: None of the `labels` [N] is that of one of the classes.

    """
    empty = sorted(set(range(len(classes))) - set(labels.tolist()))
    if empty:
        names = ", ".join(classes[label] for label in empty)
        raise DataError(
            f"{where}: no picture of {names}; add some, or let `classes` name the others alone"
            f"{commonest_reason(findings)}"
        )


def pack(folder: Path, chosen: SortedPictures, shard_megabytes: int) -> None:
    """Write the names of the classes, every split's pictures in files of limited size, and their sources."""
    write_json(folder / "classes.json", chosen.classes)
    for split, rows in chosen.rows.items():
        (folder / split).mkdir()
        pack_images(folder / split, chosen.gathered.pixels, rows, shard_megabytes << 20)
        pack_sources(folder / split / SOURCES, chosen.gathered.where, chosen.gathered.places, rows)


def compose_detection(
    params: ComposedParams, settings: RunSettings, classification: Path, folder: Path
) -> TaskReport:
    """Compose the scenes of each split from its own pictures alone, each split from a seed of its own.

    Raises:
        DataError: A packed file is missing or damaged.

    """
    seeds = dict(zip(SPLITS, np.random.SeedSequence(settings.seed).generate_state(len(SPLITS)), strict=True))
    labels, images, shape = {}, {}, (0, 0, 0)
    for split in SPLITS:
        pictures = load_classification(classification, split)
        count = params.scene_counts(split, len(pictures.labels))
        scenes = compose_scenes(
            pictures.images, pictures.labels, count=count, params=params, seed=int(seeds[split])
        )
        (folder / split).mkdir()
        np.save(folder / split / "images.npy", scenes.images)
        shape = scenes.images.shape[1:]
        annotations = coco(scenes.boxes, scenes.labels, pictures.classes, height=shape[0], width=shape[1])
        pack_annotations(folder / split / "annotations.json", annotations)
        labels[split], images[split] = np.concatenate(scenes.labels), count
    write_json(folder / "classes.json", pictures.classes)
    return TaskReport(
        task="detection",
        source="scenes composed of the classified pictures",
        classes=pictures.classes,
        labels=labels,
        images=images,
        packed_as=shape,
        sizes=np.empty((0, 2), dtype=np.uint32),
        seen=sum(images.values()),
        findings=settings.findings_of("detection"),
    )


def report_of(task: str, source: str, chosen: SortedPictures, findings: Findings) -> TaskReport:
    """What there is to report of a task whose pictures came from files."""
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
        attributes={split: attributes_in(chosen.gathered, rows) for split, rows in chosen.rows.items()},
    )


def attributes_in(gathered: Gathered, rows: npt.NDArray[np.int64]) -> dict[str, Numbers]:
    """The attributes, by name, that are 0 or 1 over all that was gathered: their values in these rows."""
    columns = {name: np.asarray(column) for name, column in gathered.attributes.items()}
    return {name: columns[name][rows] for name in binary_names(columns)}
