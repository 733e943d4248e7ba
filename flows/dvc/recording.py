"""What is recorded of stages in dvc.lock and .dvc files, and the lines that DVC adds to .gitignore files."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from dvc.dvcfile import Lockfile
from dvc.scm import NoSCM
from dvc.stage import PipelineStage
from dvc.stage.loader import StageLoader
from dvc.stage.serialize import to_lockfile, to_single_stage_file
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update
from pathspec.patterns.gitwildmatch import GitWildMatchPattern

from flows.dvc.graph import lock_file
from flows.dvc.synced_cache import synced
from flows.files import sync_all
from flows.records import Entry, Records


class Recording:
    """The records of one run's stages, by name."""

    def __init__(self, repo: Any) -> None:
        self._repo = repo
        self._stages: Mapping[str, Any] = {}
        self._records = Records(Path(repo.root_dir), Path(repo.tmp_dir), dumps_yaml, _parse)
        self._caches = synced(repo)
        self._ignores: set[Path] = set()
        self._recorded: dict[str, set[str]] = {}
        self._versions: dict[Path, tuple[int, ...] | None] = {}

    def begin(self, stages: Mapping[str, Any]) -> None:
        """Know the stages in their serial order."""
        self._stages = stages
        self._records.begin(list(stages))
        self._versions = {path: _version(path) for path in {lock_file(stage) for stage in stages.values()}}

    def known(self, stage: Any) -> bool:
        """Whether the stage was ever recorded. Only before its command: hashes from then on are of now."""
        if not isinstance(stage, PipelineStage):
            return True
        if stage.deps or stage.outs:
            return any(item.hash_info for item in (*stage.deps, *stage.outs))
        if stage.path not in self._recorded:
            self._recorded[stage.path] = set(stage.dvcfile.lockfile_contents.get("stages") or ())
        return stage.name in self._recorded[stage.path]

    def read_anew(self, file: Path, but: Container[str]) -> None:
        """Take over what another process has recorded since this one read the file, `but` of some stages."""
        if self._versions[file] == (version := _version(file)):
            return
        self._versions[file] = version
        recorded = Lockfile(self._repo, str(file)).load()
        for name, stage in self._stages.items():
            if lock_file(stage) == file and isinstance(stage, PipelineStage) and name not in but:
                entry = (recorded.get("stages") or {}).get(stage.name)
                StageLoader.fill_from_lock(stage, entry)
                stage.cmd_changed = entry is not None and entry.get("cmd") != stage.cmd

    def announce(self, name: str) -> None:
        """DVC is about to append the lines of the stage's outs to .gitignore files."""
        scm, stage = self._repo.scm, self._stages[name]
        outs = [] if isinstance(scm, NoSCM) else [out.fs_path for out in stage.outs if out.use_scm_ignore]
        places = [scm._get_gitignore(path) for path in outs if not scm.is_ignored(path)]
        lines = [(Path(file), GitWildMatchPattern.escape(entry)) for entry, file in places]
        self._records.announce(name, lines)
        self._ignores.update(file for file, _ in lines)

    def add(self, name: str) -> None:
        """A stage whose results are safe; it is recorded at the next write."""
        stage = self._stages[name]
        if isinstance(stage, PipelineStage):
            entry = Entry(name, lock_file(stage), stage.name, to_lockfile(stage)[stage.name])
        else:
            entry = Entry(name, Path(stage.path), None, to_single_stage_file(stage))
        self._records.add(entry)
        # DVC would take its lines in .gitignore files away again, were the run to end in an error.
        self._repo.scm_context.ignored_paths.clear()

    def write(self) -> None:
        """Write what finished since the last time into dvc.lock and .dvc files, in DVC's order.

        What they speak of is made durable first, so that no power cut leaves them ahead of it.
        """
        for cache in self._caches:
            cache.sync()
        sync_all([*self._ignores, *{file.parent for file in self._ignores}])
        self._ignores.clear()
        for path in self._records.write():
            self._versions[path] = _version(path)
            self._repo.scm_context.track_file(os.path.relpath(path))

    def passed(self, name: str) -> None:
        """A serial run would be past this stage, and record those after it."""
        self._records.passed(name)


def _parse(text: str) -> Any:
    return parse_yaml_for_update(text, "")


def _version(path: Path) -> tuple[int, ...] | None:
    """Differs once the file was written anew."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
