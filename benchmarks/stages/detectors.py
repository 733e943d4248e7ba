"""Compare the detectors: the models of benchmarks/stages/bccd.yaml side by side, several seeds each.

`python -m benchmarks.stages.detectors --bccd FOLDER` packs BCCD (FOLDER holds Annotations, JPEGImages,
ImageSets), trains every model with three seeds, one after the other, and judges each on the val split.
`--scenes` takes params.yaml as it stands and the scenes that `darkroom run preprocess` made. `--models`,
`--seeds`, `--epochs` narrow it down, and the report says so; `--out FILE` writes what it prints.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import describe
from benchmarks.stages.training import ROOT, Cost, params, spread, train
from stages.core.packed import load_detection
from stages.core.params import ComputeParams
from stages.detector.average_precision import AveragePrecision, average_precision, precision
from stages.detector.network import detect, load_detector
from stages.evaluate.size import Size, detector_size
from stages.evaluate.timing import latency
from stages.networks.compute import prepare

BCCD = yaml.safe_load((ROOT / "benchmarks/stages/bccd.yaml").read_text())
BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One training."""

    scores: AveragePrecision
    cost: Cost
    epochs: int
    size: Size
    milliseconds: float
    """For one picture alone, the median."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--bccd", type=Path)
    data.add_argument("--scenes", action="store_true")
    parser.add_argument("--models", nargs="+", choices=BCCD["models"], default=list(BCCD["models"]))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepared, data_found = ROOT / "data/prepared/detection", ""
        settings: dict[str, dict[str, Any]] = {"params.yaml": {}}
        if asked.bccd:
            prepared, settings = packed(asked.bccd, folder), bccd_settings(asked.models)
            data_found = what_was_found(folder / "report", asked.bccd)
        judged: dict[str, list[Judged]] = {}
        for name, changed in settings.items():
            changed = changed | ({"epochs": asked.epochs} if asked.epochs else {})
            judged[name] = [
                judge(prepared, folder / f"{name}-{seed}", changed, seed=seed, threads=asked.threads)
                for seed in range(asked.seeds)
            ]
            print(f"{name}: mAP@50 {spread([j.scores.map50 for j in judged[name]], '.3f')}", flush=True)
            report = page(judged, data_found, asked)
            if asked.out:
                asked.out.write_text(report)  # after each model: all of them take hours
    print(report)


def page(judged: dict[str, list[Judged]], data_found: str, asked: argparse.Namespace) -> str:
    """What has been trained so far, with the command that does just that."""
    chosen = "--scenes" if asked.scenes else f"--bccd FOLDER --models {' '.join(judged)}"
    chosen += f" --seeds {asked.seeds}" + (f" --epochs {asked.epochs}" if asked.epochs else "")
    lines = [
        f"# Detectors on {'the composed scenes' if asked.scenes else 'BCCD'}\n",
        f"`python -m benchmarks.stages.detectors {chosen} --threads {asked.threads}` on {describe()}.\n",
        "From scratch, val split.\n",
        *table(judged),
        data_found,
    ]
    return "\n".join(lines) + "\n"


def bccd_settings(models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each changes in section train-detector."""
    return {name: BCCD["train-detector"] | {"network": BCCD["models"][name]} for name in models}


def packed(raw: Path, folder: Path) -> Path:
    """The detection folder that preprocess makes of BCCD."""
    document = params()
    document["preprocess"] |= BCCD["preprocess"]
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    outs = ("classification", "detection", "metrics", "sheet", "report", "cache")
    options = [f"--{name}={folder / name}" for name in outs]
    command = [
        sys.executable,
        "-m",
        "stages.preprocess",
        f"--raw={raw}",
        f"--params={folder / 'params.yaml'}",
    ]
    subprocess.run([*command, *options], cwd=ROOT, check=True)
    return folder / "detection"


def what_was_found(report: Path, raw: Path) -> str:
    """Preprocess's report on the detection pictures, their paths from `raw` on."""
    (section,) = re.findall(
        "^## Detection$.*?(?=^## )", (report / "report.md").read_text(), flags=re.M | re.S
    )
    return (
        section.replace("## Detection", "\n## What preprocess says of the data")
        .replace(f"{raw}/", "")
        .rstrip("\n")
    )


def judge(data: Path, folder: Path, changed: dict[str, Any], *, seed: int, threads: int) -> Judged:
    """Train with params.yaml, what is `changed` in it, and the seed; look at the val split."""
    section = params()["train-detector"] | changed
    compute_params = params()["compute"] | {"threads": threads}
    compute_params["seed"] += seed
    cost = train("train-detector", section, data, folder, seed=compute_params["seed"], threads=threads)
    compute = prepare(ComputeParams(**compute_params))
    network = compute.network(load_detector(folder / "model"))
    val = load_detection(data, "val")
    found = detect(network, val.images, compute, BATCH)
    return Judged(
        scores=average_precision(precision(found, val.boxes, val.labels, val.classes)),
        cost=cost,
        epochs=len((folder / "history").read_text().splitlines()) - 1,
        size=detector_size(network, val.images[0], compute),
        milliseconds=latency(lambda row: detect(network, val.images[row], compute, 1), len(val.images)),
    )


def table(judged: dict[str, list[Judged]]) -> list[str]:
    """A row for each model."""
    columns: dict[str, tuple[Callable[[Judged], float], str]] = {
        "mAP@50": (lambda j: j.scores.map50, ".3f"),
        "mAP": (lambda j: j.scores.map, ".3f"),
        "epochs": (lambda j: j.epochs, ".0f"),
        "seconds to train": (lambda j: j.cost.seconds, ".0f"),
        "CPU seconds": (lambda j: j.cost.cpu_seconds, ".0f"),
        "ms a picture": (lambda j: j.milliseconds, ".1f"),
        "parameters": (lambda j: j.size.parameters, ",.0f"),
        "MFLOPs a picture": (lambda j: j.size.megaflops, ",.0f"),
    }
    lines = [f"| model | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, each in judged.items():
        cells = [spread([of(j) for j in each], form) for of, form in columns.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    classes = list(next(iter(judged.values()))[0].scores.by_class)
    lines += ["", f"| mAP@50 of | {' | '.join(classes)} |", "|---" * (len(classes) + 1) + "|"]
    for name, each in judged.items():
        cells = [spread([j.scores.by_class[label].map50 for j in each], ".3f") for label in classes]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
