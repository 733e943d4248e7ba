"""Whether a stage itself made the changes of its deps that happened while its command ran."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from darkroom.base.text import format_reasons
from darkroom.processes.witness import Witness, Writers
from darkroom.repository.judging import Edit

_DECLARE = "if the stage itself changes it, name it in `changes_deps` under the stage's meta in dvc.yaml"


@dataclass(frozen=True, slots=True)
class DepsVerdict:
    """What to do with a stage whose deps have changed while its command ran."""

    refusal: str = ""
    """Why it must not be recorded, in words; empty: it made all changes itself."""
    mend: str = ""
    beside: frozenset[str] = frozenset()
    """The stages that made the changes, where only stages of this run did: run apart, all can be recorded."""


class Witnesses:
    """The witnesses of the stages of one run whose commands run, by name."""

    def __init__(self) -> None:
        self._open: dict[str, Witness] = {}
        self._ended: dict[int, str] = {}

    def close(self) -> None:
        """Let go of the witnesses of stages that were given up."""
        for name in list(self._open):
            self.close_one(name)

    def open(self, name: str, stage: Any) -> Witness | None:
        """Watch a stage's deps from now on; None where the kernel does not allow it."""
        paths = [Path(dep.fs_path) for dep in stage.deps if _is_here(dep)]
        with contextlib.suppress(OSError):
            self._open[name] = Witness(paths)
        return self._open.get(name)

    def close_one(self, name: str) -> None:
        """The stage's command has ended, and what it changed was asked for."""
        if witness := self._open.pop(name, None):
            self._ended |= dict.fromkeys(witness.processes(), name)
            if not self._open:
                self._ended.clear()
            witness.close()

    def judge(self, name: str, edits: Sequence[Edit]) -> DepsVerdict:
        """Whether the stage made these changes."""
        own = self._open[name].commands if name in self._open else set()
        edits_with_writers = [(str(edit), self._writers(name, edit)) for edit in edits]
        foreign = [(path, writers) for path, writers in edits_with_writers if not _is_own(writers, own)]
        if not foreign:
            return DepsVerdict()
        stages = self._stages()
        pids = {pid for _, writers in foreign for pid in (writers.commands - own) | writers.strangers}
        strangers = pids - {*stages}
        changed = format_reasons([path for path, _ in foreign])
        if strangers or not all(writers != Writers() for _, writers in foreign):
            return _refused(changed, strangers)
        others = frozenset(stages[pid] for pid in pids)
        return DepsVerdict(
            f"{changed} changed while it ran, by {format_reasons(sorted(others))}", beside=others
        )

    def _writers(self, name: str, edit: Edit) -> Writers:
        if name not in self._open or not _is_here(edit.dep):
            return Writers()
        return self._open[name].writers(Path(edit.dep.fs_path), edit.parts)

    def _stages(self) -> dict[int, str]:
        """The processes of the stages that ran meanwhile."""
        running = {pid: name for name, witness in self._open.items() for pid in witness.processes()}
        return {**self._ended, **running}


def _is_here(dep: Any) -> bool:
    return getattr(dep, "protocol", None) == "local"


def _is_own(writers: Writers, own: set[int]) -> bool:
    return bool(writers.commands) and writers.commands <= own and not writers.strangers


def _refused(changed: str, strangers: set[int]) -> DepsVerdict:
    if strangers:
        return DepsVerdict(f"{changed} changed while it ran, by {_processes(strangers)}")
    return DepsVerdict(f"{changed} changed while it ran, it cannot be told by whom", f"; {_DECLARE}")


def _processes(pids: set[int]) -> str:
    named = []
    for pid in sorted(pids):
        with contextlib.suppress(psutil.Error):
            named.append(f"{psutil.Process(pid).name()} (pid {pid})")
            continue
        named.append(f"pid {pid}")
    return f"another process: {format_reasons(named)}"
