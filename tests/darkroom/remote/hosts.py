"""Hosts for tests: worker processes, each with a folder, a home and an environment of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from darkroom.remote.executor import PooledExecutor
from darkroom.remote.pools import pools_of
from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions, RunReport
from darkroom.schedule.events import Event, ignore
from tests.darkroom.waiting import wait_for

POOL = "hosts"
QUIET_SECONDS = 600.0
"""After which a host would be lost: no healthy one is, however busy this machine is."""


class HostProcess:
    """`darkroom worker` as a process of its own."""

    def __init__(
        self,
        folder: Path,
        name: str,
        storage: Path | str,
        env: Mapping[str, str],
        within: Sequence[str] = (),
        jobs: int = 2,
    ) -> None:
        self.name, self.folder = name, folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "said.txt"
        words = ["worker", "--pool", POOL, "--storage", str(storage), "--folder", str(self.folder / "work")]
        own = {"HOME": str(self.folder), "DARKROOM_HOST": name, "PATH": os.environ["PATH"], **env}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*within, sys.executable, "-m", "darkroom.cli.main", *words, "--jobs", str(jobs)],
                cwd=self.folder,
                env=own,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def wait_until_said(self, text: str) -> None:
        """Return when it has printed the text."""
        assert wait_for(lambda: text in self.said or self.process.poll() is not None, 240), self.said
        assert text in self.said, self.said


@contextlib.contextmanager
def hosts(folder: Path, storage: Path | str, *names: str, **env: str) -> Iterator[dict[str, HostProcess]]:
    """Hosts of these names, ready to work; they are gone after the block."""
    if isinstance(storage, Path):
        storage.mkdir(parents=True, exist_ok=True)
    started = {name: HostProcess(folder, name, storage, env) for name in names}
    try:
        for host in started.values():
            host.wait_until_said("works for pool")
        yield started
    finally:
        for host in started.values():
            host.process.kill()
            host.process.wait()


def set_pools(
    root: Path, storage: Path | str, *, lost_after: float = QUIET_SECONDS, more: str = "", code: str = ""
) -> None:
    """Have all stages of the repository run in the pool."""
    folder = root / ".darkroom"
    folder.mkdir(exist_ok=True)
    text = f'storage: {storage}\nlost_after: {lost_after}\npools:\n  {POOL}:\n    stages: ["*"]\n{more}'
    text += f"code: {code}\n" if code else ""
    (folder / "pools.yaml").write_text(text)


def run_elsewhere(options: RunOptions, root: Path, observe: object = ignore) -> RunReport:
    """A run by the pools that the repository has."""
    pools = pools_of(root)
    assert pools is not None
    options = RunOptions(
        **{name: getattr(options, name) for name in options.__dataclass_fields__ if name != "place"},
        place=pools.place,
    )
    return run_pipeline(options, executor=PooledExecutor(root, pools), observe=observe)  # type: ignore[arg-type]


def hosts_in(events: list[Event], stage: str) -> list[str]:
    """The hosts that ran the stage, as the run has said it."""
    start = "darkroom: runs on host "
    lines = [getattr(event, "line", "") for event in events if getattr(event, "stage", "") == stage]
    return [line.removeprefix(start).split()[0] for line in lines if line.startswith(start)]
