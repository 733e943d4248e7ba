"""Take the same pictures in by two commits, in turns: pictures a second, and the most memory.

`python -m benchmarks.stages.intake.commits --before COMMIT` checks the commit out into a temporary folder and
runs `python -m stages.preprocess` there and here, each time with an empty cache, on generated JPEGs of
640 x 480 and on PNG files of 256 px. `--out FILE` writes what it prints.
"""

import argparse
import contextlib
import itertools
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from benchmarks.machine import describe
from benchmarks.stages.intake.jpegs import generated
from benchmarks.stages.intake.pictures import MEBIBYTE, peaks_of, stage_command
from benchmarks.stages.training import ROOT

SIDE = 256  # px of the PNG files
SECTION: dict[str, Any] = {
    "format": "image-folder",
    "folder": ".",
    "classes": None,
    "shape": [192, 256],
    "channels": 3,
    "fit": "stretch",
    "ground": 0,
    "split": {"val": 0.1, "test": 0.1, "group_pattern": None, "near_duplicates": None},
}
KINDS = {"jpg": "JPEG of 640 x 480", "png": f"PNG of {SIDE} x {SIDE}"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", required=True, help="the commit to compare with")
    parser.add_argument("--pictures", type=int, default=3000, help="of each kind")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    command = f"--before {asked.before} --pictures {asked.pictures} --rounds {asked.rounds}"
    lines = [
        "# The intake beside an earlier commit's\n",
        f"`python -m benchmarks.stages.intake {command}` on {describe()}.\n",
        "Pictures a second of the whole stage with an empty cache, and the most resident memory of it and its"
        " processes; medians of rounds by turns, lowest to highest.\n",
        "| pictures | commit | a second | MiB |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch, checked_out(asked.before, Path(scratch)) as before:
        for suffix, kind in KINDS.items():
            raw = write_pictures(Path(scratch) / suffix, suffix, asked.pictures)
            commits = {asked.before: before, "this one": ROOT}
            lines += rows(f"{asked.pictures:,} {kind}", commits, raw, asked.rounds)
    print("\n".join(lines))
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n")


@contextlib.contextmanager
def checked_out(commit: str, scratch: Path) -> Iterator[Path]:
    """A folder with the files of a commit."""
    folder = scratch / "before"
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x", "-C", folder], input=archive, check=True)
    yield folder


def write_pictures(raw: Path, suffix: str, count: int) -> Path:
    """So many pictures of two classes in a folder."""
    draw = np.random.default_rng(0)
    jpegs = generated(slope=1.6, grain=0.5) if suffix == "jpg" else itertools.repeat(b"")
    for number, content in zip(range(count), jpegs, strict=False):
        file = raw / ("even", "odd")[number % 2] / f"{number}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if suffix == "png":
            coarse = draw.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
            picture = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            content = cv2.imencode(".png", picture)[1].tobytes()
        file.write_bytes(content)
    return raw


def rows(kind: str, commits: dict[str, Path], raw: Path, rounds: int) -> list[str]:
    """A row of the table for each commit, which take turns."""
    speeds: dict[str, list[float]] = {name: [] for name in commits}
    peaks: dict[str, list[float]] = {name: [] for name in commits}
    count = sum(1 for file in raw.rglob("*") if file.is_file())
    for _, (name, root) in itertools.product(range(rounds), commits.items()):
        with tempfile.TemporaryDirectory() as own:
            document = yaml.safe_load((root / "params.yaml").read_text())
            document["preprocess"] |= {"classification": SECTION, "detection": None}
            document["libraries"] = {}
            (Path(own) / "params.yaml").write_text(yaml.safe_dump(document))
            start = time.perf_counter()
            _, together = peaks_of(stage_command(Path(own), raw), root)
            speeds[name].append(count / (time.perf_counter() - start))
            peaks[name].append(together / MEBIBYTE)
    return [f"| {kind} | {name} | {spread(speeds[name])} | {spread(peaks[name])} |" for name in commits]


def spread(values: list[float]) -> str:
    """The median, the lowest and the highest value."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


if __name__ == "__main__":
    main()
