"""How fast and in how much memory preprocess takes pictures in.

speed    640 x 480 JPEGs against a bare loop of OpenCV's decode and resize: benchmarks/stages/intake/jpegs.py
memory   generated pictures of 64 px, from first to last: the most memory of the process, and of it and those
         that decode for it together. A million in IDX files; as many as disk and patience allow as PNG files
         of a table with captions and groups

run      python -m benchmarks.stages.intake.pictures --out benchmarks/stages/intake/results/pictures.md
"""

import argparse
import contextlib
import csv
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import yaml

from benchmarks.machine import describe
from benchmarks.stages.intake.jpegs import speed

ROOT = Path(__file__).parents[3]
SIDE = 64
MEBIBYTE = 1 << 20
INTERVAL = 0.05  # seconds between two looks at the memory


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--jpegs", type=int, nargs="*", default=[2000, 10_000], help="of each kind")
    options.add_argument("--photographs", type=Path, help="folder of JPEGs of 640 x 480, such as BCCD's")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--pictures", type=int, default=1_000_000, help="of IDX files; 0: none")
    options.add_argument("--files", type=int, default=100_000, help="PNG files of a table; 0: none")
    options.add_argument("--out", type=Path)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = speed(Path(folder), asked.jpegs, asked.rounds, asked.photographs)
        if asked.pictures or asked.files:
            lines += memory(Path(folder), asked.pictures, asked.files)
    command = (
        f"python -m benchmarks.stages.intake.pictures --jpegs {' '.join(map(str, asked.jpegs))}"
        f" --rounds {asked.rounds}"
        f"{' --photographs JPEGImages' if asked.photographs else ''}"
        f" --pictures {asked.pictures} --files {asked.files}"
    )
    page = "\n".join(["# Pictures in", "", f"`{command}` on {describe()}.", "", *lines, ""])
    print(page)
    if asked.out:
        asked.out.write_text(page)


def memory(folder: Path, pictures: int, files: int) -> list[str]:
    """The stage itself, in a process of its own, on sources that are written picture by picture."""
    lines = [
        f"Pictures of {SIDE} px, checked, split and packed; resident memory, all processes looked at every "
        f"{1000 * INTERVAL:.0f} ms:",
        "",
        "| source | pictures | stage, MiB | with its processes, MiB | minutes |",
        "|---|---|---|---|---|",
    ]
    sources: dict[str, tuple[Callable[[Path, int], dict[str, Any]], int]] = {
        "IDX": (write_idx_pair, pictures),
        "PNG, table with captions and groups": (write_table, files),
    }
    for name, (write, count) in sources.items():
        if not count:
            continue
        with tempfile.TemporaryDirectory(dir=folder) as own:
            raw = Path(own) / "raw"
            raw.mkdir()
            write_params(Path(own) / "params.yaml", write(raw, count))
            start = time.perf_counter()
            alone, together = peaks_of(stage_command(Path(own), raw))
            minutes = (time.perf_counter() - start) / 60
        lines.append(
            f"| {name} | {count:,} | {alone / MEBIBYTE:,.0f} | {together / MEBIBYTE:,.0f} | {minutes:.1f} |"
        )
    return lines


def write_params(path: Path, classification: dict[str, Any]) -> None:
    """params.yaml with another source of classified pictures, and few scenes of them."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["preprocess"]["classification"] |= classification
    params["preprocess"]["detection"] |= {"count": {"train": 8, "val": 8, "test": 8}, "side": 2 * SIDE}
    path.write_text(yaml.safe_dump(params))


def stage_command(folder: Path, raw: Path) -> list[str]:
    names = ("classification", "detection", "metrics", "report", "cache")
    outs = {name: str(folder / name) for name in names}
    outs |= {"raw": str(raw), "params": str(folder / "params.yaml"), "sheet": str(folder / "sheet.png")}
    return [sys.executable, "-m", "stages.preprocess", *(w for k, v in outs.items() for w in (f"--{k}", v))]


def peaks_of(command: list[str], root: Path = ROOT) -> tuple[int, int]:
    """The most resident memory in bytes of the command's process, and of all its processes at one moment.

    It runs in the folder `root`, whose modules it takes.

    Pages that processes share count for each of them. The command must end well.
    """
    alone = together = 0
    with psutil.Popen(command, cwd=root) as process:
        while process.poll() is None:
            taken = [resident(one) for one in (process, *children_of(process))]
            alone, together = max(alone, taken[0]), max(together, sum(taken))
            time.sleep(INTERVAL)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return alone, together


def children_of(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def resident(process: psutil.Process) -> int:
    """In bytes; 0 of one that has just ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def write_idx_pair(raw: Path, count: int) -> dict[str, Any]:
    """A tenth of them as test pictures; what of section `preprocess.classification` says so."""
    write_idx(raw, "t10k", count // 10, seed=1)
    write_idx(raw, "train", count - count // 10, seed=0)
    return {}


def write_table(raw: Path, count: int) -> dict[str, Any]:
    """Pictures of coarse noise, 1,000 to a folder, each with a caption, ten of them to a group."""
    rng = np.random.default_rng(0)
    with (raw / "pictures.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "class", "said", "group"])
        for number in range(count):
            name, label = f"{number // 1000:04d}/{number:07d}.png", f"class {number % 10}"
            (raw / name).parent.mkdir(exist_ok=True)
            coarse = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            cv2.imwrite(str(raw / name), np.kron(coarse, np.ones((SIDE // 8, SIDE // 8), np.uint8)))
            table.writerow([name, label, f"picture {number} of noise, of {label}", f"group {number // 10}"])
    columns = {"picture": "file", "label": "class", "caption": "said", "group": "group"}
    return {
        "format": "csv",
        "file": "pictures.csv",
        "pictures": ".",
        "columns": columns | {"split": None, "attributes": []},
        "classes": None,
        "shape": [SIDE, SIDE],
        "channels": 1,
        "fit": "stretch",
        "ground": 0,
        "split": {"val": 0.1, "test": 0.1, "group_pattern": None, "near_duplicates": None},
    }


def write_idx(folder: Path, name: str, count: int, seed: int) -> None:
    """An IDX pair of noise in ten classes, written some at a time."""
    rng = np.random.default_rng(seed)
    with contextlib.ExitStack() as files:
        images, labels = (
            files.enter_context((folder / f"{name}-{part}-ubyte").open("wb"))
            for part in ("images-idx3", "labels-idx1")
        )
        images.write(bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (count, SIDE, SIDE)))
        labels.write(bytes([0, 0, 8, 1]) + count.to_bytes(4, "big"))
        for start in range(0, count, 1000):
            rows = min(1000, count - start)
            images.write(rng.bytes(rows * SIDE * SIDE))
            labels.write((np.arange(rows, dtype=np.uint8) % 10).tobytes())


if __name__ == "__main__":
    main()
