"""Data that no run makes: what .dvc files and frozen stages record, and DVC's cache holds."""

from __future__ import annotations

from pathlib import Path

from darkroom.repository.errors import mended
from darkroom.repository.graph import name_of
from darkroom.repository.opening import opened


def stages_with_kept_data(root: Path) -> tuple[str, ...]:
    """Names, for `dvc checkout`, of the .dvc files and frozen stages that record outs in DVC's cache.

    A run neither makes these outs nor restores them: it takes them as they lie in the workspace.

    Raises:
        RepoError: There is no repository, or DVC cannot read its stages.

    """
    with opened(root) as repo, mended():
        return tuple(
            name_of(stage)
            for stage in repo.index.stages
            if (stage.frozen or not stage.cmd)
            and any(out.use_cache and out.is_in_repo and out.hash_info for out in stage.outs)
        )
