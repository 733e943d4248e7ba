"""The training pictures that a classifier takes for most like a picture: the nearest by its features.

Features are the layer before the head. Nearness is the angle between them (cosine), as in Z. Wu et al. 2018,
"Unsupervised Feature Learning via Non-Parametric Instance Discrimination", https://arxiv.org/abs/1805.01978,
and N. Papernot, P. McDaniel 2018, "Deep k-Nearest Neighbors", https://arxiv.org/abs/1803.04765: the length of
features says how sure a network is rather than of what.

The features of the training pictures are computed once for each model and data, and kept.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from stages.classifier.network import Classifier, attributes_of, features_of
from stages.core.errors import DataError, ModelError
from stages.core.packed import ClassificationSplit, PictureSource, Split, load_classification, load_sources
from stages.networks.compute import Compute
from stages.prediction.answers import Neighbour

KEPT = Path(".darkroom/features")
"""The folder that keeps features; `darkroom gc` removes those that have not been used for long."""
FILES_MOST = 4
"""Files of features kept: the last used ones."""
PICTURES_MOST = 100_000
"""Training pictures that are looked at; of more of them so many, drawn at random."""
SEED = 0
BLOCK = 2_000
"""Pictures whose features are computed, or compared, at once."""
TRAIN: Split = "train"

Features = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownPictures:
    """The training pictures, with their features."""

    features: Features
    """[N, F], each of length 1; mapped from a file."""
    rows: Rows
    """[N]: the row of each in the packed split."""
    split: ClassificationSplit
    sources: Sequence[PictureSource] | None
    """Sources by row; None: the data was packed without them."""

    def nearest(self, features: Features, count: int) -> list[tuple[Neighbour, ...]]:
        """The `count` nearest ones to each of the features [M, F], the nearest first."""
        asked = _unit(features)
        best = np.zeros((len(asked), 0)), np.zeros((len(asked), 0), dtype=np.int64)
        for start in range(0, len(self.features), BLOCK):
            block = np.asarray(self.features[start : start + BLOCK])
            distances = np.hstack([best[0], 1 - asked @ block.T])  # [M, up to count + BLOCK]
            places = np.hstack([best[1], np.tile(np.arange(start, start + len(block)), (len(asked), 1))])
            order = np.argsort(distances, axis=1, kind="stable")[:, :count]
            best = np.take_along_axis(distances, order, 1), np.take_along_axis(places, order, 1)
        pairs = zip(best[0].tolist(), best[1].tolist(), strict=True)
        return [
            tuple(self._neighbour(place, distance) for distance, place in zip(*pair, strict=True))
            for pair in pairs
        ]

    def _neighbour(self, place: int, distance: float) -> Neighbour:
        row = int(self.rows[place])
        label = int(self.split.labels[row])
        return Neighbour(
            picture=self.sources[row].picture if self.sources else f"{TRAIN} {row}",
            row=row,
            label=self.split.classes[label] if label >= 0 else None,
            distance=max(0.0, distance),
        )


def known_pictures(
    network: Classifier, model: Path, data: Path, compute: Compute, *, kept: Path = KEPT
) -> KnownPictures:
    """The training pictures that preprocess packed in the folder `data`, with their features.

    `network` is what the file `model` holds, on `compute`'s device. The features are read from the folder
    `kept` if they are there, else computed and written to it.

    Raises:
        DataError: The packed pictures are missing, damaged, or of another form than the network's.
        ModelError: The network's features are not finite.

    """
    split = load_classification(data, TRAIN, unclassed=bool(attributes_of(network.config)))
    form = (*network.config["size"], len(network.config["mean"]))
    if split.images.shape[1:] != form:
        raise DataError(
            f"{data}: pictures of {' x '.join(map(str, split.images.shape[1:]))}, {model} was trained on"
            f" {' x '.join(map(str, form))}; name the folder of its training pictures by --data"
        )
    if not len(split.images):
        raise DataError(f"{data / TRAIN}: no picture; rerun preprocess")
    rows = np.arange(len(split.images))
    if len(rows) > PICTURES_MOST:
        rows = np.sort(np.random.default_rng(SEED).permutation(len(rows))[:PICTURES_MOST])
    path = kept / f"{_key(model, data, compute)}.npy"
    features = _read(path, len(rows))
    if features is None:
        _write(path, network, split, rows, compute)
        features = np.load(path, mmap_mode="r")
    os.utime(path)  # `darkroom gc` and `_remove_old` go by when it was last used
    return KnownPictures(features=features, rows=rows, split=split, sources=load_sources(data, TRAIN))


def _key(model: Path, data: Path, compute: Compute) -> str:
    """A name for features, which is another one for another model, other pictures or another precision."""
    total = hashlib.sha256(f"{compute.describe()} {PICTURES_MOST} {SEED}".encode())
    for path in (model, *sorted((data / TRAIN).glob("images*"))):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:32]


def _read(path: Path, count: int) -> Features | None:
    """The features of so many pictures; None: they are not there, or the file is damaged."""
    try:
        features: Features = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return features if features.ndim == 2 and len(features) == count else None


def _write(path: Path, network: Classifier, split: ClassificationSplit, rows: Rows, compute: Compute) -> None:
    """Compute the features of these rows of the split, and write them block by block."""
    _make_folder(path.parent)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial")
    print(f"{len(rows):,} training pictures are looked at once; kept in {path.parent}", file=sys.stderr)
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    try:
        with partial.open("wb") as file:
            for block in tqdm(blocks, disable=not sys.stderr.isatty(), leave=False):
                features = features_of(network, split.images[block], compute, BLOCK // 8)
                if not np.isfinite(features).all():
                    raise ModelError("the classifier's features are not finite; train it again")
                if block is blocks[0]:
                    shape = (len(rows), features.shape[1])
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(_unit(features).astype("<f4").tobytes())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _remove_old(path.parent)


def _make_folder(folder: Path) -> None:
    """The folder of features; `.darkroom` above it keeps itself out of git and of DVC's hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (".gitignore", ".dvcignore"):
        ignored = folder / name
        if not ignored.exists():
            ignored.write_text("*\n")


def _remove_old(folder: Path) -> None:
    """Keep the files that were used last, and what is being written now."""
    files = sorted(folder.glob("[!.]*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[FILES_MOST:]:
        path.unlink(missing_ok=True)


def _unit(features: Features) -> Features:
    """Features [N, F] as vectors of length 1; those of length 0 stay."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
