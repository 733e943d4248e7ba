"""Pictures in a folder for each class: `class/.../name.jpg`, or `train/class/...`, `val/...`, `test/...`."""

from pathlib import Path, PurePosixPath
from typing import Literal

from stages.core.errors import DataError
from stages.core.packed import SPLITS, Split
from stages.sources.params import PictureParams
from stages.sources.rows import Finding, Found, Row, existing_folder, files_below, is_picture


class ImageFolderParams(PictureParams):
    """`format: image-folder`."""

    format: Literal["image-folder"]

    folder: str
    """Below the raw folder; "." is the raw folder itself."""


def read_image_folder(raw: Path, params: ImageFolderParams) -> Found:
    """A row for each picture, in order of their paths.

    Raises:
        DataError: no such folder, or nothing but files in it.

    """
    folder = existing_folder(raw / params.folder)
    tops = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    if not tops:
        raise DataError(f"{folder}: holds no folder; make one for each class")
    given_splits = tops <= set(SPLITS)
    for name in files_below(folder):
        yield _row(folder, name, given_splits)


def _row(folder: Path, name: str, given_splits: bool) -> Row | Finding:
    parts = PurePosixPath(name).parts
    where = (folder / name).as_posix()
    if not is_picture(name):
        return Finding(kind="stray_file", where=where, what="not named as pictures are")
    if len(parts) < (3 if given_splits else 2):
        return Finding(kind="unlabelled_picture", where=where, what="lies in no class's folder")
    split: Split | None = None
    if given_splits:
        (split,) = (known for known in SPLITS if known == parts[0])
    return Row(where=where, picture=folder / name, labels=(parts[int(given_splits)],), split=split)
