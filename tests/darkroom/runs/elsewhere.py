"""Another executor than darkroom's own: it shares nothing with that but the protocol."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from darkroom.base.meta import Resources
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.schedule.executor import Ended
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import HostPool

KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}


class Everything:
    """Room for every stage, two at a time, GPUs without end."""

    def refusal(self, name: str, resources: Resources) -> str | None:  # noqa: ARG002
        return None

    def refuse(self, nodes: Iterable[Node]) -> None:
        pass

    def counted_pool(self) -> HostPool:
        return HostPool(2, 1000, 1 << 50, 1)

    def pool(self, run: str, root: Path, on_wait: Callable[[str, str], None]) -> HostPool:  # noqa: ARG002
        return self.counted_pool()


@dataclass
class Shell:
    """A job in a shell of its own, whose output goes into a file."""

    job: StageJob
    began: float = field(default_factory=time.monotonic)
    output: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def __post_init__(self) -> None:
        script = " && ".join(shlex.join(command) for command in self.job.commands)
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            cwd=self.job.cwd,
            env=self.job.env,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.told = False

    def result(self) -> StageResult | None:
        """How it ended, if it has; it is told to end where its run is."""
        if (code := self.process.poll()) is None:
            if self.job.stop.is_set() or self.job.stop_now.is_set():
                self._signal(signal.SIGKILL if self.told or self.job.stop_now.is_set() else signal.SIGTERM)
                self.told = True
            return None
        self.output.seek(0)
        lines = tuple(self.output.read().decode().splitlines())
        self.output.close()
        for line in lines:
            self.job.on_line(line)
        ending = Ending.OK if code == 0 else Ending.KILLED if code in KILLED else Ending.FAILED
        return StageResult(
            ending=Ending.STOPPED if self.told else ending,
            code=code,
            seconds=time.monotonic() - self.began,
            last_lines=lines,
        )

    def _signal(self, number: int) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)


class Elsewhere:
    """The executor: looks after its shells when it is asked, without a thread."""

    def __init__(self) -> None:
        self.launched: list[tuple[str, int]] = []
        self._shells: dict[str, Shell] = {}

    def capacity(self, nodes: Sequence[Node], jobs: int | None) -> Everything:  # noqa: ARG002
        return Everything()

    def launch(self, job: StageJob) -> None:
        self.launched.append((job.name, job.attempt))
        self._shells[job.name] = Shell(job)

    def finished(self, wait: float) -> Ended | None:
        until = time.monotonic() + wait
        while True:
            for name, shell in self._shells.items():
                if result := shell.result():
                    del self._shells[name]
                    return Ended(name, shell.job.attempt, result)
            if time.monotonic() >= until:
                return None
            time.sleep(0.02)

    def is_busy(self) -> bool:
        return any(shell.process.poll() is None for shell in list(self._shells.values()))

    def join(self) -> None:
        while self._shells:
            self.finished(1.0)
