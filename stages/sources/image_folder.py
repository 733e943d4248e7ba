"""Pictures in a folder for each class, with or without folders for splits.

Read are `class/.../picture`, `train/class/.../picture`, `class/train/.../picture`, and any of them within one
more folder, as archives unpack to. Splits may have any of their usual names, or names with one of them as a
word, such as seg_train beside seg_test. Where params.yaml names a single
class, its pictures may lie in no folder of its own. What cannot be told is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.intake.folders import names_below, names_in
from stages.sources.naming import require_alike, split_named, split_within, splits_among
from stages.sources.params import ImageFolderParams
from stages.sources.rows import (
    Finding,
    Found,
    Row,
    existing_folder,
    foreign_picture,
    is_foreign_picture,
    is_picture,
)

LAYOUTS = "want CLASS/.../picture or train/CLASS/.../picture"


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderLayout:
    """Where in the path of a picture its class and its split stand."""

    label_at: int | None
    """The number of the class's folder in the path; None: all pictures are of one class, without a folder."""
    split_at: int | None = None
    """The number of the split's folder; None: the data gives no splits."""

    @property
    def folders(self) -> int:
        """How many folders a picture lies in at the least."""
        return max(-1 if one is None else one for one in (self.label_at, self.split_at)) + 1


def read_image_folder(raw: Path, params: ImageFolderParams) -> Found:
    """A row for each picture, in order of their paths.

    Raises:
        DataError: No such folder, one that cannot be read, or a layout that could mean several things.

    """
    folder, named = existing_folder(raw / params.folder), frozenset(params.classes or ())
    while (inner := _wrapped(folder, named)) is not None:
        for name in (*names_in(folder)[0], *_without_pictures(folder)):
            yield _stray(folder / name)
        folder = inner
    layout, empty = _flat(folder, named) or _layout(folder, named), _without_pictures(folder)
    for name in empty:
        yield _stray(folder / name)
    for name in names_below(folder, skipped=empty):
        yield _row(folder, name, layout, params.classes or [])


def _wrapped(folder: Path, named: frozenset[str]) -> Path | None:
    """The only folder in `folder` that holds pictures, if it is neither a class nor a split."""
    tops = _with_pictures(folder)
    if len(tops) != 1 or _pictures_in(folder) or tops[0] in named or split_named(tops[0]):
        return None
    inner = folder / tops[0]
    return inner if _with_pictures(inner) and not _pictures_in(inner) else None


def _flat(folder: Path, named: frozenset[str]) -> FolderLayout | None:
    """Where pictures of the single class lie right in `folder` or in those of splits; else None."""
    tops = _with_pictures(folder)
    if len(named) != 1 or not all(map(split_named, tops)) or named & set(tops):
        return None
    if any(_with_pictures(folder / top) for top in tops) or bool(tops) == _pictures_in(folder):
        return None
    return FolderLayout(label_at=None, split_at=0 if tops else None)


def _layout(folder: Path, named: frozenset[str]) -> FolderLayout:
    """Where classes and splits stand; folders that params.yaml names as classes are no splits.

    Raises:
        DataError: There is no class, or it cannot be told what is a class and what a split.

    """
    tops = _with_pictures(folder)
    splits = splits_among(folder, tops, named)
    if splits:
        within = {split: _with_pictures(folder / split) for split in splits}
        depth = 1
        if all(
            len(names) == 1 and names[0] not in named and _split_of(names[0]) for names in within.values()
        ):
            # seg_train/seg_train/CLASS, as some archives unpack to
            within = {split: _with_pictures(folder / split / name) for split, (name,) in within.items()}
            depth = 2
        classes = {name for names in within.values() for name in names}
        layout = FolderLayout(label_at=depth, split_at=0)
    else:
        classes, layout = set(tops), FolderLayout(label_at=0)
        below = {f"{top}/{name}": name for top in tops for name in _with_pictures(folder / top)}
        if inner := [path for path, name in below.items() if split_named(name)]:
            loose = [f"{top}/*" for top in tops if _pictures_in(folder / top)]
            require_alike(folder, inner, [*below, *loose])
            layout = FolderLayout(label_at=0, split_at=1)
    if not classes:
        raise DataError(
            f"{folder}: no pictures in folders of classes: {LAYOUTS}; or name another `folder`, or "
            "`classes: [NAME]` if all pictures are of one class"
        )
    if len(classes) == 1 and not named:
        (name,) = classes
        raise DataError(
            f"{folder}: only one class, {name!r}: {LAYOUTS}; name another `folder` in "
            f"preprocess.classification, or `classes: [{name}]` if there is but one"
        )
    return layout


def _split_of(name: str) -> Split | None:
    """The split that a folder of splits is named after."""
    return split_named(name) or split_within(name)


def _with_pictures(folder: Path) -> list[str]:
    """Names of the folders right in `folder` that hold pictures, directly or below."""
    return [name for name in names_in(folder)[1] if _holds_pictures(folder / name)]


def _without_pictures(folder: Path) -> list[str]:
    return [name for name in names_in(folder)[1] if not _holds_pictures(folder / name)]


def _holds_pictures(folder: Path) -> bool:
    return any(map(_looks_like_picture, names_below(folder)))


def _pictures_in(folder: Path) -> bool:
    """Whether pictures lie right in `folder`."""
    return any(map(_looks_like_picture, names_in(folder)[0]))


def _looks_like_picture(name: str) -> bool:
    return is_picture(name) or is_foreign_picture(name)


def _row(folder: Path, name: str, layout: FolderLayout, named: Sequence[str]) -> Row | Finding:
    parts, path = PurePosixPath(name).parts, folder / name
    if not is_picture(name):
        return _stray(path)
    if len(parts) <= layout.folders:
        return Finding(kind="unlabelled_picture", where=path.as_posix(), what="lies in no class's folder")
    split = None if layout.split_at is None else _split_of(parts[layout.split_at])
    label = named[0] if layout.label_at is None else parts[layout.label_at]
    return Row(where=path.as_posix(), picture=path, labels=(label,), split=split)


def _stray(path: Path) -> Finding:
    """What is found of something that is no picture, or none that is read here."""
    where = path.as_posix()
    if path.is_symlink() and path.is_dir():
        target = path.resolve()
        if path.parent.resolve().is_relative_to(target):
            return Finding(kind="stray_file", where=where, what=f"a link back to {target}, not followed")
        what = f"a link to the folder {target}: links to folders are not followed, put a copy there"
        return Finding(kind="unfollowed_link", where=where, what=what)
    if is_foreign_picture(path.name):
        return foreign_picture(where)
    is_folder = path.is_dir()
    return Finding(
        kind="stray_file",
        where=where,
        what="a folder without pictures" if is_folder else "not named as pictures are",
    )
