"""What the networks see in fused pictures, from the arrays that fuse left and the names of what they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score

from benchmarks.stages.audit.detector import map50
from benchmarks.stages.audit.table import Row
from stages.classifier.network import Classifier, predict
from stages.core.packed import ClassificationSplit, DetectionSplit
from stages.detector.network import Detector, detect
from stages.fuse.kinds import choose_pictures
from stages.fuse.params import FuseParams
from stages.fusion.activity import as_trained_on
from stages.fusion.pixels import Pictures, eight_bits
from stages.networks.compute import Compute


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What the made kinds of groups show; None: that task was left out."""

    labels: npt.NDArray[np.int64] | None
    truths: Mapping[str, Pictures]
    """By kind, of those whose truth is known: [N, H, W, C]."""
    scenes: DetectionSplit | None


def shown(
    test: ClassificationSplit | None, scenes: DetectionSplit | None, params: FuseParams, seed: int
) -> Shown:
    """What fuse chose of the test splits."""
    truths: dict[str, Pictures] = {}
    labels = None
    if test is not None:
        chosen = choose_pictures(test, params.pictures, seed=seed)
        labels = chosen.labels
        truths |= dict.fromkeys(("focus", "exposure"), chosen.images)
    if scenes is not None:
        truths["scenes"] = np.asarray(scenes.images[: params.scenes])
    return Shown(labels=labels, truths=truths, scenes=scenes)


def audit_seen(
    found: Mapping[str, Any],
    folder: Path,
    what: Shown,
    classifier: Classifier | None,
    detector: Detector | None,
    compute: Compute,
) -> list[Row]:
    """Compare `accuracy` and `map50` of every kind and method, of the sources and of the truth."""
    rows = []
    for kind in ("focus", "exposure", "generated", "scenes"):
        if not (folder / kind / "sources.npy").exists():
            continue
        for version, parts in _versions(folder / kind, what.truths.get(kind)):
            if kind == "scenes" and detector is not None and what.scenes is not None:
                figure, by = "map50", "COCO's definition"
                values = [
                    map50(detect(detector, eight_bits(part), compute, len(part)), what.scenes)
                    for part in parts
                ]
            elif kind != "scenes" and classifier is not None:
                figure, by = "accuracy", "scikit-learn"
                values = [
                    accuracy_score(
                        what.labels,
                        predict(classifier, as_trained_on(classifier, part), compute=compute).argmax(dim=1),
                    )
                    for part in parts
                ]
            else:
                continue
            rows.append(
                Row(
                    figure=f"{kind}.{version}.{figure}",
                    product=float(found[kind][version][figure]),
                    independent=float(np.mean(values)),
                    by=by,
                )
            )
    return rows


def _versions(folder: Path, truth: Pictures | None) -> Iterator[tuple[str, list[Pictures]]]:
    """The sources, the truth where it is known, and the pictures of each method: [N, H, W, C] each."""
    yield "sources", [*np.moveaxis(np.load(folder / "sources.npy"), 1, 0)]
    if truth is not None:
        yield "truth", [truth]
    for path in sorted(folder.glob("*.npy")):
        if path.stem != "sources":
            yield path.stem, [np.load(path)]
