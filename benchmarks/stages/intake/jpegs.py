"""How fast preprocess takes JPEGs of 640 x 480 in, against a bare loop of OpenCV's decode and resize.

Part of the page that benchmarks/stages/intake/pictures.py writes. Both decode on as many processes, by turns,
so that other work on the machine hits both alike; what each takes of the processors is told beside the time.

smooth, textured   generated: brightness at all scales as in photographs (its spectrum falls with the
                   frequency), edges, grain; they differ in how much is fine
photographs        real ones from a folder, moved by blocks of JPEG's where there are too few, so that no two
                   are equal; written anew with their own tables of quantisation
"""

import io
import itertools
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image, JpegImagePlugin

from stages.intake.form import Form
from stages.intake.intake import take_in
from stages.intake.side_by_side import cores

ROOT = Path(__file__).parents[3]
SIZE = 640, 480
WIDTH, HEIGHT = 256, 192
CANVAS = 1024  # pixels a side of the texture that pictures are cut from
CANVASES = 12
SCENE = 512
INTRODUCTION = """\
JPEGs of 640 x 480 to 256 x 192, {processes} processes, {rounds} rounds by turns, medians; by time and by CPU:
bare loop to ours in the same round (lowest to highest).

- bare loop: OpenCV's decode and resize; the start of its processes does not count
- intake: read, checked, decoded, hashed, written to an empty cache of decoded pictures; the start of its
  processes counts
- stage: `python -m stages.preprocess` from start to end with an empty cache, so with imports, splits,
  packing, a few scenes, report and sheet
"""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Took:
    """What a task took, in seconds."""

    wall: float
    cpu: float
    """Of all its processes together."""


def speed(folder: Path, counts: list[int], rounds: int, photographs: Path | None) -> list[str]:
    """A table: pictures a second of the bare loop, of the intake alone and of the whole stage."""
    kinds: dict[str, Callable[[], Iterator[bytes]]] = {
        "smooth": lambda: generated(slope=1.6, grain=0.5),
        "textured": lambda: generated(slope=1.2, grain=2.0),
    }
    if photographs:
        kinds["photographs"] = lambda: moved(sorted(photographs.glob("*.jpg")))
    lines = [INTRODUCTION.format(processes=cores(), rounds=rounds)]
    lines += ["| pictures | KB each | | a second | by time | by CPU |", "|---|---|---|---|---|---|"]
    for (kind, pictures), count in itertools.product(kinds.items(), counts):
        own = folder / f"{kind}-{count}"
        paths = write(own / "raw", itertools.islice(pictures(), count))
        size = statistics.mean(path.stat().st_size for path in paths) / 1000
        lines += rows(f"| {count:,} {kind} | {size:.0f} ", count, by_turns(own, paths, rounds))
        shutil.rmtree(own)
    return [*lines, ""]


def rows(told: str, count: int, took: dict[str, list[Took]]) -> Iterator[str]:
    """Of the table; `told` stands before the first."""
    bare = took["bare loop"]
    yield f"{told}| bare loop | {count / statistics.median(one.wall for one in bare):,.0f} | | |"
    for name in ("intake", "stage"):
        ours = took[name]
        rate = count / statistics.median(one.wall for one in ours)
        by_time = ratios([b.wall / o.wall for b, o in zip(bare, ours, strict=True)])
        by_cpu = ratios([b.cpu / o.cpu for b, o in zip(bare, ours, strict=True)])
        yield f"| | | {name} | {rate:,.0f} | {by_time} | {by_cpu} |"


def ratios(values: list[float]) -> str:
    """The median and what there is on both sides of it."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def by_turns(folder: Path, paths: list[Path], rounds: int) -> dict[str, list[Took]]:
    """Every task once a round."""
    processes = cores()
    params = write_params(folder)
    took: dict[str, list[Took]] = {"bare loop": [], "intake": [], "stage": []}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(bare_loop, [paths[:1]] * processes))  # all started
        for _ in range(rounds):
            start = time.perf_counter()
            cpu = sum(pool.map(bare_loop, [paths[n::processes] for n in range(processes)]))
            took["bare loop"].append(Took(time.perf_counter() - start, cpu))
            took["intake"].append(timed(lambda: intake(folder, paths, processes)))
            took["stage"].append(timed(lambda: stage(folder, params)))
            for left in ("cache", "out"):
                shutil.rmtree(folder / left, ignore_errors=True)
    return took


def timed(work: Callable[[], None]) -> Took:
    """What `work` takes here and in processes that end with it."""
    start, before = time.perf_counter(), spent()
    work()
    return Took(time.perf_counter() - start, spent() - before)


def spent() -> float:
    """CPU seconds of this process and of those of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def bare_loop(paths: list[Path]) -> float:
    """What anyone would write; CPU seconds that it took."""
    cv2.setNumThreads(1)
    start = time.process_time()
    for path in paths:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return time.process_time() - start


def intake(folder: Path, paths: list[Path], processes: int) -> None:
    form = Form(
        height=HEIGHT,
        width=WIDTH,
        channels=3,
        fit="stretch",
        ground=0,
        max_pixels=10**8,
        refused=frozenset(),
        kept=frozenset(),
    )
    out = folder / "out"
    out.mkdir()
    tasks = ((path, None) for path in paths)
    taken = take_in(tasks, form, out, processes=processes, remember=True)
    assert all(facts.place for facts in taken)
    shutil.rmtree(out)


def stage(folder: Path, params: Path) -> None:
    out = folder / "out"
    outs = {name: out / name for name in ("classification", "detection", "report", "metrics", "sheet")}
    given = {"raw": folder / "raw", "params": params, "cache": folder / "cache"}
    options = [f"--{name}={path}" for name, path in (given | outs).items()]
    subprocess.run([sys.executable, "-m", "stages.preprocess", *options], cwd=ROOT, check=True)


def write_params(folder: Path) -> Path:
    """params.yaml with the folder's pictures as source, and few scenes of them."""
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["preprocess"]["classification"] = {
        "format": "image-folder",
        "folder": ".",
        "classes": None,
        "shape": [HEIGHT, WIDTH],
        "channels": 3,
        "fit": "stretch",
        "ground": 0,
        "split": {"val": 0.1, "test": 0.1, "group_pattern": None, "near_duplicates": None},
    }
    params["preprocess"]["detection"] |= {"count": {"train": 4, "val": 4, "test": 4}, "side": SCENE}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


def write(folder: Path, pictures: Iterator[bytes]) -> list[Path]:
    """Files of two classes."""
    paths = []
    for number, content in enumerate(pictures):
        path = folder / f"class {number % 2}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    return paths


def generated(slope: float, grain: float) -> Iterator[bytes]:
    """Without end, of quality 85 to 95. `slope`: how the spectrum falls; `grain`: in grey levels."""
    rng = np.random.default_rng(0)
    canvases = [canvas(rng, slope) for _ in range(CANVASES)]
    width, height = SIZE
    while True:
        x, y = rng.integers(0, CANVAS - width), rng.integers(0, CANVAS - height)
        picture = canvases[rng.integers(CANVASES)][y : y + height, x : x + width].copy()
        for _ in range(6):
            colour = rng.integers(0, 256, 3).tolist()
            centre, axes = rng.integers(0, SIZE).tolist(), rng.integers(10, 80, 2).tolist()
            cv2.ellipse(picture, centre, axes, float(rng.integers(180)), 0, 360, colour, -1, cv2.LINE_AA)
        grains = np.rint(grain * rng.standard_normal((height, width, 1)))
        noisy = (picture + grains).clip(0, 255).astype(np.uint8)
        yield encoded(Image.fromarray(noisy), quality=int(rng.integers(85, 96)))


def canvas(rng: np.random.Generator, slope: float) -> Bytes:
    """[CANVAS, CANVAS, 3] of random phases whose amplitudes fall with the frequency to the power of `slope`.

    D. J. Field 1987, "Relations between the statistics of natural images": about 1.
    """
    frequency = np.hypot(np.fft.fftfreq(CANVAS)[:, None], np.fft.rfftfreq(CANVAS))
    frequency[0, 0] = np.inf
    shape = (3, *frequency.shape)
    spectra = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / frequency**slope
    light, red, blue = np.fft.irfft2(spectra, (CANVAS, CANVAS))
    colours = np.stack([light + red / 4, light, light + blue / 4], axis=-1)
    return np.asarray(128 + 45 * colours / colours.std()).clip(0, 255).astype(np.uint8)


def moved(paths: list[Path]) -> Iterator[bytes]:
    """Without end: each of them as it is, then each moved by a block of its compression more every time."""
    for number in itertools.count():
        for path in paths:
            with JpegImagePlugin.JpegImageFile(path) as image:
                if image.size != SIZE:
                    raise SystemExit(f"{path}: {image.width} x {image.height}, want {SIZE[0]} x {SIZE[1]}")
                pixels = np.roll(np.asarray(image.convert("RGB")), 16 * number, axis=1)
                tables, thinned = image.quantization, JpegImagePlugin.get_sampling(image)
            yield encoded(Image.fromarray(pixels), qtables=tables, subsampling=thinned)


def encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()
