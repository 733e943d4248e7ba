"""The root of the DVC repository that a folder is in, found without DVC, which is slow to import."""

from __future__ import annotations

import os
from pathlib import Path

from darkroom.base.errors import UsageError


def root_of(folder: Path) -> Path:
    """The root of the DVC repository that `folder` is in, with symbolic links resolved, as DVC finds it.

    Raises:
        UsageError: The folder is in no repository.

    """
    here = Path(os.path.realpath(folder))
    if not here.is_dir():
        raise UsageError(f"{folder}: directory '{here}' does not exist")
    for root in (here, *here.parents):
        if (root / ".dvc").is_dir():
            return root
        if os.path.ismount(root):
            break
    raise UsageError(f"{folder}: you are not inside of a DVC repository (checked up to mount point '{root}')")
