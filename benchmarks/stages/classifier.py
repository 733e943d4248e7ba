"""Compare classifiers: the settings of benchmarks/stages/classifiers.yaml side by side, several seeds each.

`python -m benchmarks.stages.classifier` trains simple-cnn and compact with three seeds each, one after the
other, and judges them on the val split: the test split is there to report what was chosen, not to choose. It
needs what `darkroom run preprocess` makes. `--settings compact-long` is for the last half per cent; `--quick`
tries all of it on few pictures in one epoch; `--out FILE` writes what it prints.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import describe
from benchmarks.stages.training import ROOT, few_pictures, params, spread, train
from stages.classifier.network import load_classifier, predict
from stages.core.packed import load_classification
from stages.core.params import ComputeParams
from stages.evaluate.of_classifier.metrics import classification_outcomes, confusion, macro_f1
from stages.evaluate.size import Size, network_size
from stages.evaluate.timing import latency
from stages.networks.compute import prepare

SETTINGS = yaml.safe_load((ROOT / "benchmarks/stages/classifiers.yaml").read_text())
SEED = 20260101
BATCH = 250


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One training."""

    accuracy: float
    macro_f1: float
    cpu_seconds: float
    size: Size
    milliseconds: float
    """For one picture alone, all its views; the median."""
    pictures_a_second: float
    """In batches."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["simple-cnn", "compact"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=ROOT / "data/prepared/classification")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = few_pictures(arguments.data, folder / "data") if arguments.quick else arguments.data
        judged = {}
        for name in arguments.settings:
            changed = SETTINGS[name] | ({"epochs": 1} if arguments.quick else {})
            judged[name] = [
                judge(data, folder / f"{name}-{seed}", changed, seed=SEED + seed)
                for seed in range(arguments.seeds)
            ]
    flags = " ".join(["--settings", *arguments.settings, "--seeds", str(arguments.seeds)])
    report = "\n".join(
        [
            "# Classifiers side by side\n",
            f"`python -m benchmarks.stages.classifier {flags}{' --quick' * arguments.quick}`"
            f" on {describe()}.\n",
            *table(judged),
        ]
    )
    print(report)
    if arguments.out:
        arguments.out.write_text(report + "\n")


def judge(data: Path, folder: Path, changed: dict[str, Any], *, seed: int) -> Judged:
    """Train with params.yaml, what is `changed` in it, and the seed; look at the val split."""
    section = params()["train-classifier"] | changed
    cost = train("train-classifier", section, data, folder, seed=seed)
    compute = prepare(ComputeParams(**params()["compute"] | {"seed": seed}))
    network = compute.network(load_classifier(folder / "model"))
    val = load_classification(data, "val")
    started = time.perf_counter()
    found = classification_outcomes(
        predict(network, val.images, compute=compute, batch_size=BATCH), val.labels
    )
    took = time.perf_counter() - started
    return Judged(
        accuracy=float((found.rank == 1).mean()),
        macro_f1=macro_f1(confusion(found.labels, found.predicted, len(val.classes))),
        cpu_seconds=cost.cpu_seconds,
        size=network_size(network, val.images.shape[1:3]),
        milliseconds=latency(
            lambda row: predict(network, val.images[row], compute=compute), len(val.images), times=100
        ),
        pictures_a_second=len(val.images) / took,
    )


def table(judged: dict[str, list[Judged]]) -> list[str]:
    """A column for each settings."""

    def row(what: str, figure: Callable[[Judged], float], form: str) -> str:
        return (
            f"| {what} | "
            + " | ".join(spread([figure(j) for j in each], form) for each in judged.values())
            + " |"
        )

    return [
        f"| mean (least to greatest of the seeds) | {' | '.join(judged)} |",
        "|---" * (len(judged) + 1) + "|",
        row("val accuracy", lambda j: j.accuracy, ".4f"),
        row("macro F1", lambda j: j.macro_f1, ".4f"),
        row("CPU seconds to train", lambda j: j.cpu_seconds, ".0f"),
        row("parameters", lambda j: j.size.parameters, ",.0f"),
        row("MB", lambda j: j.size.megabytes, ".2f"),
        row("MFLOPs a view", lambda j: j.size.megaflops, ".1f"),
        row("ms a picture, one at a time", lambda j: j.milliseconds, ".2f"),
        row(f"pictures a second, {BATCH} at a time", lambda j: j.pictures_a_second, ",.0f"),
    ]


if __name__ == "__main__":
    main()
