"""Fused pictures: real and generated ones, scenes, and a user's own.

In: both test splits that preprocess packed, the three models, a folder of the user's own pictures. Out: the
fused pictures (`KIND/METHOD.npy` beside `KIND/sources.npy`; the user's own as `own/GROUP/METHOD.png`); for
each kind and method how much of the sources they keep, and whether classifier and detector see in them what
was in the sources; the same figures by picture, as a table; sheets.

Kinds: one picture sharp on its left and on its right half (`focus`), one picture in several lights
(`exposure`), a real and a generated picture of one class (`generated`), detection scenes sharp in one half
(`scenes`), and what the user gives (`own`). Of focus, exposure and scenes the truth is known. Beside them
generated items are set into scenes (`composites`), and test pictures into a mosaic.
"""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.classifier.network import load_classifier
from stages.core.errors import DataError, ParamsError
from stages.core.files import write_folder_atomically, write_json
from stages.core.libraries import check_libraries
from stages.core.packed import DetectionSplit, load_classification, load_detection
from stages.core.params import ComputeParams, load_params
from stages.core.tables import write_table
from stages.detector.network import detect, load_detector
from stages.drawing.sheets import save_png
from stages.fuse.composites import Composites, compose, composites_sheet, mosaic_sheet
from stages.fuse.kinds import Kind, fuse_set, made_kinds, own_kind
from stages.fuse.measuring import Networks, Summary, means, measure, seen
from stages.fuse.networks import found_at
from stages.fuse.params import FuseParams, check_fit
from stages.fuse.sheets import examples_sheet, extremes_sheet
from stages.fusion.activity import activity_of
from stages.fusion.files import write_picture
from stages.fusion.groups import file_name
from stages.fusion.methods import Settings
from stages.fusion.sets import FusedSet
from stages.generator.network import generate, load_generator
from stages.networks.compute import Compute, prepare

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def main(
    *,
    data: Path,
    detection: Path,
    own: Path,
    params: Path,
    classifier: Path,
    detector: Path,
    generator: Path,
    fused: Path,
    metrics: Path,
    sheets: Path,
    table: Path,
) -> None:
    """Fuse from both test splits and from folder `own`; write `fused`, `metrics`, `sheets` and `table`."""
    started = time.perf_counter()
    check_libraries(params)
    values = load_params(params, "fuse", FuseParams)
    seed = (compute_params := load_params(params, "compute", ComputeParams)).seed
    compute = prepare(compute_params)
    test, scenes = load_classification(data, "test"), load_detection(detection, "test")
    network = compute.network(load_classifier(classifier))
    check_fit(params, values, test, network)
    number = min(values.pictures, len(test.images))
    chosen = np.sort(np.random.default_rng(seed).choice(len(test.images), number, replace=False))
    images, labels = np.asarray(test.images[chosen]), test.labels[chosen]
    names = [f"{test.classes[label]} {number}" for label, number in zip(labels, chosen, strict=True)]
    items = generate_like(images, labels, generator, seed=seed, compute=compute, batch_size=values.batch_size)
    kinds = made_kinds(images, labels, items, names, scenes, values) | own_kind(own, values.own)
    activity = activity_of(network, values.feature_stages, compute)
    settings = Settings(weights=values.weights, levels=values.levels, activity=activity)
    results = {name: fuse_kind(params, name, kind, values, settings) for name, kind in kinds.items()}
    composites = compose_into(scenes, items, labels, values, seed=seed)

    networks = Networks(
        classifier=network,
        detector=compute.network(load_detector(detector)),
        compute=compute,
        batch_size=values.batch_size,
    )
    by_picture = measure(results)
    found = find_items(composites, scenes.classes, networks, values)
    write_fused(fused, results, composites)
    write_table(table, by_picture)
    named = [test.classes[label] for label in composites.labels]
    write_json(metrics, summarise(by_picture, kinds, results, networks) | found_share(named, found))
    with write_folder_atomically(sheets) as folder:
        draw_kinds(folder, results, by_picture, values.sheet_rows)
        if named:
            sheet = composites_sheet(composites, found, test.classes, values.sheet_rows)
            save_png(folder / "composites.png", sheet)
        save_png(
            folder / "mosaic.png",
            mosaic_sheet(test.images, images[labels.argmax()], values.mosaic_columns),
        )
    print(f"{len(by_picture)} pictures fused and measured in {time.perf_counter() - started:.1f} s")


def generate_like(
    images: Bytes, labels: Labels, generator: Path, *, seed: int, compute: Compute, batch_size: int
) -> Bytes:
    """Generated pictures of the same labels [N] and of the same shape as `images` [N, H, W, C].

    Raises:
        DataError: the generator makes pictures of another shape.

    """
    made = generate(load_generator(generator), labels, seed=seed, compute=compute, batch_size=batch_size)
    if made.shape != images.shape:
        raise DataError(
            f"generated pictures are {list(made.shape[1:])}, the test split's {list(images.shape[1:])}; "
            "rerun train-gan on this data"
        )
    return made


def fuse_kind(path: Path, name: str, kind: Kind, params: FuseParams, settings: Settings) -> list[FusedSet]:
    """What every method makes of every group of a kind.

    Raises:
        ParamsError: weights or levels that the groups do not allow.

    """
    try:
        return [fuse_set(one, params.methods, settings) for one in kind.sets]
    except ValueError as error:
        raise ParamsError(f"{path}: fuse: of kind {name}: {error}") from None


def compose_into(
    scenes: DetectionSplit, items: Bytes, labels: Labels, params: FuseParams, *, seed: int
) -> Composites:
    """A generated item in each of the first scenes."""
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
    composites: Composites, classes: list[str], networks: Networks, params: FuseParams
) -> dict[str, list[str]]:
    """By way of composing, which of its `classes` the detector finds in each item's place; "": none."""
    found = {
        way: found_at(
            detect(networks.detector, composed, networks.compute, networks.batch_size),
            composites.boxes,
            overlap_min=params.overlap_min,
            score_min=params.score_min,
        )
        for way, composed in composites.ways.items()
    }
    return {way: [classes[label] if label >= 0 else "" for label in labels] for way, labels in found.items()}


def found_share(named: list[str], found: dict[str, list[str]]) -> Summary:
    """The share of the items that the detector finds and names right, by way of composing; where any are.

    By name: the detector's classes may be others than the classifier's.
    """
    if not named:
        return {}
    return {
        "composites": {
            way: {"found": float(np.mean([a == b for a, b in zip(names, named, strict=True)]))}
            for way, names in found.items()
        }
    }


def summarise(
    table: pd.DataFrame, kinds: dict[str, Kind], results: dict[str, list[FusedSet]], networks: Networks
) -> Summary:
    """By kind and method what the networks see, and the mean of every figure."""
    by_kind = means(table)
    known = {name: seen(kind, results[name][0], networks) for name, kind in kinds.items() if kind.is_known}
    return {
        name: {
            who: {**known.get(name, {}).get(who, {}), **by_method.get(who, {})}
            for who in [*known.get(name, {}), *by_method]
        }
        for name, by_method in by_kind.items()
    }


def write_fused(folder: Path, results: dict[str, list[FusedSet]], composites: Composites) -> None:
    """`folder`/KIND/METHOD.npy and sources.npy; of the user's own KIND/GROUP/METHOD.png."""
    with write_folder_atomically(folder) as partial:
        for kind, sets in results.items():
            if kind == "own":
                for group in (group for one in sets for group in one.groups()):
                    for method, picture in group.fused.items():
                        write_picture(partial / kind / file_name(group.name) / f"{method}.png", picture)
                continue
            (partial / kind).mkdir()
            (one,) = sets
            np.save(partial / kind / "sources.npy", one.of.sources)
            for method, pictures in one.fused.items():
                np.save(partial / kind / f"{method}.npy", pictures)
        (partial / "composites").mkdir()
        for way, composed in composites.ways.items():
            np.save(partial / "composites" / f"{way}.npy", composed)


def draw_kinds(folder: Path, results: dict[str, list[FusedSet]], table: pd.DataFrame, rows: int) -> None:
    """KIND.png: the first groups; KIND-extremes.png: what each method did best and worst.

    By likeness to the truth, or where it is not known by how much is kept of the edges.
    """
    for kind, sets in results.items():
        groups = [group for one in sets for group in one.groups()]
        save_png(folder / f"{kind}.png", examples_sheet(groups[:rows]))
        known = all(group.truth is not None for group in groups)
        mine = table[table["kind"] == kind].groupby("method", sort=False)
        by_method = mine["truth_ssim" if known else "edge_preservation"]
        scores = {method: by_method.get_group(method).tolist() for method in groups[0].fused}
        save_png(folder / f"{kind}-extremes.png", extremes_sheet(groups, scores))
