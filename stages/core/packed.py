"""What `preprocess` writes and every later stage reads: memory-mapped arrays and COCO annotations.

classification/classes.json              ["T-shirt/top", ...]: a label is an index into it
classification/{train,val,test}/images.npy   uint8 [N, H, W, C]
classification/{train,val,test}/labels.npy   int64 [N]; -1 for pictures without a class, which come last
classification/{train,val,test}/captions.json    [text, ...], where the data has captions; "" for none
classification/{train,val,test}/attributes.json  {name: [number or null, ...]}, where it has such columns
classification/{train,val,test}/sources.txt  a line for each picture: its file, or a file and a row of it
detection/classes.json                   the same for boxes
detection/{train,val,test}/images.npy        uint8 [N, H, W, C]
detection/{train,val,test}/annotations.json  COCO: bbox is x, y, width, height in pixels; image_id is the
row in images.npy; category_id is the label plus 1
detection/{train,val,test}/sources.txt       the same, then after tabs each box's place, such as "line 7";
missing where the pictures were composed

A task that params.yaml leaves out has `left_out.json` alone, {"why": text}.

A split too large for one file has `images.json` in place of images.npy: {"shards": [[file, rows], ...]},
files whose rows follow each other.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from stages.core.errors import DataError
from stages.core.files import write_json
from stages.core.splits import SPLITS as SPLITS
from stages.core.splits import Split as Split

SHARD_INDEX = "images.json"
SOURCES = "sources.txt"
LEFT_OUT = "left_out.json"
UNCLASSED = -1
"""The label of a picture that has attributes and no class."""
Numbers = npt.NDArray[np.float64]
"""[N], NaN where a picture's is unknown."""
Targets = npt.NDArray[np.float32]
"""[N, A]: 1 where the picture has the attribute, 0 where it has not, NaN where that is unknown."""

SIGNS = ((0.0, 1.0), (-1.0, 1.0))
"""How no and yes are written; the second is CelebA's way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassificationSplit:
    """One split of labelled pictures."""

    images: npt.NDArray[np.uint8]
    """[N, H, W, C], memory-mapped."""
    labels: npt.NDArray[np.int64]
    """[N], indices into `classes`; `UNCLASSED` for pictures without a class, where they were asked for."""
    classes: list[str]
    captions: list[str] | None = None
    """[N]: the caption of each picture, empty where it has none; None: the data has no captions."""
    attributes: dict[str, npt.NDArray[np.float64]] | None = None
    """Numbers [N] by the name of their column, NaN where a picture has none; None: there are no columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionSplit:
    """One split of pictures with boxes."""

    images: npt.NDArray[np.uint8]
    """[N, H, W, C], memory-mapped."""
    boxes: list[npt.NDArray[np.float32]]
    """The boxes of each picture, [M, 4]: xyxy in pixels."""
    labels: list[npt.NDArray[np.int64]]
    """The labels of each picture's boxes, [M]: indices into `classes`, which has no background."""
    classes: list[str]


def pack_left_out(folder: Path, why: str) -> None:
    """Write what stands for a task without pictures; `why` names the key of params.yaml that says so."""
    write_json(folder / LEFT_OUT, {"why": why})


def why_left_out(folder: Path) -> str | None:
    """Why preprocess packed no pictures into the folder; None: it did.

    Raises:
        DataError: The file that tells it is damaged.

    """
    path = folder / LEFT_OUT
    if not path.is_file():
        return None
    with _undamaged(path):
        return str(_load_json(path)["why"])


def has_classes(folder: Path) -> bool:
    """Whether pictures that preprocess packed for classification have classes, and not attributes alone.

    Raises:
        DataError: A file is missing or damaged.

    """
    return bool(_load_classes(folder))


def load_classification(folder: Path, split: Split, *, unclassed: bool = False) -> ClassificationSplit:
    """Load one split of the folder that preprocess packed for classification.

    `unclassed`: with the pictures that have attributes and no class.

    Raises:
        DataError: A file is missing or damaged, images and labels differ in number, the task is left out, or
            no picture has a class and those without are not asked for.

    """
    images, classes = _load_images(folder, split), _load_classes(folder)
    labels = _load_array(folder / split / "labels.npy")
    if len(labels) != len(images):
        raise DataError(f"{folder / split}: {len(images)} images but {len(labels)} labels; rerun preprocess")
    captions = _load_captions(folder / split / "captions.json", len(images))
    attributes = _load_attributes(folder / split / "attributes.json", len(images))
    if not classes and not unclassed:
        raise DataError(
            f"{folder}: the pictures have attributes and no class: name its column as "
            "preprocess.classification.columns.label, what to learn in train-classifier.attributes, or leave "
            "out what needs a class (`train-gan: null`)"
        )
    count = int((labels != UNCLASSED).sum())  # those without stand behind them
    if unclassed or count == len(labels):
        return ClassificationSplit(
            images=images, labels=labels, classes=classes, captions=captions, attributes=attributes
        )
    return ClassificationSplit(
        images=images[:count],
        labels=labels[:count],
        classes=classes,
        captions=None if captions is None else captions[:count],
        attributes=None if attributes is None else {name: one[:count] for name, one in attributes.items()},
    )


def _load_captions(path: Path, pictures: int) -> list[str] | None:
    if not path.is_file():
        return None
    captions: list[str] = _load_json(path)
    if len(captions) != pictures:
        raise DataError(f"{path}: {len(captions)} captions of {pictures} images; rerun preprocess")
    return captions


def _load_attributes(path: Path, pictures: int) -> dict[str, npt.NDArray[np.float64]] | None:
    if not path.is_file():
        return None
    columns = _load_json(path)
    for name, numbers in columns.items():
        if len(numbers) != pictures:
            raise DataError(f"{path}: {len(numbers)} of '{name}' for {pictures} images; rerun preprocess")
    return {name: np.array(numbers, dtype=np.float64) for name, numbers in columns.items()}


def is_binary(numbers: Numbers) -> bool:
    """Whether all that are known say yes or no, and one is known."""
    known = numbers[~np.isnan(numbers)]
    return bool(len(known)) and any(np.isin(known, signs).all() for signs in SIGNS)


def binary_names(attributes: Mapping[str, Numbers] | None) -> list[str]:
    """The names of those that are so or not, in the data's order."""
    return [name for name, numbers in (attributes or {}).items() if is_binary(numbers)]


def targets_of(attributes: Mapping[str, Numbers] | None, names: Sequence[str], pictures: int) -> Targets:
    """The named attributes of so many pictures as numbers to learn; one that the data lacks is unknown."""
    targets = np.full((pictures, len(names)), np.nan, dtype=np.float32)
    for place, name in enumerate(names):
        if attributes is not None and name in attributes:
            numbers = attributes[name]
            targets[:, place] = np.where(np.isnan(numbers), np.nan, numbers > 0)
    return targets


def load_detection(folder: Path, split: Split) -> DetectionSplit:
    """Load one split of the folder that preprocess packed for detection.

    Its boxes are converted from COCO's xywh to xyxy.

    Raises:
        DataError: A file is missing or damaged, or the task is left out.

    """
    images, classes = _load_images(folder, split), _load_classes(folder)
    path = folder / split / "annotations.json"
    boxes: list[list[list[float]]] = [[] for _ in range(len(images))]
    labels: list[list[int]] = [[] for _ in range(len(images))]
    with _undamaged(path):
        for annotation in _load_json(path)["annotations"]:
            x, y, width, height = annotation["bbox"]
            boxes[annotation["image_id"]].append([x, y, x + width, y + height])
            labels[annotation["image_id"]].append(annotation["category_id"] - 1)
    return DetectionSplit(
        images=images,
        boxes=[np.array(b, dtype=np.float32).reshape(-1, 4) for b in boxes],
        labels=[np.array(b, dtype=np.int64) for b in labels],
        classes=classes,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureSource:
    """Where a packed picture comes from."""

    picture: str
    """The picture's file, or a file and a row of it, as findings name it."""
    places: Sequence[str]
    """The place of each of its boxes in the file of annotations; none where it is classified as a whole."""


def load_sources(folder: Path, split: Split) -> list[PictureSource] | None:
    """Where the pictures of a split come from, in their order; None: they were composed.

    Raises:
        DataError: The file is damaged.

    """
    path = folder / split / SOURCES
    if not path.is_file():
        return None
    with _undamaged(path):
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [
        PictureSource(picture=picture, places=places)
        for picture, *places in (line.split("\t") for line in lines)
    ]


def _load_images(folder: Path, split: Split) -> npt.NDArray[np.uint8]:
    """Mapped pictures: of one file, or of several that are indexed as one."""
    if why := why_left_out(folder):
        raise DataError(f"{folder}: holds no pictures: {why}")
    index = folder / split / SHARD_INDEX
    if not index.is_file():
        images: npt.NDArray[np.uint8] = _load_array(folder / split / "images.npy", mmap_mode="r")
        return images
    with _undamaged(index):
        files = [folder / split / name for name, _ in _load_json(index)["shards"]]
    shards = [_load_array(file, mmap_mode="r") for file in files]
    return cast("npt.NDArray[np.uint8]", Shards(shards))  # an array in all that a stage asks of pictures


class Shards:
    """Arrays [N_i, ...] in a row, taken as one array [N, ...] by row, slice or array of rows."""

    def __init__(self, arrays: Sequence[npt.NDArray[np.uint8]]) -> None:
        self._arrays = arrays
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])
        self.shape = (int(self._starts[-1]), *arrays[0].shape[1:])
        self.dtype = arrays[0].dtype

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: int | slice | npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        if isinstance(rows, int | np.integer):
            row = range(len(self))[rows]  # counts from the end where negative; IndexError beyond
            picture: npt.NDArray[np.uint8] = self[np.array([row])][0]
            return picture
        wanted = np.arange(len(self))[rows]
        taken = np.empty((len(wanted), *self.shape[1:]), dtype=self.dtype)
        shard = np.searchsorted(self._starts, wanted, side="right") - 1
        for number in np.unique(shard):
            there = shard == number
            taken[there] = self._arrays[number][wanted[there] - self._starts[number]]
        return taken

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        return itertools.chain.from_iterable(self._arrays)


def _load_classes(folder: Path) -> list[str]:
    classes: list[str] = _load_json(folder / "classes.json")
    return classes


def _load_array(path: Path, mmap_mode: Literal["r"] | None = None) -> npt.NDArray[Any]:
    with _undamaged(_existing(path)):
        array: npt.NDArray[Any] = np.load(path, mmap_mode=mmap_mode)
    return array


def _load_json(path: Path) -> Any:
    with _undamaged(_existing(path)):
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    """What a damaged file raises, of numpy's and json's or where it is taken apart, as a DataError."""
    try:
        yield
    except (OSError, DataError):
        raise
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: damaged ({why}); `dvc checkout` restores it, or rerun preprocess"
        ) from error


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path}: no such file; `dvc repro preprocess` makes it")
    return path
