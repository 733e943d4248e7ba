"""The lists of ImageSets/Main: a picture a line, as VOC itself and the programs after it write them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.core.errors import DataError
from stages.core.packed import SPLITS, Split
from stages.sources.documents import read_text, shown
from stages.sources.naming import split_named
from stages.sources.rows import Finding, is_picture

FLAG = re.compile(r"(.*\S)\s+(-1|0|1)")
"""A line of a class's own list: the picture, and whether the class is in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VocLists:
    """What the lists of a folder say."""

    folder: Path
    splits: Mapping[str, Split]
    """Splits by the path of the annotation without suffix."""
    findings: tuple[Finding, ...]
    """The lines that name no annotation, or several."""


def read_lists(folder: Path, stems: Iterable[str]) -> VocLists | None:
    """The splits that lists give to annotations of these stems; None: there are no lists.

    What trainval.txt has beyond the other lists is val where there is train.txt and no val.txt, else train.
    Lists of other names, such as those of single classes, are not read.

    Raises:
        DataError: A picture stands in two splits' lists.

    """
    files = _files(folder)
    if not files:
        return None
    known = _Stems(stems)
    splits: dict[str, Split] = {}
    source: dict[str, str] = {}
    findings = []
    for split, file in files:
        remainder = _is_of_both(file)
        for number, line in enumerate(read_text(file).split("\n"), start=1):
            if not line.strip():
                continue
            found = known.find(line.strip())
            if remainder and len(found) == 1 and splits.get(found[0]) in ("train", "val"):
                continue
            if len(found) != 1:
                what = f"{shown(line.strip())} names {len(found)} annotations" if found else ""
                what = what or f"{shown(line.strip())} has no annotation"
                findings.append(Finding(kind="bad_row", where=f"{file}: line {number}", what=what))
                continue
            if splits.setdefault(found[0], split) != split:
                raise DataError(
                    f"{file}: line {number}: {found[0]} stands in {source[found[0]]} too; remove it from one"
                )
            source.setdefault(found[0], file.name)
    return VocLists(folder=folder, splits=splits, findings=tuple(findings))


def _files(folder: Path) -> list[tuple[Split, Path]]:
    """The lists in order of their splits, that of train and val together last."""
    texts = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    found = [(split, file) for file in texts if (split := split_named(file.stem))]
    found.sort(key=lambda one: SPLITS.index(one[0]))
    named = {split for split, _ in found}
    remainder: Split = "val" if "train" in named and "val" not in named else "train"
    return [*found, *((remainder, file) for file in texts if _is_of_both(file))]


def _is_of_both(file: Path) -> bool:
    """Whether a list is that of train and val together."""
    return file.stem.lower() == "trainval"


class _Stems:
    """The stems of annotations, to be found by what lists write."""

    def __init__(self, stems: Iterable[str]) -> None:
        self._known = frozenset(stems)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for stem in self._known:
            self._by_name[PurePosixPath(stem).name].append(stem)

    def find(self, line: str) -> list[str]:
        """The stems that a line means: as it stands, without a flag, without suffix and folders."""
        flagged = FLAG.fullmatch(line)
        for text in (line, *([flagged[1]] if flagged else [])):
            path = text.replace("\\", "/")
            suffix = is_picture(path) or path.lower().endswith(".xml")
            for name in (path, PurePosixPath(path).with_suffix("").as_posix() if suffix else path):
                if name in self._known:
                    return [name]
                found = self._by_name.get(name.rpartition("/")[2], [])
                if found:
                    return sorted(found)
        return []
