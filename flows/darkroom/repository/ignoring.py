"""The lines that DVC adds to .gitignore files, in the order in which a serial run adds them.

A serial run appends a stage's lines when its command has ended. Here stages end in any order. A stage that
ends before its turn therefore first writes the lines of the new stages before it, whose commands have not
ended yet. So the next run, or `dvc repro`, finds the lines in the right order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.scm import NoSCM
from dvc.stage import PipelineStage
from pathspec.patterns.gitwildmatch import GitWildMatchPattern

from darkroom.base.files import sync_paths
from darkroom.ledger import ignore_lines


@dataclass(frozen=True, slots=True)
class _Line:
    """What git is to ignore of a stage."""

    place: int
    stage: str
    out: str
    """The path of the out."""
    text: str


class Ignoring:
    """What one run adds to .gitignore files. `is_passed`: a serial run would be past the stage."""

    def __init__(self, repo: Any, is_passed: Callable[[str], bool]) -> None:
        self._repo, self._is_passed = repo, is_passed
        self._stages: Mapping[str, Any] = {}
        self._places: dict[str, int] = {}
        self._new: list[str] = []
        self._waiting: dict[Path, list[_Line]] | None = None
        self._added: dict[Path, dict[str, int]] = {}
        self._early: dict[str, list[tuple[Path, str]]] = {}
        self._unsynced: set[Path] = set()

    def begin(self, stages: Mapping[str, Any], new: list[str]) -> None:
        """Know the stages in their serial order, and those that were never recorded."""
        self._stages, self._new = stages, new
        self._places = {name: place for place, name in enumerate(stages)}

    def announce(self, name: str) -> None:
        """The command of the stage has ended: write its lines, behind those of new stages before it."""
        self._early.pop(name, None)
        for file, own in self._lines(name).items():
            made = [line for line in own if os.path.lexists(line.out)]  # for others DVC has an error
            chosen = [line for line in (*self._before(name, file), *made) if self._is_wanted(line.out)]
            places = self._added.setdefault(file, {})
            later = {text for text, place in places.items() if place > self._places[name]}
            if ignore_lines.add_ignore_lines(
                file, [line.text for line in chosen], later, Path(self._repo.tmp_dir)
            ):
                self._written(file)
            places.update({line.text: line.place for line in chosen})
            for line in chosen:
                if line.stage != name:
                    self._early.setdefault(line.stage, []).append((file, line.text))

    def failed(self, name: str) -> None:
        """A serial run would go on without the stage: its lines were written too early."""
        for file, text in self._early.pop(name, ()):
            ignore_lines.remove_ignore_lines(file, [text], Path(self._repo.tmp_dir))
            self._written(file)

    def sync(self) -> None:
        """Return when what was written would survive a power cut.

        Raises:
            OSError: The disk does not take it.

        """
        sync_paths([*self._unsynced, *{file.parent for file in self._unsynced}])
        self._unsynced.clear()

    def _lines(self, name: str) -> dict[Path, list[_Line]]:
        """The lines of a stage by .gitignore file."""
        lines: dict[Path, list[_Line]] = {}
        if isinstance(scm := self._repo.scm, NoSCM):
            return lines
        for out in self._stages[name].outs:
            if out.use_scm_ignore:
                entry, file = scm._get_gitignore(out.fs_path)
                text = GitWildMatchPattern.escape(entry)
                lines.setdefault(Path(file), []).append(_Line(self._places[name], name, out.fs_path, text))
        return lines

    def _before(self, name: str, file: Path) -> list[_Line]:
        """The lines in `file` of new stages before this one that a serial run would not be past yet."""
        if self._waiting is None:
            self._waiting = {}
            for other in self._new:
                if isinstance(self._stages[other], PipelineStage) and not self._stages[other].frozen:
                    for path, lines in self._lines(other).items():
                        self._waiting.setdefault(path, []).extend(lines)
        place, waiting = self._places[name], self._waiting.get(file, [])
        before = [line for line in waiting if line.place < place]
        self._waiting[file] = [line for line in waiting if line.place > place]
        return [line for line in before if not self._is_passed(line.stage)]

    def _is_wanted(self, out: str) -> bool:
        scm = self._repo.scm
        return not scm.is_ignored(out) and not scm.is_tracked(out)

    def _written(self, file: Path) -> None:
        self._unsynced.add(file)
        self._repo.scm._reset()
        self._repo.scm_context.track_file(os.path.relpath(file))
