"""Every process of one run, found by a mark in its environment, and what each of them is."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import psutil

MARK = "FAULTS_RUN"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP)
LONGEST_STOP_SECONDS = 1.5
DAEMON = "daemon"


def of_run(mark: str) -> list[psutil.Process]:
    """Those alive; a process inherits the mark wherever it goes. An orphan that awaits its reaper is dead."""
    return [process for process in psutil.process_iter() if mark_of(process) == mark]


def is_daemon(process: psutil.Process) -> bool:
    """Whether it has left its stage."""
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        return "--as-daemon" in process.cmdline()
    return False


def mark_of(process: psutil.Process) -> str | None:
    """The run that a process belongs to; None where it is none of ours, or has ended."""
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.environ().get(MARK)
    return None


def with_files_of(folder: Path) -> Iterator[psutil.Process]:
    """Those that have a file of the folder open: the locks in it are theirs, and nobody else's."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            links = [entry.readlink() for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
            if any(link.is_relative_to(folder) for link in links):
                yield process


def kind_of(process: psutil.Process, runner: int) -> str:
    """What a process is to the run. Raises psutil.Error where it has ended."""
    if process.pid == runner:
        return "runner"
    line = process.cmdline()
    if Path(line[0]).name.startswith("python") and Path(line[1]).name == "program.py":
        roles = {"--as-child": "stage's child", "--as-daemon": DAEMON}
        return next((role for word, role in roles.items() if word in line), "stage")
    if any("program.py" in word for word in line):
        return "stage's shell"
    if "darkroom.server.serving" in line:
        return "Prefect's server"
    return "guard" if Path(line[0]).name == "sh" else "other"


def by_kind(mark: str, runner: int) -> Mapping[str, list[psutil.Process]]:
    """The run's processes, sorted."""
    kinds: dict[str, list[psutil.Process]] = defaultdict(list)
    for process in of_run(mark):
        with contextlib.suppress(psutil.Error, ProcessLookupError, IndexError):
            kinds[kind_of(process, runner)].append(process)
    return kinds


def shoot(mark: str, runner: int, rng: Random) -> tuple[str, str] | None:
    """Send a random signal to a process of a random kind; which kind and signal. None: nobody was hit.

    Who is stopped goes on a moment later, or is killed instead.
    """
    kinds = by_kind(mark, runner)
    if not kinds:
        return None
    kind, number = rng.choice(sorted(kinds)), rng.choice(SIGNALS)
    target = rng.choice(kinds[kind])
    try:
        target.send_signal(number)
    except psutil.NoSuchProcess:
        return None
    if number is not signal.SIGSTOP:
        return kind, number.name
    time.sleep(rng.uniform(0, LONGEST_STOP_SECONDS))
    then = rng.choice((signal.SIGCONT, signal.SIGCONT, signal.SIGKILL))
    with contextlib.suppress(psutil.NoSuchProcess):
        target.send_signal(then)
    return kind, f"{number.name}, {then.name}"
