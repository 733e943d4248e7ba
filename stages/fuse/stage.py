"""Fuses pictures: real and generated ones, scenes, and a user's own.

In: the test splits that preprocess packed, the trained models, and the user's own pictures. Out: the fused
pictures (`KIND/METHOD.npy` beside `KIND/sources.npy`; the user's own as `own/GROUP/METHOD.png`); picture
sheets; and for each kind and method how much of the sources the fused pictures keep, and whether classifier
and detector still see what was in the sources, also as a table with a row for each picture.

Kinds: a picture with a sharp left half and one with a sharp right half (`focus`), one picture in several
lights (`exposure`), a real and a generated picture of one class (`generated`), detection scenes that are
sharp in one half (`scenes`), and the user's groups (`own`). For focus, exposure and scenes the true picture
is known. Also, generated items are set into scenes (`composites`), and test pictures into a mosaic. Kinds and
figures are left out if params.yaml leaves out the pictures or the model that they need.
"""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from stages.classifier.network import load_classifier
from stages.core.errors import DataError, ParamsError
from stages.core.files import write_folder_atomically
from stages.core.libraries import check_libraries
from stages.core.packed import DetectionSplit, has_classes, load_classification, load_detection, why_left_out
from stages.core.params import ComputeParams, load_params
from stages.core.tables import write_metrics, write_table
from stages.detector.network import detect, load_detector
from stages.drawing.sheets import save_png
from stages.fuse.composites import Composites, compose, draw_composites, mosaic_sheet
from stages.fuse.kinds import (
    ChosenPictures,
    FusionKind,
    choose_pictures,
    fuse_set,
    made_kinds,
    own_kind,
)
from stages.fuse.limits import check_fit
from stages.fuse.measuring import JudgingNetworks, Summary, means, measure, network_figures
from stages.fuse.networks import found_at
from stages.fuse.params import FuseParams
from stages.fuse.sheets import examples_sheet, extremes_sheet
from stages.fusion.activity import activity_of
from stages.fusion.files import write_picture
from stages.fusion.groups import file_name
from stages.fusion.methods import Settings
from stages.fusion.sets import FusedSet
from stages.generator.network import Generator, generate, load_generator
from stages.networks.compute import Compute, prepare
from stages.networks.model_files import is_model

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def main(
    *,
    data: Path,
    detection: Path,
    own: Path,
    params: Path,
    classifier: Path | None = None,
    detector: Path | None = None,
    generator: Path | None = None,
    fused: Path,
    metrics: Path,
    sheets: Path,
    table: Path,
) -> None:
    """Fuse groups made of both test splits and the user's own groups, and measure what every method made.

    Args:
        data: Folder of labelled pictures that preprocess packed.
        detection: Folder of pictures with boxes that preprocess packed.
        own: Folder of the user's own pictures.
        params: params.yaml.
        classifier: Model file of the classifier.
        detector: Model file of the detector.
        generator: Model file of the generator.
        fused: Folder for the fused pictures; what it held before is removed.
        metrics: JSON file for the figures by kind and method.
        sheets: Folder for the picture sheets; what it held before is removed.
        table: CSV file for the figures of every picture.

    """
    started = time.perf_counter()
    check_libraries(params)
    values = load_params(params, "fuse", FuseParams)
    compute_params = load_params(params, "compute", ComputeParams)
    compute, seed = prepare(compute_params), compute_params.seed
    test = None if why_left_out(data) or not has_classes(data) else load_classification(data, "test")
    scenes = None if why_left_out(detection) else load_detection(detection, "test")
    networks = JudgingNetworks(
        classifier=compute.network(load_classifier(classifier)) if is_model(classifier) else None,
        detector=compute.network(load_detector(detector)) if is_model(detector) else None,
        compute=compute,
        batch_size=values.batch_size,
    )
    values = possible(values, networks)
    check_fit(params, values, test, networks.classifier)
    chosen = None if test is None else choose_pictures(test, values.pictures, seed=seed)
    items = None
    if chosen is not None and is_model(generator):
        made = load_generator(generator)
        items = generate_like(chosen, made, compute, seed=seed, batch_size=values.batch_size)
    kinds = made_kinds(chosen, items, scenes, values) | own_kind(own, values.own) if values.methods else {}
    activity = networks.classifier and activity_of(networks.classifier, values.feature_stages, compute)
    settings = Settings(weights=values.weights, levels=values.levels, activity=activity)
    results = {name: fuse_kind(params, name, kind, values, settings) for name, kind in kinds.items()}
    composites = None
    if scenes is not None and items is not None and chosen is not None:
        composites = compose_into(scenes, items, chosen.labels, values, seed=seed)
    by_picture = measure(results)
    summary = summarise(by_picture, kinds, results, networks)
    found: dict[str, list[str]] = {}
    if composites is not None and scenes is not None and test is not None and networks.detector is not None:
        found = find_items(composites, networks.detector, scenes.classes, networks, values)
        summary |= found_share([test.classes[label] for label in composites.labels], found)
    write_fused(fused, results, composites)
    write_table(table, by_picture)
    write_metrics(metrics, summary)
    with write_folder_atomically(sheets) as folder:
        draw_kinds(folder, results, by_picture, values.sheet_rows)
        if test is not None and chosen is not None:
            if composites is not None:
                draw_composites(folder, composites, found, test.classes, values.sheet_rows)
            target = chosen.images[chosen.labels.argmax()]
            save_png(folder / "mosaic.png", mosaic_sheet(test.images, target, values.mosaic_columns))
    print(f"{len(by_picture)} pictures fused and measured in {time.perf_counter() - started:.1f} s")


def possible(params: FuseParams, networks: JudgingNetworks) -> FuseParams:
    """The params without the methods that need a network which was not wanted; say which."""
    methods = [name for name in params.methods if name != "features" or networks.classifier is not None]
    if len(methods) < len(params.methods):
        print("method features is left out: it looks through the classifier, and there is none")
    return params.model_copy(update={"methods": methods})


def generate_like(
    chosen: ChosenPictures, generator: Generator, compute: Compute, *, seed: int, batch_size: int
) -> Bytes:
    """Generate a picture of the class and the shape of each chosen one: [N, H, W, C].

    Raises:
        DataError: The generator makes pictures of another shape.

    """
    made = generate(generator, chosen.labels, seed=seed, compute=compute, batch_size=batch_size)
    if made.shape != chosen.images.shape:
        raise DataError(
            f"generated pictures are {list(made.shape[1:])}, "
            f"the test split's {list(chosen.images.shape[1:])}; rerun train-gan on this data"
        )
    return made


def fuse_kind(
    path: Path, name: str, kind: FusionKind, params: FuseParams, settings: Settings
) -> list[FusedSet]:
    """Fuse every group of a kind by every method.

    Raises:
        ParamsError: Weights or levels that the groups do not allow.

    """
    try:
        return [fuse_set(inputs, params.methods, settings) for inputs in kind.sets]
    except ValueError as error:
        raise ParamsError(f"{path}: fuse: of kind {name}: {error}") from None


def compose_into(
    scenes: DetectionSplit, items: Bytes, labels: Labels, params: FuseParams, *, seed: int
) -> Composites:
    """Set a generated item [N, h, w, C] of labels [N] into each of the first scenes."""
    number = min(params.scenes, len(scenes.images), len(items))
    made = compose(
        np.asarray(scenes.images[:number]),
        scenes.boxes[:number],
        items[:number],
        labels[:number],
        threshold=params.cut_out_threshold,
        seed=seed,
    )
    if left := number - len(made.labels):
        print(f"{left} of {number} generated items are too dark or too large to be set into a scene")
    return made


def find_items(
    composites: Composites,
    detector: nn.Module,
    classes: list[str],
    networks: JudgingNetworks,
    params: FuseParams,
) -> dict[str, list[str]]:
    """Name the class that the detector finds in each item's place, for each way of composing; "" is none."""
    found = {
        way: found_at(
            detect(detector, composed, networks.compute, networks.batch_size),
            composites.boxes,
            overlap_min=params.overlap_min,
            score_min=params.score_min,
        )
        for way, composed in composites.ways.items()
    }
    return {way: [classes[label] if label >= 0 else "" for label in labels] for way, labels in found.items()}


def found_share(item_names: list[str], found: dict[str, list[str]]) -> Summary:
    """The share of the items that the detector finds and names right, for each way of composing.

    Without items there is no such figure. Names are compared, since the detector's classes may be others than
    the classifier's.
    """
    if not item_names:
        return {}
    return {
        "composites": {
            way: {"found": float(np.mean([a == b for a, b in zip(names, item_names, strict=True)]))}
            for way, names in found.items()
        }
    }


def summarise(
    table: pd.DataFrame,
    kinds: dict[str, FusionKind],
    results: dict[str, list[FusedSet]],
    networks: JudgingNetworks,
) -> Summary:
    """Join, for each kind and method, what the networks see and the mean of every figure."""
    summary: Summary = {}
    for name, mean_figures in means(table).items():
        kind = kinds[name]
        seen = network_figures(kind, results[name][0], networks) if kind.is_known else {}
        summary[name] = {
            version: {**seen.get(version, {}), **mean_figures.get(version, {})}
            for version in [*seen, *mean_figures]
        }
    return summary


def write_fused(folder: Path, results: dict[str, list[FusedSet]], composites: Composites | None) -> None:
    """Write KIND/METHOD.npy and KIND/sources.npy below `folder`; of the user's own own/GROUP/METHOD.png."""
    with write_folder_atomically(folder) as partial:
        for kind, sets in results.items():
            if kind == "own":
                for group in (group for fused_set in sets for group in fused_set.groups()):
                    for method, picture in group.fused.items():
                        write_picture(partial / kind / file_name(group.name) / f"{method}.png", picture)
                continue
            (partial / kind).mkdir()
            (fused_set,) = sets
            np.save(partial / kind / "sources.npy", fused_set.inputs.sources)
            for method, pictures in fused_set.fused.items():
                np.save(partial / kind / f"{method}.npy", pictures)
        if composites is None:
            return
        (partial / "composites").mkdir()
        for way, composed in composites.ways.items():
            np.save(partial / "composites" / f"{way}.npy", composed)


def draw_kinds(folder: Path, results: dict[str, list[FusedSet]], table: pd.DataFrame, rows: int) -> None:
    """Draw KIND.png, the first groups, and KIND-extremes.png, what each method did best and worst.

    Best and worst are decided by likeness to the truth, or where it is not known by how much of the edges is
    kept.
    """
    for kind, sets in results.items():
        groups = [group for fused_set in sets for group in fused_set.groups()]
        save_png(folder / f"{kind}.png", examples_sheet(groups[:rows]))
        known = all(group.truth is not None for group in groups)
        of_kind = table[table["kind"] == kind].groupby("method", sort=False)
        by_method = of_kind["truth_ssim" if known else "edge_preservation"]
        scores = {method: by_method.get_group(method).tolist() for method in groups[0].fused}
        save_png(folder / f"{kind}-extremes.png", extremes_sheet(groups, scores))
