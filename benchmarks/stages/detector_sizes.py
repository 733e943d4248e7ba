"""Does average precision depend on how large a picture is, and on where in it the objects are? It must not.

Every test scene is laid at a random position into a picture of its ground, of 96 (the scene itself), 256,
512 and 1,024 px, and the detector's mAP is measured on all of them. Coordinates that are coarse far from the
corner, as those of bfloat16 are, would show. `python -m benchmarks.stages.detector_sizes` needs what
`darkroom run train-detector` leaves; `--detector` and `--data` name other files, `--scenes` takes the first
of them alone.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.stages.training import PARAMS, ROOT
from stages.core.packed import DetectionSplit, load_detection
from stages.core.params import ComputeParams, load_params
from stages.detector.average_precision import AveragePrecision, average_precision, precision
from stages.detector.network import Detector, detect, load_detector
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
        "| side | mAP | mAP@50 | mAP less than that of the scenes |",
        "|---|---|---|---|",
    ]
    own = measured(network, test, compute)
    sides = {test.images.shape[1]: own}
    sides |= {side: measured(network, laid_into(test, side), compute) for side in SIDES}
    lines += [
        f"| {side} | {s.map:.4f} | {s.map50:.4f} | {own.map - s.map:+.4f} |" for side, s in sides.items()
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


def laid_into(split: DetectionSplit, side: int) -> DetectionSplit:
    """Each picture at a random place of a larger one, `side` px each way, with its boxes.

    Around it stands the median of its border: black would be an edge that no scene has.
    """
    draw = np.random.default_rng(SEED)
    number, height, width, channels = split.images.shape
    images = np.empty((number, side, side, channels), dtype=np.uint8)
    boxes = []
    for row, image in enumerate(split.images):
        x, y = int(draw.integers(side - width + 1)), int(draw.integers(side - height + 1))
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        images[row] = np.median(border, axis=0)
        images[row, y : y + height, x : x + width] = image
        boxes.append(split.boxes[row] + np.array([x, y, x, y], dtype=np.float32))
    return DetectionSplit(images=images, boxes=boxes, labels=split.labels, classes=split.classes)


def measured(network: Detector, split: DetectionSplit, compute: Compute) -> AveragePrecision:
    """COCO's figures of the detector on the pictures."""
    batch = max(1, PIXELS // int(np.prod(split.images.shape[1:3])))
    found = detect(network, split.images, compute, batch)
    return average_precision(precision(found, split.boxes, split.labels, split.classes))


if __name__ == "__main__":
    main()
