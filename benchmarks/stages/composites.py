"""Whether a detector gets better by generated items set into its training scenes.

Three ways, each with several seeds and with as many steps: the first scenes of the training split alone,
shown twice as often; the same and once more with a generated item pasted into each; the same with the item
set in without a seam (Poisson). Average precision on the whole val split, means and spread.

`python -m benchmarks.stages.composites --out benchmarks/stages/results/composites.md`, after `darkroom run`.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.machine import describe
from benchmarks.stages.training import PARAMS, ROOT, params, train
from stages.core.packed import DetectionSplit, load_detection
from stages.core.params import ComputeParams, load_params
from stages.detector.average_precision import average_precision, precision
from stages.detector.network import detect, load_detector
from stages.fuse.composites import compose
from stages.fuse.params import FuseParams
from stages.generator.network import generate, load_generator
from stages.networks.compute import Compute, prepare

SCENES = ROOT / "data/prepared/detection"
GENERATOR = ROOT / "data/models/generator.safetensors"
WAYS = {
    "none": "scenes alone",
    "paste": "and with a generated item pasted in",
    "poisson": "and with one set in without a seam",
}

Scenes = tuple[npt.NDArray[np.uint8], list[npt.NDArray[np.float32]], list[npt.NDArray[np.int64]]]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--scenes", type=int, default=1000)
    options.add_argument("--epochs", type=int, default=4, help="of the scenes alone; half as many with both")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--out", type=Path)
    asked = options.parse_args()
    compute = prepare(load_params(PARAMS, "compute", ComputeParams))
    scenes, val = load_detection(SCENES, "train"), load_detection(SCENES, "val")
    scores: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.seeds):
            sets = training_sets(scenes, asked.scenes, seed, compute)
            for way, made in sets.items():
                place = Path(folder) / f"{way}-{seed}"
                write_split(place, made, scenes.classes)
                epochs = asked.epochs if way == "none" else asked.epochs // 2
                scores[way].append(trained_score(place, epochs, seed, val, compute))
                print(way, seed, f"{scores[way][-1]:.3f}", file=sys.stderr, flush=True)
    page = "\n".join(lines_of(scores, asked))
    print(page)
    if asked.out:
        asked.out.write_text(page)


def lines_of(scores: dict[str, list[float]], asked: argparse.Namespace) -> list[str]:
    flags = f"--scenes {asked.scenes} --epochs {asked.epochs} --seeds {asked.seeds}"
    return [
        "# Generated items in training scenes",
        "",
        f"`python -m benchmarks.stages.composites {flags}` on {describe()}.",
        "",
        f"The detector of params.yaml on {asked.scenes:,} training scenes, {asked.epochs} epochs of them "
        f"alone or {asked.epochs // 2} of them and their composites: as many steps. mAP@50, val split, "
        f"{asked.seeds} seeds.",
        "",
        "| training scenes | mean | lowest | highest |",
        "|---|---|---|---|",
        *(
            f"| {WAYS[way]} | {statistics.mean(found):.3f} | {min(found):.3f} | {max(found):.3f} |"
            for way, found in scores.items()
        ),
        "",
    ]


def training_sets(train: DetectionSplit, count: int, seed: int, compute: Compute) -> dict[str, Scenes]:
    """The first `count` scenes; and these with themselves composed, by way of composing."""
    values = load_params(PARAMS, "fuse", FuseParams)
    images, boxes, labels = np.asarray(train.images[:count]), train.boxes[:count], train.labels[:count]
    drawn = np.random.default_rng(seed).integers(0, len(train.classes), count)
    items = generate(
        load_generator(GENERATOR), drawn, seed=seed, compute=compute, batch_size=values.batch_size
    )
    made = compose(images, boxes, items, drawn, threshold=values.cut_out_threshold, seed=seed)
    assert len(made.labels) == count, "an item was empty"
    more_boxes = [
        np.vstack([one, [box]]).astype(np.float32) for one, box in zip(boxes, made.boxes, strict=True)
    ]
    more_labels = [np.append(one, label) for one, label in zip(labels, drawn, strict=True)]
    sets: dict[str, Scenes] = {"none": (images, boxes, labels)}
    for way, composed in made.ways.items():
        sets[way] = (np.concatenate([images, composed]), boxes + more_boxes, labels + more_labels)
    return sets


def write_split(folder: Path, scenes: Scenes, classes: list[str]) -> None:
    """A prepared folder with these training scenes and the pipeline's own val."""
    images, boxes, labels = scenes
    (folder / "train").mkdir(parents=True)
    (folder / "val").symlink_to(SCENES / "val")
    (folder / "classes.json").write_text(json.dumps(classes))
    np.save(folder / "train/images.npy", images)
    annotations = [
        {"image_id": number, "category_id": int(label) + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for number, (its_boxes, its_labels) in enumerate(zip(boxes, labels, strict=True))
        for (x0, y0, x1, y1), label in zip(its_boxes.tolist(), its_labels, strict=True)
    ]
    (folder / "train/annotations.json").write_text(json.dumps({"annotations": annotations}))


def trained_score(folder: Path, epochs: int, seed: int, val: DetectionSplit, compute: Compute) -> float:
    """mAP@50 on the val split of a detector trained on `folder` by the stage's own command."""
    section = params()["train-detector"] | {"epochs": epochs, "validate_every": epochs}
    train("train-detector", section, folder, folder / "trained", seed=seed)
    found = detect(load_detector(folder / "trained/model"), val.images, compute, 250)
    return average_precision(precision(found, val.boxes, val.labels, val.classes)).map50


if __name__ == "__main__":
    main()
