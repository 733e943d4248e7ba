"""The pictures of one task, from the source to the splits: decoded, checked, labelled, without repeats."""

import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from stages.core.errors import DataError
from stages.core.packed import UNCLASSED, Split, binary_names, targets_of
from stages.intake.side_by_side import cores
from stages.preprocess.gathering import Gathered, Gathering, gather, sift
from stages.preprocess.splitting import split_rows, strata_of_boxes
from stages.sources.idx import picture_size
from stages.sources.params import CropsParams, IdxParams, Policy
from stages.sources.policy import Findings, commonest_reason, refuse_too_many
from stages.sources.preparation import BoxSource, PictureSource, form_of
from stages.sources.rows import Found

TaskName = Literal["classification", "detection"]
"""The two halves of section `preprocess`: pictures of one thing each, and pictures with boxes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """What both tasks of one run share."""

    raw: Path
    """The folder that sources are read from."""
    seed: int
    policy: Policy
    scratch: Path
    """An empty folder on the disk that the outputs go to."""
    cache: Path | None
    """The folder of pictures decoded before; None: every picture is decoded."""
    found: dict[str, Findings] = field(default_factory=dict)
    """What was found so far, by the task; it is told also where the stage stops."""

    def findings_of(self, task: TaskName) -> Findings:
        """The findings of a task, which are noted as they come."""
        return self.found.setdefault(task, Findings(self.policy))


@dataclass(frozen=True, kw_only=True, slots=True)
class SortedPictures:
    """Pictures of one task, checked and split."""

    gathered: Gathered
    classes: list[str]
    numbers: dict[str, int]
    """The label of each class by its name."""
    rows: dict[Split, npt.NDArray[np.int64]]
    """Indices into `gathered` of each split's pictures, [N] each."""

    def splits(self) -> dict[str, Split]:
        """The split of each picture, by the words that findings name the picture with."""
        return {self.gathered.where[row]: split for split, rows in self.rows.items() for row in rows}

    def with_unclassed_last(self) -> "SortedPictures":
        """Sort the pictures that have no class behind the others of their split."""
        if () not in self.gathered.labels.different():
            return self
        rows = {
            split: np.array(sorted(rows.tolist(), key=lambda row: not self.gathered.labels[row]), np.int64)
            for split, rows in self.rows.items()
        }
        return replace(self, rows=rows)

    def labels(self, split: Split) -> Iterator[npt.NDArray[np.int64]]:
        """Labels [K] of each picture of the split, one picture after the other."""
        return (_labels_of(self.gathered, row, self.numbers) for row in self.rows[split])

    def all_labels(self, split: Split) -> npt.NDArray[np.int64]:
        """Labels [M] of all pictures of the split in one array."""
        names = chain.from_iterable(self.gathered.labels[row] for row in self.rows[split])
        return np.fromiter((self.numbers[name] for name in names), dtype=np.int64)


def sort_pictures(
    found: Found,
    params: PictureSource | BoxSource | CropsParams,
    task: TaskName,
    settings: RunSettings,
    findings: Findings,
) -> SortedPictures:
    """Decode, check, sift and split what a source gives.

    Raises:
        DataError: The policy stops at a finding, or pictures cannot be split as the params ask.

    """
    gathering = gathering_for(params, task, settings)
    with _imported_meanwhile("sklearn.model_selection"):
        gathered = gather(found, gathering, findings)
    if 0 < gathered.reach <= 1:
        raise DataError(
            f"preprocess.{task}: every box lies within the first pixel of its picture: they are written as "
            "shares, not in pixels; multiply them by the pictures' sides, or, of a table, say `unit: shares`"
        )
    rows, groups = sift(gathered, gathering, findings)
    refuse_too_many(gathered.seen - len(rows), gathered.seen, task, findings)
    refuse_too_many(gathered.boxes_refused, gathered.boxes_seen, task, findings, what="boxes")
    if not len(rows):
        raise DataError(
            f"{settings.raw}: no picture for {task} as preprocess.{task} describes it"
            f"{commonest_reason(findings)}"
        )
    classes = params.classes or sorted({label for row in rows for label in gathered.labels[row]})
    if not classes and not (task == "classification" and gathered.attributes):
        raise DataError(
            f"{settings.raw}: none of {len(rows)} pictures for {task} has a box as preprocess.{task} "
            f"describes it{commonest_reason(findings)}"
        )
    refuse_twins(classes, f"preprocess.{task}")
    numbers = {name: label for label, name in enumerate(classes)}
    try:
        parts = split_rows(
            [gathered.splits[row] for row in rows],
            _strata(task, gathered, rows, numbers),
            groups,
            None if isinstance(params, CropsParams) else params.split,
            settings.seed,
            f"preprocess.{task}",
        )
    except DataError as error:  # more pictures may have been refused than are left
        raise DataError(f"{error}{commonest_reason(findings)}") from None
    return SortedPictures(
        gathered=gathered,
        classes=classes,
        numbers=numbers,
        rows={split: rows[part] for split, part in parts.items()},
    )


def refuse_twins(classes: Sequence[str], where: str) -> None:
    """Refuse two classes that look the same, as when one computer writes an accent as a character of its own.

    Raises:
        DataError: There are two.

    """
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            raise DataError(
                f"{where}: two classes are called {name!r}, in different characters ({other!a} and "
                f"{name!a}); rename one"
            )


def gathering_for(
    params: PictureSource | BoxSource | CropsParams, task: TaskName, settings: RunSettings
) -> Gathering:
    """How the pictures of a task are gathered."""
    if isinstance(params, IdxParams):  # its pictures are stored as pixels: nothing to decode, nothing to keep
        stored, processes, cache = (*picture_size(settings.raw), 1), 0, None
    else:
        stored, processes, cache = None, cores(), settings.cache
    split = None if isinstance(params, CropsParams) else params.split  # crops stand where their pictures do
    return Gathering(
        form=form_of(params, settings.policy, stored),
        raw=settings.raw,
        classes=params.classes,
        group_pattern=split.group_pattern if split else None,
        near_duplicates=split.near_duplicates if split else None,
        scratch=settings.scratch / task,
        processes=processes,
        cache=cache,
    )


@contextmanager
def _imported_meanwhile(module: str) -> Iterator[None]:
    """Import a module in a thread: it takes a second in which this process only waits for others."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(import_module, module)
        yield


def _strata(
    task: TaskName, gathered: Gathered, rows: npt.NDArray[np.int64], numbers: dict[str, int]
) -> npt.NDArray[np.int64]:
    """The class that each picture [N] stands for when the splits are drawn in proportion."""
    if task == "classification":  # an array of one label for each of a million pictures would take memory
        strata = np.fromiter((first_label(gathered, row, numbers) for row in rows), dtype=np.int64)
        return _with_unclassed(strata, gathered, rows, len(numbers))
    return strata_of_boxes([_labels_of(gathered, row, numbers) for row in rows], len(numbers))


def first_label(gathered: Gathered, row: int, numbers: dict[str, int]) -> int:
    """The label of a picture that is classified as a whole; `UNCLASSED` where it has no class."""
    names = gathered.labels[row]
    return numbers[names[0]] if names else UNCLASSED


def _with_unclassed(
    strata: npt.NDArray[np.int64], gathered: Gathered, rows: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.int64]:
    """The strata [N], in which a picture without a class stands for the rarest attribute that it has."""
    without = np.flatnonzero(strata == UNCLASSED)
    if not len(without):
        return strata
    columns = {name: np.asarray(column)[rows[without]] for name, column in gathered.attributes.items()}
    names = binary_names(columns)
    targets = targets_of(columns, names, len(without))
    strata[without] = classes + strata_of_boxes([np.flatnonzero(one == 1) for one in targets], len(names))
    return strata


def _labels_of(gathered: Gathered, row: int, numbers: dict[str, int]) -> npt.NDArray[np.int64]:
    return np.array([numbers[name] for name in gathered.labels[row]], dtype=np.int64)
