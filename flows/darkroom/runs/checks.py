"""Whether stages accept their parameters, asked before any stage starts and before outs are removed.

A stage names a command for this under `meta.check_params`. If the command fails, its output lists the faults.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator

from darkroom.base.errors import InvalidParamsError
from darkroom.base.text import format_count, format_duration
from darkroom.schedule.plan import Check

CHECK_SECONDS = 120.0
"""The time after which all checks together are given up: they are meant to be quick."""

_FAULTS = 50
"""The most lines of one check that are shown."""


def require_valid_params(checks: Iterable[Check]) -> None:
    """Run the checks side by side.

    Raises:
        InvalidParamsError: At least one fails; with all faults of all of them, none twice.

    """
    give_up = time.monotonic() + CHECK_SECONDS
    with contextlib.ExitStack() as stack:
        started = [(check, stack.enter_context(_started(check))) for check in checks]
        faults = [line for check, process in started for line in _faults(check, process, give_up)]
    if faults:
        raise InvalidParamsError(tuple(dict.fromkeys(faults)))


@contextlib.contextmanager
def _started(check: Check) -> Iterator[subprocess.Popen[str]]:
    """The check as a process group of its own, which ends with the block."""
    with subprocess.Popen(
        check.command,
        shell=True,
        cwd=check.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # the terminal and its Ctrl-C are the run's
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _faults(check: Check, process: subprocess.Popen[str], give_up: float) -> list[str]:
    """What the check finds wrong, a line each; nothing where it succeeds."""
    try:
        said, _ = process.communicate(timeout=max(0.0, give_up - time.monotonic()))
    except subprocess.TimeoutExpired:
        return [f"meta.check_params: `{check.command}` takes more than {format_duration(CHECK_SECONDS)}"]
    if process.returncode == 0:
        return []
    lines = [line.removeprefix("error: ") for line in said.splitlines() if line.strip()]
    if not lines:
        code = process.returncode
        return [f"meta.check_params: `{check.command}` ended with exit code {code}, without a word"]
    more = len(lines) - _FAULTS
    return lines if more <= 0 else [*lines[:_FAULTS], f"and {format_count(more, 'line')} more"]
