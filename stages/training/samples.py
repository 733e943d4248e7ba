"""Pictures that a training saves for `evaluate` to draw, so that trainers do not depend on drawing.

A training without work writes files that say so. Samples are arrays in safetensors: reading them runs no
code, and the same arrays give the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from stages.core.errors import DataError
from stages.core.files import write_atomically
from stages.core.tables import write_metrics, write_table
from stages.networks.model_files import save_no_model

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierSamples:
    """One picture of each class: as it is, then as the network is shown it in one epoch after the other."""

    pictures: Pictures
    """uint8 [R, E, H, W, C]."""
    labels: npt.NDArray[np.int64]
    """int64 [R]: the class of each row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorSamples:
    """Pictures with their boxes: as they are, then as the network is shown them."""

    pictures: Pictures
    """uint8 [R, E, H, W, C]."""
    box_counts: npt.NDArray[np.int64]
    """int64 [R, E]: how many of the boxes belong to each picture, in reading order."""
    boxes: npt.NDArray[np.float32]
    """float32 [M, 4]: xyxy, pixels."""
    labels: npt.NDArray[np.int64]
    """int64 [M]: the class of each box."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorSamples:
    """Pictures of the same latent vectors at several times of training, class after class."""

    epochs: npt.NDArray[np.int64]
    """int64 [E]: the epochs after which a sheet is drawn."""
    epoch_pictures: Pictures
    """uint8 [E, N, H, W, C]."""
    steps: npt.NDArray[np.int64]
    """int64 [F]: the steps after which a frame of the film is drawn."""
    step_pictures: Pictures
    """uint8 [F, N, H, W, C]."""


Samples = ClassifierSamples | DetectorSamples | GeneratorSamples
Kind = TypeVar("Kind", ClassifierSamples, DetectorSamples, GeneratorSamples)


def write_samples(path: Path, samples: Samples) -> None:
    """Write the arrays to `path`, atomically."""
    arrays = {entry.name: np.ascontiguousarray(getattr(samples, entry.name)) for entry in fields(samples)}
    write_atomically(path, save(arrays))


def read_samples(path: Path, kind: type[Kind]) -> Kind:
    """Read what `write_samples` wrote.

    Raises:
        DataError: The file is missing or damaged, or holds samples of another kind.

    """
    try:
        arrays: dict[str, Any] = load(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; the training that writes it has to run first") from None
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be read ({error}); train again") from None
    wanted = {entry.name for entry in fields(kind)}
    if set(arrays) != wanted:
        raise DataError(f"{path}: holds {sorted(arrays)}, not {sorted(wanted)}; train again")
    return kind(**arrays)


def leave_out(
    stage: str,
    why: str,
    *,
    model: Path,
    samples: Path,
    metrics: Path,
    tables: Mapping[Path, Sequence[str]],
    checkpoint: Path,
) -> None:
    """Write a file in place of the model, no samples, no figures, and `tables` with their columns alone.

    `why` names the key of params.yaml that leaves the training nothing to do. A checkpoint of a training
    before is removed.
    """
    save_no_model(model, why)
    write_atomically(samples, save({}))
    write_metrics(metrics, {})
    for path, columns in tables.items():
        write_table(path, {column: [] for column in columns})
    checkpoint.unlink(missing_ok=True)
    print(f"{stage}: nothing to do: {why}")
