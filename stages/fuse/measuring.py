"""Figures of everything that was fused: by picture, by method, and as the trained networks see it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from stages.classifier.network import Classifier
from stages.fuse.kinds import FusionKind
from stages.fuse.networks import accuracy, map50
from stages.fusion.metrics import figures, mean_figure
from stages.fusion.pixels import Pictures, eight_bits
from stages.fusion.sets import FusedSet
from stages.networks.compute import Compute

KEYS = ["kind", "picture", "method"]
Summary = dict[str, dict[str, dict[str, float | None]]]
"""Figures by name, below the method (or `sources`, `truth`), below the kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgingNetworks:
    """The trained networks that say what a picture shows, on the device; None: it was not wanted."""

    classifier: Classifier | None
    detector: nn.Module | None
    compute: Compute
    batch_size: int


def measure(fused: dict[str, list[FusedSet]]) -> pd.DataFrame:
    """A row for each fused picture: its kind, name, method, and every figure, NaN where it has none."""
    rows = [
        pd.DataFrame({"kind": kind, "picture": fused_set.inputs.names, "method": method} | measured)
        for kind, sets in fused.items()
        for fused_set in sets
        for method, pictures in fused_set.fused.items()
        for measured in [figures(fused_set.inputs.sources, pictures, fused_set.inputs.truth)]
    ]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame({key: [] for key in KEYS})


def means(table: pd.DataFrame) -> Summary:
    """The mean, for each kind and method, of every figure that all its pictures have."""
    summary: Summary = {}
    for (kind, method), rows in table.groupby(["kind", "method"], sort=False):
        known = rows.drop(columns=KEYS).dropna(axis="columns")
        summary.setdefault(str(kind), {})[str(method)] = {
            str(name): mean_figure(str(name), values.to_numpy()) for name, values in known.items()
        }
    return summary


def network_figures(
    kind: FusionKind, fused: FusedSet, networks: JudgingNetworks
) -> dict[str, dict[str, float]]:
    """Measure how well a network sees what the pictures of a kind's only set show.

    The keys are `sources`, `truth` where it is known, and the methods. Under each stands `accuracy`, which is
    the classifier's, or `map50`, the detector's (COCO's average precision at IoU .50); of several sources the
    mean. There are none where that network is not.
    """
    if (networks.classifier if kind.labels is not None else networks.detector) is None:
        return {}
    sources = np.moveaxis(fused.inputs.sources, 1, 0)  # [S, N, H, W, C]
    truth = [] if fused.inputs.truth is None else [fused.inputs.truth]
    versions = {"sources": [*sources], "truth": truth}
    versions |= {method: [pictures] for method, pictures in fused.fused.items()}
    figure = "accuracy" if kind.labels is not None else "map50"
    return {
        version: {figure: float(np.mean([_network_figure(kind, part, networks) for part in parts]))}
        for version, parts in versions.items()
        if parts
    }


def _network_figure(kind: FusionKind, pictures: Pictures, networks: JudgingNetworks) -> float:
    compute, batch_size = networks.compute, networks.batch_size
    if kind.labels is not None:
        assert networks.classifier is not None
        return accuracy(networks.classifier, pictures, kind.labels, compute, batch_size)
    assert kind.scenes is not None, "nobody knows what the pictures show"
    assert networks.detector is not None
    return map50(networks.detector, eight_bits(pictures), kind.scenes, compute, batch_size)
