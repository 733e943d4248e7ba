"""Models with random weights, saved as the stages save them, and params.yaml that fits them."""

from pathlib import Path
from typing import Any

import torch

from stages.classifier.network import build_classifier
from stages.detector.network import build_detector
from stages.networks.model_files import save_model
from tests.stages.detector.detector_networks import FASTER
from tests.stages.param_files import COMPUTE, POLICY

SPLIT = {"val": 0.2, "test": 0.2, "group_pattern": None, "near_duplicates": None}
LABELS = ["berry", "leaf", "sky"]
BOX_LABELS = ["cat", "dog"]
CLASSIFIER: dict[str, Any] = {
    "classes": LABELS,
    "mean": [0.3, 0.4, 0.5],
    "std": [0.2, 0.2, 0.2],
    "size": [16, 20],
    "network": {"model": "compact", "widths": [[8], [8]], "grid": 2, "features": 8},
    "views": 2,
}
DETECTOR: dict[str, Any] = {
    "classes": BOX_LABELS,
    "size": [48, 64],
    "channels": 3,
    "network": FASTER | {"score_min": 0.0, "detections_max": 5},
}


def params_for_models() -> dict[str, Any]:
    """params.yaml of pictures that are stretched for the classifier and padded for the detector."""
    pictures = {"channels": 3, "ground": 7, "split": SPLIT}
    classification = {"format": "image-folder", "folder": "pictures", "classes": LABELS, "shape": [16, 20]}
    annotations = {"train": "a.json", "val": None, "test": None, "all": None}
    detection = {"format": "coco", "annotations": annotations, "pictures": ".", "classes": BOX_LABELS}
    return {
        "compute": COMPUTE,
        "libraries": {},
        "preprocess": {
            "classification": classification | pictures | {"fit": "stretch"},
            "detection": detection | pictures | {"fit": "pad", "shape": [48, 64]},
            "policy": POLICY,
            "shard_megabytes": 1,
        },
        "score": {"batch": 3, "max_megabytes": 1, "drawn_score_min": 0.3, "drawn_side": 200},
    }


def save_models(folder: Path) -> tuple[Path, Path]:
    """A classifier and a detector of pictures as those params say."""
    torch.manual_seed(3)
    files = folder / "classifier.safetensors", folder / "detector.safetensors"
    classifier = build_classifier(CLASSIFIER)
    classifier(torch.rand(32, 3, 16, 20))  # moves the normalisations' statistics off their start
    save_model(files[0], classifier, kind="classifier", config=CLASSIFIER)
    save_model(files[1], build_detector(DETECTOR), kind="detector", config=DETECTOR)
    return files
