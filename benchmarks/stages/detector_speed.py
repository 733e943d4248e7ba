"""How fast the detector of params.yaml trains and detects on a processor, against torchvision's as it comes.

Against `fasterrcnn_mobilenet_v3_large_320_fpn`, its smallest Faster R-CNN: told to leave pictures at the size
that both are given, and as it comes, when it enlarges them to 320 px. By turns, on the same pictures and
boxes, with the threads of params.yaml; the median of some steps.

run      python -m benchmarks.stages.detector_speed --out benchmarks/stages/results/detector_speed.md
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from benchmarks.machine import describe
from stages.core.params import ComputeParams
from stages.detector.network import Targets, build_detector, to_targets
from stages.networks.compute import Compute, prepare

ROOT = Path(__file__).parents[2]
CLASSES = 10
BATCH = 8
ITEMS = 5  # boxes a picture
RATE = 1e-4  # of learning: what is learnt does not matter, but it must not run away


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=96, help="of the pictures, in pixels both ways")
    parser.add_argument("--steps", type=int, default=5, help="of each, after a first that does not count")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    compute = prepare(ComputeParams(**params["compute"]))
    images, targets = batch(asked.size, compute)
    rivals = steps(params["train-detector"]["network"], asked.size, images, targets, compute)
    took: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(1 + asked.steps):
        for name, step in rivals.items():
            start = time.perf_counter()
            step()
            took[name].append(time.perf_counter() - start)
    speed = {name: BATCH / statistics.median(seconds[1:]) for name, seconds in took.items()}
    command = f"python -m benchmarks.stages.detector_speed --size {asked.size} --steps {asked.steps}"
    told = f"`{command}` on {describe()}; {compute.dtype}, {torch.get_num_threads()} thread(s).\n"
    page = "\n".join(["# The detector's speed\n", told, *table(speed)])
    print(page)
    if asked.out:
        asked.out.write_text(page + "\n")


def batch(size: int, compute: Compute) -> tuple[torch.Tensor, Targets]:
    """Pictures [B, 3, size, size] of noise, with boxes from a sixth to a third of their side."""
    draw = np.random.default_rng(0)
    images = torch.from_numpy(draw.random((BATCH, 3, size, size), dtype=np.float32))
    corners = draw.uniform(0, size / 2, (BATCH, ITEMS, 2))
    sides = draw.uniform(size / 6, size / 3, (BATCH, ITEMS, 2))
    boxes = np.concatenate([corners, corners + sides], axis=2).astype(np.float32)
    return images, to_targets(list(boxes), list(draw.integers(0, CLASSES, (BATCH, ITEMS))), compute)


def steps(
    network: dict[str, object], size: int, images: torch.Tensor, targets: Targets, compute: Compute
) -> dict[str, Callable[[], None]]:
    """Of training and detecting, each on the whole batch, by name."""
    ours = build_detector({"classes": ["item"] * CLASSES, "channels": 3, "network": network})
    plain = {"weights": None, "weights_backbone": None, "num_classes": CLASSES + 1}
    same = fasterrcnn_mobilenet_v3_large_320_fpn(**plain, min_size=size, max_size=size)
    theirs = fasterrcnn_mobilenet_v3_large_320_fpn(**plain)
    plainly = Compute(device=compute.device, dtype=torch.float32)  # torchvision's as it comes
    rivals = {
        "ours": (compute.network(ours), compute),
        "torchvision, same size": (same.to(compute.device), plainly),
        "torchvision, as it comes": (theirs.to(compute.device), plainly),
    }
    made: dict[str, Callable[[], None]] = {}
    for name, (rival, of) in rivals.items():
        pictures = list(of.images(images))
        made[f"{name}: train"] = training_step(rival, pictures, targets, of)
        made[f"{name}: detect"] = detection_step(rival, pictures, of)
    return made


def training_step(
    network: nn.Module, images: list[torch.Tensor], targets: Targets, compute: Compute
) -> Callable[[], None]:
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)

    def step() -> None:
        network.train()
        with compute.autocast():
            losses = network(images, targets)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()

    return step


def detection_step(network: nn.Module, images: list[torch.Tensor], compute: Compute) -> Callable[[], None]:
    @torch.inference_mode()
    def step() -> None:
        network.eval()
        with compute.autocast():
            network(images)

    return step


def table(speed: dict[str, float]) -> list[str]:
    """Pictures a second, and how many times as many ours are."""
    lines = ["| pictures a second | training | ours is faster by | detecting | ours is faster by |"]
    lines.append("|---|---|---|---|---|")
    for name in dict.fromkeys(key.partition(":")[0] for key in speed):
        cells = [name]
        for what in ("train", "detect"):
            of = speed[f"{name}: {what}"]
            cells += [f"{of:.1f}", "" if name == "ours" else f"{speed[f'ours: {what}'] / of:.1f} x"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
