"""A repository of DVC's: where it is, and its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dvc.repo import Repo

from flows.dvc.errors import mended
from flows.errors import UsageError


def root_of(folder: Path) -> Path:
    """The root of the repository that `folder` is in. Raises UsageError where there is none."""
    with mended("", UsageError):
        return Path(Repo.find_root(folder))


def set_params(root: Path, settings: Sequence[str]) -> None:
    """Write parameters as `dvc exp run -S` does. Raises UsageError for a key that is not there."""
    from dvc.utils.cli_parse import to_path_overrides
    from dvc.utils.hydra import apply_overrides

    with mended("", UsageError):
        for file, overrides in to_path_overrides(settings).items():
            apply_overrides(root / file, overrides)
