"""What comparisons of trained networks share: a stage run with a section and seed of its own, and figures."""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stages.core.packed import SPLITS, load_classification

ROOT = Path(__file__).parents[2]
PARAMS = ROOT / "params.yaml"
OUTS = {
    "train-classifier": ("model", "metrics", "history", "rates", "samples", "checkpoint"),
    "train-detector": ("model", "metrics", "history", "samples", "checkpoint"),
    "train-gan": ("model", "metrics", "history", "samples", "checkpoint"),
}
FEW = {"train": 2000, "val": 500, "test": 1000}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a stage's command, from its start on."""

    seconds: float
    cpu_seconds: float


def params() -> dict[str, Any]:
    """params.yaml."""
    document: dict[str, Any] = yaml.safe_load(PARAMS.read_text())
    return document


def train(
    stage: str, section: Mapping[str, Any], data: Path, folder: Path, *, seed: int, threads: int | None = None
) -> Cost:
    """Run a training stage; its outs lie in the new `folder` by their names, with the params.yaml it read.

    `section` stands in the place of the stage's own. Raises CalledProcessError where the stage fails.
    """
    document = params() | {stage: dict(section)}
    document["compute"] |= {"seed": seed} | ({} if threads is None else {"threads": threads})
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    words = [f"--{name}={folder / name}" for name in OUTS[stage]]
    command = [
        sys.executable,
        "-m",
        f"stages.{stage.replace('-', '_')}",
        f"--params={folder / 'params.yaml'}",
    ]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*command, f"--data={data}", *words], cwd=ROOT, check=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(
        seconds=seconds, cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    )


def few_pictures(data: Path, folder: Path) -> Path:
    """The first classified pictures of every split, packed in `folder`."""
    for name in SPLITS:
        split = load_classification(data, name)
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "images.npy", split.images[: FEW[name]])
        np.save(folder / name / "labels.npy", split.labels[: FEW[name]])
    (folder / "classes.json").write_bytes((data / "classes.json").read_bytes())
    return folder


def spread(figures: Sequence[float], form: str) -> str:
    """Mean and range; the figure alone where all are the same."""
    low, high = min(figures), max(figures)
    mean = format(statistics.mean(figures), form)
    return mean if low == high else f"{mean} ({low:{form}} to {high:{form}})"
