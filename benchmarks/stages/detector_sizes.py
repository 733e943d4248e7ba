"""Does average precision depend on how large a picture is, and on where in it the objects are? It must not.

Every test scene is laid at a random position into a picture of its ground, of 96 (the scene itself), 256,
512 and 1,024 px, and the detector's mAP is measured on all of them. Coordinates that are coarse far from the
corner, as those of bfloat16 are, would show. What is found in the ground has a column of its own: such a
ground is in no scene, and more of it holds more false alarms. `python -m benchmarks.stages.detector_sizes`
needs what `darkroom run train-detector` leaves; `--detector` and `--data` name other files, `--scenes` takes
the first of them alone. 1,000 scenes take some 20 minutes of one core.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.stages.training import PARAMS, ROOT
from stages.core.packed import DetectionSplit, load_detection
from stages.core.params import ComputeParams, load_params
from stages.detector.average_precision import AveragePrecision, average_precision, precision
from stages.detector.network import Detection, Detector, detect, load_detector
from stages.networks.compute import Compute, prepare

SIDES = (256, 512, 1024)
SEED = 1
PIXELS = 2**22  # of all pictures that the network sees at once


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT / "data/prepared/detection")
    parser.add_argument("--detector", type=Path, default=ROOT / "data/models/detector.safetensors")
    parser.add_argument("--scenes", type=int)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    compute = prepare(load_params(PARAMS, "compute", ComputeParams))
    network = compute.network(load_detector(arguments.detector))
    test = first(load_detection(arguments.data, "test"), arguments.scenes)
    scenes = "" if arguments.scenes is None else f" --scenes {arguments.scenes}"
    lines = [
        "# Average precision by the size of pictures\n",
        f"`python -m benchmarks.stages.detector_sizes{scenes}` on {describe()}.\n",
        f"{len(test.images):,} scenes at random places of larger pictures.\n",
        "| side | mAP | mAP@50 | mAP less than that of the scenes | mAP with what is found in the ground |",
        "|---|---|---|---|---|",
    ]
    sides = (test.images.shape[1], *SIDES)
    measurements = [measured(network, test, side, compute) for side in sides]
    own = measurements[0][0].map
    lines += [
        f"| {side} | {s.map:.4f} | {s.map50:.4f} | {own - s.map:+.4f} | {everywhere.map:.4f} |"
        for side, (s, everywhere) in zip(sides, measurements, strict=True)
    ]
    report = "\n".join(lines)
    print(report)
    if arguments.out:
        arguments.out.write_text(report + "\n")


def first(split: DetectionSplit, number: int | None) -> DetectionSplit:
    """The first so many pictures; all for None."""
    return DetectionSplit(
        images=np.asarray(split.images[:number]),
        boxes=split.boxes[:number],
        labels=split.labels[:number],
        classes=split.classes,
    )


def measured(
    network: Detector, scenes: DetectionSplit, side: int, compute: Compute
) -> tuple[AveragePrecision, AveragePrecision]:
    """COCO's figures in pictures of `side` px: of what is found in the scenes, and of all that is found."""
    laid, corners = laid_into(scenes, side)
    found = detect(network, laid.images, compute, max(1, PIXELS // side**2))
    inside = [in_scene(one, at, scenes.images.shape[1:3]) for one, at in zip(found, corners, strict=True)]
    of_scenes, everywhere = (
        average_precision(precision(each, laid.boxes, laid.labels, laid.classes)) for each in (inside, found)
    )
    return of_scenes, everywhere


def laid_into(split: DetectionSplit, side: int) -> tuple[DetectionSplit, list[tuple[int, int]]]:
    """Each picture at a random place of a larger one, `side` px each way, with its boxes; and the places.

    Around it its outermost pixels go on: at any edge that no scene has the detector would see something.
    """
    draw = np.random.default_rng(SEED)
    number, height, width, channels = split.images.shape
    images = np.empty((number, side, side, channels), dtype=np.uint8)
    boxes, corners = [], []
    for row, image in enumerate(split.images):
        x, y = int(draw.integers(side - width + 1)), int(draw.integers(side - height + 1))
        around = ((y, side - height - y), (x, side - width - x), (0, 0))
        images[row] = np.pad(image, around, mode="edge")
        boxes.append(split.boxes[row] + np.array([x, y, x, y], dtype=np.float32))
        corners.append((x, y))
    laid = DetectionSplit(images=images, boxes=boxes, labels=split.labels, classes=split.classes)
    return laid, corners


def in_scene(found: Detection, corner: tuple[int, int], size: Sequence[int]) -> Detection:
    """The detections whose middle lies in a scene of `size` (height, width) at this place."""
    boxes, labels, scores = found
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 - corner
    kept = ((middle >= 0) & (middle <= size[::-1])).all(axis=1)
    return boxes[kept], labels[kept], scores[kept]


if __name__ == "__main__":
    main()
