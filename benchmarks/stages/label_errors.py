"""Plant label errors, train as params.yaml says, and see how many `evaluate` ranks among the first.

`python -m benchmarks.stages.label_errors` gives 5 % of classified pictures another class, and does one of
four things to 5 % of the scenes: takes out a box, adds one, moves one, gives one another class. Then it
trains a classifier and a detector and counts the planted errors in the first tenth of either ranking. It
needs what `darkroom run preprocess` makes. `--pictures 500 2000` and `--scenes 1000` say how many of them are
taken: the fewer, the longer each is shown, and the better wrong labels are learnt by heart. `--epochs 5 14`
trains the detector for so many, each in turn, in place of what params.yaml says: the shorter, the weaker it
is. `--out FILE` writes what it prints.
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.machine import describe
from benchmarks.stages.training import ROOT, params, train
from stages.classifier.network import load_classifier, predict
from stages.core.packed import SOURCES, Split, load_classification, load_detection
from stages.core.params import ComputeParams
from stages.detector.network import load_detector
from stages.evaluate.of_labels.class_labels import doubted_classes
from stages.evaluate.of_labels.evaluation import question_labels
from stages.evaluate.params import EvaluateParams
from stages.networks.compute import prepare
from stages.preprocess.packing import coco, pack_annotations

SEED = 20260101
PLANTED = 0.05
FIRST = 0.1  # of a ranking: where errors should stand
VAL = 0.1  # of the pictures
PREPARED = ROOT / "data/prepared"
KINDS = ("taken out", "added", "moved", "another class")
LEARNT: tuple[Split, ...] = ("train", "val")

Rows = npt.NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, nargs="*", default=[500, 2000])
    parser.add_argument("--scenes", type=int, nargs="*", default=[1000])
    parser.add_argument("--epochs", type=int, nargs="*", default=[], help="of the detector")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    lines = ["# Planted label errors\n"]
    words = ["--pictures", *arguments.pictures, "--scenes", *arguments.scenes]
    words += ["--epochs", *arguments.epochs] if arguments.epochs else []
    counts = " ".join(map(str, words))
    lines.append(f"`python -m benchmarks.stages.label_errors {counts}` on {describe()}.\n")
    lines.append(
        f"{PLANTED:.0%} of the labels are wrong. Found: of those, the share in the first {FIRST:.0%}.\n"
    )
    if arguments.pictures:
        lines.append("| pictures | wrong labels that the network repeats | found | by its probabilities |")
        lines.append("|---|---|---|---|")
    for number in arguments.pictures:
        with tempfile.TemporaryDirectory() as scratch:
            lines.append(of_classes(number, Path(scratch)))
    if arguments.scenes:
        head = ["scenes", "epochs", "AP at IoU .50 on val", "wrong pictures", "found", *KINDS]
        lines += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for number, epochs in itertools.product(arguments.scenes, arguments.epochs or [None]):
        with tempfile.TemporaryDirectory() as scratch:
            lines.append(of_boxes(number, epochs, Path(scratch)))
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def of_classes(number: int, folder: Path) -> str:
    """A row of the table: a classifier of so many pictures."""
    rng, data = np.random.default_rng(SEED), folder / "data"
    wrong: dict[str, Rows] = {}
    for split, count in sizes(number).items():
        whole = load_classification(PREPARED / "classification", split)
        labels = whole.labels[:count].copy()
        rows = wrong[split] = planted(count, rng)
        labels[rows] = (labels[rows] + rng.integers(1, len(whole.classes), len(rows))) % len(whole.classes)
        (data / split).mkdir(parents=True)
        np.save(data / split / "images.npy", whole.images[:count])
        np.save(data / split / "labels.npy", labels)
        write_sources(data / split / SOURCES, [[] for _ in range(count)])
    (data / "classes.json").write_text(json.dumps(whole.classes))
    train("train-classifier", params()["train-classifier"], data, folder / "trained", seed=SEED)
    compute = prepare(ComputeParams(**params()["compute"]))
    network = compute.network(load_classifier(folder / "trained/model"))
    values = EvaluateParams.model_validate(params()["evaluate"])
    table = question_labels(network, None, data, data, values, compute).tables["label_errors"]
    learnt = load_classification(data, "train")
    probabilities = predict(network, learnt.images, compute=compute).double().numpy()
    repeated = (probabilities.argmax(axis=1) == learnt.labels)[wrong["train"]].mean()
    by_network = np.argsort(-doubted_classes(probabilities, learnt.labels).contradiction, kind="stable")
    first = np.isin(wrong["train"], by_network[: round(FIRST * len(by_network))]).mean()
    return f"| {number:,} | {repeated:.0%} | {found(table, wrong):.0%} | {first:.0%} |"


def of_boxes(number: int, epochs: int | None, folder: Path) -> str:
    """A row of the table: a detector of so many scenes, trained for so many epochs or as params.yaml says."""
    rng, data = np.random.default_rng(SEED), folder / "data"
    wrong: dict[str, Rows] = {}
    kinds: dict[str, list[str]] = {}
    for split, count in sizes(number).items():
        whole = load_detection(PREPARED / "detection", split)
        count = min(count, len(whole.images))
        boxes, labels = list(whole.boxes[:count]), list(whole.labels[:count])
        rows = wrong[split] = planted(count, rng)
        kinds[split] = [KINDS[place % len(KINDS)] for place in range(len(rows))]
        side = whole.images.shape[1]
        for row, kind in zip(rows, kinds[split], strict=True):
            boxes[row], labels[row] = spoilt(boxes[row], labels[row], kind, side, len(whole.classes), rng)
        (data / split).mkdir(parents=True)
        np.save(data / split / "images.npy", whole.images[:count])
        annotations = coco(boxes, labels, whole.classes, height=side, width=side)
        pack_annotations(data / split / "annotations.json", annotations)
        places = [[f"box {box + 1}" for box in range(len(one))] for one in boxes]
        write_sources(data / split / SOURCES, places)
    (data / "classes.json").write_text(json.dumps(whole.classes))
    section = params()["train-detector"] | ({} if epochs is None else {"epochs": epochs})
    train("train-detector", section, data, folder / "trained", seed=SEED)
    figures = json.loads((folder / "trained/metrics").read_text())
    compute = prepare(ComputeParams(**params()["compute"]))
    network = compute.network(load_detector(folder / "trained/model"))
    values = EvaluateParams.model_validate(params()["evaluate"])
    table = question_labels(None, network, data, data, values, compute).tables["box_label_errors"]
    by_kind = [
        found(table, {split: rows[np.array(kinds[split]) == kind] for split, rows in wrong.items()})
        for kind in KINDS
    ]
    cells = " | ".join(f"{share:.0%}" for share in by_kind)
    told = (
        f"{number:,} | {section['epochs']} | {figures['val']['map50']:.2f} | {sum(map(len, wrong.values()))}"
    )
    return f"| {told} | {found(table, wrong):.0%} | {cells} |"


def sizes(number: int) -> dict[Split, int]:
    """How many pictures of `number` are for training and how many for validation."""
    return {"train": number - round(VAL * number), "val": round(VAL * number)}


def planted(count: int, rng: np.random.Generator) -> Rows:
    """The rows that get an error."""
    return rng.permutation(count)[: round(PLANTED * count)]


def spoilt(
    boxes: npt.NDArray[np.float32],
    labels: Rows,
    kind: str,
    side: int,
    classes: int,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float32], Rows]:
    """Boxes [K, 4] and labels [K] of a scene with an error of this kind."""
    boxes, labels = boxes.copy(), labels.copy()
    one = int(rng.integers(len(boxes)))
    if kind == "taken out":
        return np.delete(boxes, one, axis=0), np.delete(labels, one)
    if kind == "another class":
        labels[one] = (labels[one] + rng.integers(1, classes)) % classes
        return boxes, labels
    size = boxes[one, 2:] - boxes[one, :2]
    corner = rng.uniform(0, side - size)
    if kind == "moved":  # by 60 % of its size, to where there is room
        away = np.where(boxes[one, :2] + 1.6 * size < side, 0.6, -0.6) * size
        corner = np.clip(boxes[one, :2] + away, 0, side - size)
    box = np.concatenate([corner, corner + size]).astype(np.float32)
    if kind == "moved":
        boxes[one] = box
        return boxes, labels
    return np.vstack([boxes, box]), np.append(labels, rng.integers(classes))


def write_sources(path: Path, places: list[list[str]]) -> None:
    """A line a picture, as preprocess writes them."""
    lines = ["\t".join([f"picture {row}", *one]) + "\n" for row, one in enumerate(places)]
    path.write_text("".join(lines))


def found(table: pd.DataFrame, wrong: dict[str, Rows]) -> float:
    """The share of the wrong rows of both splits that stand in the first tenth of the table."""
    first = table.head(round(FIRST * len(table)))
    hits = [np.isin(rows, first["picture"][first["split"] == split]) for split, rows in wrong.items()]
    return float(np.concatenate(hits).mean())


if __name__ == "__main__":
    main()
