"""How fast and how well pictures of 640 x 480 are fused.

speed    1,000 pairs: the Laplacian pyramid against the bare OpenCV calls for the same, by turns; then every
         method by itself. One thread, pictures in memory
quality  two photographs in colour, sharp in one half and in several lights: every method's figures, the truth
         being known, and a sheet
check    of pairs that lie on each other and of moved, turned and scaled ones: how many are refused

run      python -m benchmarks.stages.fuse --out benchmarks/stages/results/fuse.md --sheet docs/fusion.jpg
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_sample_images

from benchmarks.machine import describe
from stages.core.errors import DataError
from stages.fuse.sheets import examples_sheet
from stages.fusion.alignment import align
from stages.fusion.methods import Settings, fuse, laplacian, most_levels
from stages.fusion.metrics import figures, mean_figure
from stages.fusion.params import Method
from stages.fusion.sets import FusedSet, FusionSet, exposed, half_sharp

Bytes = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 640, 480
DIFFERENT = 20  # pairs that differ; more would only fill memory
SIGMA = 3.0  # px
STOPS = (-1.5, 1.5)
MOTIONS = {
    "not moved": (0.0, 0.0, 1.0),
    "6 px across": (6.0, 0.0, 1.0),
    "turned by 1 degree": (0.0, 1.0, 1.0),
    "2": (0.0, 2.0, 1.0),
    "10": (0.0, 10.0, 1.0),
    "90": (0.0, 90.0, 1.0),
    "1.05 times as large": (0.0, 0.0, 1.05),
    "1.2": (0.0, 0.0, 1.2),
}
METHODS: tuple[Method, ...] = tuple(m for m in get_args(Method) if m != "features")  # that needs a network


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--pairs", type=int, default=1000)
    options.add_argument("--checked", type=int, default=10, help="scenes for the check of alignment")
    options.add_argument("--out", type=Path)
    options.add_argument("--sheet", type=Path)
    asked = options.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    photographs = [cv2.resize(picture, (WIDTH, HEIGHT)) for picture in load_sample_images().images]
    sets = made_sets(np.stack(photographs))
    lines = [*speed(asked.pairs, photographs), *quality(sets), *check(photographs, asked.checked)]
    command = f"`python -m benchmarks.stages.fuse --pairs {asked.pairs} --checked {asked.checked}`"
    libraries = f"opencv {cv2.__version__}, pywavelets {version('pywavelets')}"
    machine = f"{command} on {describe()}; {libraries}, one thread."
    page = "\n".join(["# Fusion", "", machine, "", *lines, ""])
    print(page)
    if asked.out:
        asked.out.write_text(page)
    if asked.sheet:
        temples = [next(fused_set(one).groups()) for one in sets.values()]
        examples_sheet(temples).save(asked.sheet, quality=90)


def bare(first: Bytes, second: Bytes, levels: int) -> Bytes:
    """The same pyramid by nothing but OpenCV's calls, for two pictures."""
    pyramids = []
    for picture in (first, second):
        values, pyramid = picture.astype(np.float32), []
        for _ in range(levels):
            coarser = cv2.pyrDown(values)
            pyramid.append(cv2.subtract(values, cv2.pyrUp(coarser, dstsize=values.shape[1::-1])))
            values = coarser
        pyramids.append([*pyramid, values])
    (*details, a), (*others, b) = pyramids
    fused = cv2.addWeighted(a, 0.5, b, 0.5, 0)
    for detail, other in zip(reversed(details), reversed(others), strict=True):
        zero = np.zeros_like(detail)
        cv2.copyTo(
            other, cv2.compare(cv2.absdiff(other, zero), cv2.absdiff(detail, zero), cv2.CMP_GT), detail
        )
        fused = cv2.add(cv2.pyrUp(fused, dstsize=detail.shape[1::-1]), detail)
    return np.asarray(cv2.add(fused, 0.0, dtype=cv2.CV_8U))


def speed(count: int, photographs: Sequence[Bytes]) -> list[str]:
    """Pairs a second of the bare calls and of ours, by turns, so that other work on the machine hits both."""
    pairs = different_pairs(photographs)
    levels = most_levels(HEIGHT, WIDTH)
    calls: dict[str, Callable[[Bytes], Bytes]] = {
        "bare OpenCV calls": lambda pair: bare(pair[0], pair[1], levels),
        "laplacian": lambda pair: laplacian(pair).astype(np.uint8),
    }
    off = [int(np.abs(bare(*pair, levels).astype(int) - laplacian(pair)).max()) for pair in pairs]
    assert max(off) <= 1, "they must fuse alike"
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for start in range(0, count, DIFFERENT):
        for name, call in calls.items():
            seconds[name].append(timed(call, islice(cycle(pairs), min(DIFFERENT, count - start))))
    rates = {name: count / sum(taken) for name, taken in seconds.items()}
    ratios = [b / o for b, o in zip(seconds["bare OpenCV calls"], seconds["laplacian"], strict=True)]
    few = pairs[:10]
    return [
        f"## {count:,} pairs of {WIDTH} x {HEIGHT} in colour",
        f"{DIFFERENT} different ones, {levels} levels, both by turns:",
        "",
        "| | pairs a second |",
        "|---|---|",
        *(f"| {name} | {rate:.1f} |" for name, rate in rates.items()),
        "",
        f"As fast as the bare calls: {rates['laplacian'] / rates['bare OpenCV calls']:.2f} times in all; of "
        f"{len(ratios)} turns the median {statistics.median(ratios):.2f}, the lowest {min(ratios):.2f}. "
        f"The pictures differ by at most {max(off)} of 255.",
        "",
        f"Milliseconds a pair, mean of {len(few)}: "
        + ", ".join(f"{name} {1000 * timed(method(name), few) / len(few):.0f}" for name in METHODS)
        + ".",
        "",
    ]


def quality(sets: dict[str, FusionSet]) -> list[str]:
    """A table for each kind: means over the photographs."""
    lines = []
    for kind, one in sets.items():
        fused = fused_set(one).fused
        measured = {name: figures(one.sources, pictures, one.truth) for name, pictures in fused.items()}
        columns = list(measured[METHODS[0]])
        lines += [f"## {kind}", "", f"| method | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for name, values in measured.items():
            means = [mean_figure(column, values[column]) for column in columns]
            lines.append(
                f"| {name} | {' | '.join('' if mean is None else f'{mean:.3f}' for mean in means)} |"
            )
        lines.append("")
    return [
        *lines,
        "Photographs: china.jpg and flower.jpg of scikit-learn (CC BY 2.0, danielbuechele, vultilion).",
        "",
    ]


def check(photographs: Sequence[Bytes], count: int) -> list[str]:
    """How many of `count` pairs of each kind the default registration refuses."""
    rows: dict[str, list[int]] = {}
    scenes = different_scenes(photographs, count)
    for scene, other in pairwise([*scenes, scenes[0]]):
        for kind, (first, second) in kinds_of_pairs(scene, other).items():
            refused = [is_refused(first, moved(second, *motion)) for motion in MOTIONS.values()]
            rows[kind] = [sum(pair) for pair in zip(rows.get(kind, [0] * len(MOTIONS)), refused, strict=True)]
    return [
        f"## Refused as moved by `--registration check`, of {count} pairs of {WIDTH} x {HEIGHT}",
        "",
        f"| | {' | '.join(MOTIONS)} |",
        "|---" * (len(MOTIONS) + 1) + "|",
        *(f"| {kind} | {' | '.join(map(str, refused))} |" for kind, refused in rows.items()),
    ]


def kinds_of_pairs(scene: Bytes, other: Bytes) -> dict[str, Bytes]:
    """Pairs [2, H, W, C] that lie on each other, and one of two scenes."""
    edges = np.repeat(cv2.Canny(scene, 80, 160)[..., np.newaxis], 3, axis=2)
    return {
        "twice the same": np.stack([scene, scene]),
        "sharp in one half": half_sharp(scene[np.newaxis], SIGMA)[0],
        "in two lights": exposed(scene[np.newaxis], STOPS)[0],
        "and its negative": np.stack([scene, 255 - scene]),
        "and its edges": np.stack([scene, edges]),
        "and another scene": np.stack([scene, other]),
    }


def moved(picture: Bytes, across: float, degrees: float, scale: float) -> Bytes:
    motion = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, scale)
    motion[0, 2] += across
    return np.asarray(cv2.warpAffine(picture, motion, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT))


def is_refused(first: Bytes, second: Bytes) -> bool:
    try:
        align(np.stack([first, second]), ["first", "second"], "check")
    except DataError:
        return True
    return False


def made_sets(photographs: Bytes) -> dict[str, FusionSet]:
    """Both kinds of sources from photographs [N, H, W, C]."""
    names = ["temple", "dahlia"]
    sharp, lit = half_sharp(photographs, SIGMA), exposed(photographs, STOPS)
    return {
        f"Sharp in one half (blurred by a Gaussian of {SIGMA:g} px)": FusionSet(
            names=names, sources=sharp, truth=photographs
        ),
        f"In two lights ({STOPS[0]:+g} and {STOPS[1]:+g} stops)": FusionSet(
            names=names, sources=lit, truth=photographs
        ),
    }


def fused_set(one: FusionSet) -> FusedSet:
    fused = {name: np.stack([method(name)(group) for group in one.sources]) for name in METHODS}
    return FusedSet(inputs=one, fused=fused)


def method(name: Method) -> Callable[[Bytes], Bytes]:
    settings = Settings(weights=None, levels=None, activity=None)
    return lambda sources: fuse(sources, name, settings).astype(np.uint8)


def different_pairs(photographs: Sequence[Bytes]) -> list[Bytes]:
    """Scenes, each sharp in one half of either source: [2, H, W, C]."""
    return list(half_sharp(np.stack(different_scenes(photographs, DIFFERENT)), SIGMA))


def different_scenes(photographs: Sequence[Bytes], count: int) -> list[Bytes]:
    """Photographs moved round by some pixels."""
    shifts = np.random.default_rng(0).integers(0, HEIGHT, (count, 2)).tolist()
    return [np.roll(photographs[n % 2], shift, (0, 1)) for n, shift in enumerate(shifts)]


def timed(call: Callable[[Bytes], Bytes], pairs: Iterable[Bytes]) -> float:
    start = time.perf_counter()
    for pair in pairs:
        call(pair)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
