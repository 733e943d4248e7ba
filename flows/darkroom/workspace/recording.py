"""Records stages in dvc.lock and .dvc files, and adds lines to .gitignore files as DVC does."""

from __future__ import annotations

import io
import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from dvc.dvcfile import Lockfile
from dvc.stage import PipelineStage
from dvc.stage.loader import StageLoader
from dvc.stage.serialize import to_lockfile, to_single_stage_file
from dvc.utils.serialize import dumps_yaml, parse_yaml, parse_yaml_for_update
from dvc.utils.serialize._yaml import _get_yaml

from darkroom.ledger.lock_text import Yaml
from darkroom.ledger.plain_yaml import plain_yaml
from darkroom.ledger.writer import LockRecord, LockWriter
from darkroom.repository.graph import lock_file
from darkroom.repository.ignoring import Ignoring
from darkroom.workspace.synced_cache import synced


class Recording:
    """The records of one run's stages, by name."""

    def __init__(self, repo: Any) -> None:
        self._repo = repo
        self._stages: Mapping[str, Any] = {}
        self._caches = synced(repo)
        self._records = LockWriter(Path(repo.root_dir), Path(repo.tmp_dir), YAML)
        self._ignoring = Ignoring(repo, self._records.is_passed)
        self._recorded: dict[str, set[str]] = {}
        self._versions: dict[Path, tuple[int, ...] | None] = {}
        self._stale: set[Path] = set()

    def begin(self, stages: Mapping[str, Any]) -> None:
        """Know the stages in their serial order, and what of them waits for its turn to be recorded."""
        self._stages = stages
        self._records.begin(list(stages))
        files = {lock_file(stage) for stage in stages.values()}
        self._versions = {path: _version(path) for path in files}
        for file in files:
            if ahead := self._records.ahead(file):
                self._fill(file, {**ahead, **self._held(file)}, but=())
        self._ignoring.begin(stages, [name for name, stage in stages.items() if not self.known(stage)])

    def known(self, stage: Any) -> bool:
        """Whether the stage was ever recorded. Only before its command: hashes from then on are of now."""
        if not isinstance(stage, PipelineStage):
            return True
        if stage.deps or stage.outs:
            return any(item.hash_info for item in (*stage.deps, *stage.outs))
        if stage.path not in self._recorded:
            recorded = set(stage.dvcfile.lockfile_contents.get("stages") or ())
            self._recorded[stage.path] = recorded | set(self._records.ahead(lock_file(stage)))
        return stage.name in self._recorded[stage.path]

    def read_anew(self, file: Path, but: Container[str]) -> None:
        """Take over what another process has recorded since this one read the file, `but` of some stages."""
        if self._records.refresh():
            self._stale.update(self._versions)
        version = _version(file)
        if self._versions[file] != version or file in self._stale:
            self._versions[file] = version
            self._stale.discard(file)
            self._fill(file, {**self._records.ahead(file), **self._held(file)}, but)

    def _held(self, file: Path) -> Mapping[str, Any]:
        """The entries of a dvc.lock; where DVC cannot read it, its error passes through."""
        return Lockfile(self._repo, str(file)).load().get("stages") or {}

    def _fill(self, file: Path, entries: Mapping[str, Any], but: Container[str]) -> None:
        for name, stage in self._stages.items():
            if lock_file(stage) == file and isinstance(stage, PipelineStage) and name not in but:
                entry = entries.get(stage.name)
                StageLoader.fill_from_lock(stage, entry)
                stage.cmd_changed = entry is not None and entry.get("cmd") != stage.cmd

    def announce(self, name: str) -> None:
        """Write the lines of the stage's outs to .gitignore files, where DVC then finds them."""
        self._ignoring.announce(name)

    def add(self, name: str) -> None:
        """Add a stage whose results are safe to what the next write records."""
        stage = self._stages[name]
        if isinstance(stage, PipelineStage):
            record = LockRecord(name, lock_file(stage), stage.name, to_lockfile(stage)[stage.name])
        else:
            record = LockRecord(name, Path(stage.path), None, to_single_stage_file(stage))
        self._records.add(record)
        # DVC would take its lines in .gitignore files away again, were the run to end in an error.
        self._repo.scm_context.ignored_paths.clear()

    def write(self) -> None:
        """Write what finished since the last time into dvc.lock and .dvc files, in DVC's order.

        What they speak of is made durable first, so that no power cut leaves them ahead of it.
        """
        for cache in self._caches:
            cache.sync()
        self._ignoring.sync()
        self._check_what_others_wrote()
        for path in self._records.write():
            self._versions[path] = _version(path)
            self._repo.scm_context.track_file(os.path.relpath(path))

    def _check_what_others_wrote(self) -> None:
        """Let DVC read a dvc.lock that is not as this run left it: it raises where it is none any more."""
        for file, version in self._versions.items():
            if file.suffix == ".lock" and _version(file) != version:
                Lockfile(self._repo, str(file)).load()

    def passed(self, name: str) -> None:
        """Note that a serial run would be past this stage: those after it need not wait for its record."""
        self._records.passed(name)
        if not any(out.hash_info for out in self._stages[name].outs):
            self._ignoring.failed(name)


def _unfolded(data: Any) -> str:
    yaml, text = _get_yaml(), io.StringIO()
    yaml.width = 1 << 30
    yaml.dump(data, text)
    return text.getvalue()


YAML = Yaml(
    read=lambda text: parse_yaml(text, "dvc.lock"),
    load=lambda text: parse_yaml_for_update(text, "dvc.lock"),
    dump=lambda data: plain_yaml(data) or dumps_yaml(data),
    unfolded=lambda data: plain_yaml(data) or _unfolded(data),
)


def _version(path: Path) -> tuple[int, ...] | None:
    """Differs once the file was written anew."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
