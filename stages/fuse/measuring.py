"""Figures of everything that was fused: by picture, by method, and as the trained networks see it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from stages.classifier.network import Classifier
from stages.fuse.kinds import Kind
from stages.fuse.networks import accuracy, map50
from stages.fusion.metrics import figures, mean_figure
from stages.fusion.pixels import Pictures, eight_bits
from stages.fusion.sets import FusedSet
from stages.networks.compute import Compute

KEYS = ["kind", "picture", "method"]
Summary = dict[str, dict[str, dict[str, float | None]]]
"""By kind, by method (or `sources`, `truth`), by figure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Networks:
    """Who says what is seen in a picture, on the device."""

    classifier: Classifier
    detector: nn.Module
    compute: Compute
    batch_size: int


def measure(fused: dict[str, list[FusedSet]]) -> pd.DataFrame:
    """A row for each fused picture: its kind, its name, the method, every figure; NaN where it has none."""
    rows = [
        pd.DataFrame({"kind": kind, "picture": one.of.names, "method": method} | measured)
        for kind, sets in fused.items()
        for one in sets
        for method, pictures in one.fused.items()
        for measured in [figures(one.of.sources, pictures, one.of.truth)]
    ]
    return pd.concat(rows, ignore_index=True)


def means(table: pd.DataFrame) -> Summary:
    """Of each kind and method the mean of each figure that all its pictures have."""
    summary: Summary = {}
    for (kind, method), rows in table.groupby(["kind", "method"], sort=False):
        known = rows.drop(columns=KEYS).dropna(axis="columns")
        summary.setdefault(str(kind), {})[str(method)] = {
            str(name): mean_figure(str(name), values.to_numpy()) for name, values in known.items()
        }
    return summary


def seen(kind: Kind, fused: FusedSet, networks: Networks) -> dict[str, dict[str, float]]:
    """How well the networks see what the pictures of a kind's only set show: sources, truth, each method.

    `accuracy` is the classifier's, `map50` the detector's (COCO's average precision at IoU .50); of several
    sources it is the mean.
    """
    sources = np.moveaxis(fused.of.sources, 1, 0)  # [S, N, H, W, C]
    by = {"sources": [*sources], "truth": [] if fused.of.truth is None else [fused.of.truth]}
    by |= {method: [pictures] for method, pictures in fused.fused.items()}
    asked = {who: [_ask(kind, pictures, networks) for pictures in versions] for who, versions in by.items()}
    name = "accuracy" if kind.labels is not None else "map50"
    return {who: {name: float(np.mean(answers))} for who, answers in asked.items() if answers}


def _ask(kind: Kind, pictures: Pictures, networks: Networks) -> float:
    compute, batch_size = networks.compute, networks.batch_size
    if kind.labels is not None:
        return accuracy(networks.classifier, pictures, kind.labels, compute, batch_size)
    assert kind.scenes is not None, "nobody knows what the pictures show"
    return map50(networks.detector, eight_bits(pictures), kind.scenes, compute, batch_size)
