"""Tiny detectors of every model, for tests."""

from typing import Any

FOUND: dict[str, Any] = {"score_min": 0.02, "overlap_max": 0.5, "detections_max": 10}
HEADS: dict[str, Any] = {"roi_batch": 16, "roi_positive": 0.5, **FOUND}
BODY: dict[str, Any] = {
    "backbone": {"model": "residual", "widths": [8, 16, 24], "blocks": [1, 1]},
    "features": 16,
}
POOLED: dict[str, Any] = {**BODY, "roi_stride": 4, "roi_size": 6, "roi_width": 16, "roi_hidden": 32, **HEADS}
ANCHORS: dict[str, Any] = {"anchor_sizes": [12.0, 20.0], "anchor_ratios": [0.5, 1.0, 2.0]}
REGIONS: dict[str, Any] = {"source": "regions", "count": 30}
COMPACT: dict[str, Any] = {"model": "compact", "widths": [[8], [16]], "grid": 2, "features": 16}

FASTER: dict[str, Any] = {
    "model": "faster-rcnn",
    **POOLED,
    **ANCHORS,
    "rpn_stride": 8,
    "proposal_candidates": 80,
    "proposal_overlap_max": 0.7,
    "proposals_train": 40,
    "proposals_test": 20,
    "rpn_batch": 32,
}
FAST: dict[str, Any] = {"model": "fast-rcnn", **POOLED, "proposals": REGIONS}
R_CNN: dict[str, Any] = {
    "model": "r-cnn",
    **HEADS,
    "proposals": REGIONS,
    "classifier": {"source": "fresh", "network": COMPACT, "crop": [16, 16]},
}
SSD: dict[str, Any] = {"model": "ssd", **BODY, **ANCHORS, "strides": [4, 8], "candidates": 50, **FOUND}
NETWORKS = {network["model"]: network for network in (FASTER, FAST, R_CNN, SSD)}

CHOICES: dict[str, Any] = {
    "weights": None,
    "frozen": 0,
    "patience": None,
    "scales": [1.0],
    "augmentations": [],
    "visible_min": 0.3,
    "calibrate": True,
    "sheet_rows": 2,
}
"""What section train-detector has beside the network and its schedule: nothing of it."""
