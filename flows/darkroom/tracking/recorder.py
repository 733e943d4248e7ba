"""What records a run: Prefect, or nobody where it cannot be had. That keeps no run from its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import TRACEBACK, UsageError, explain_os_error
from darkroom.runs.ended import EndedRun
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event
from darkroom.server.api import Api, Configured, prefect_api, silence_of
from darkroom.server.clients import API_URL
from darkroom.show.output import print_warning
from darkroom.tracking.unrecorded import run_unrecorded

SILENT_SECONDS = 3.0
"""Seconds for a server, at the end of a run, that was silent at the start too: it may have come."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """Stands in for a recorder where Prefect cannot be had: it records nothing."""

    where_to_look: str = ""
    answers: bool = False

    def run(
        self, options: RunOptions, root: Path, observe: Callable[[Event], None]
    ) -> tuple[EndedRun, str | None]:
        """Run the stages unrecorded."""
        return run_unrecorded(options, root, observe), None


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records runs in the Prefect server at `api`."""

    api: Api
    patience: float
    """Seconds of the server's silence that a run waits for at its end."""

    @property
    def answers(self) -> bool:
        """Whether the server answered at the start."""
        return not self.api.problem

    @property
    def where_to_look(self) -> str:
        """A sentence that leads to the run's pages."""
        return self.api.where_to_look

    def run(
        self, options: RunOptions, root: Path, observe: Callable[[Event], None]
    ) -> tuple[EndedRun, str | None]:
        """Run the stages; what Prefect was not told, and why, unless it was said before."""
        from darkroom.tracking.pipeline import run_recorded

        record, lost = run_recorded(options, root, observe, patience=self.patience)
        said_before = self.api.problem and silence_of(Configured(self.api.url, API_URL))
        return record, None if said_before else lost


def start_recorder(root: Path, environ: Mapping[str, str], stack: ExitStack) -> Recorder | Nobody:
    """Find Prefect's server, or start one until the stack ends; what is wrong with it is said in a line.

    Raises:
        UsageError: The environment asks for a patience that is no number of seconds.

    """
    try:
        api = stack.enter_context(prefect_api(root))
        from darkroom.tracking.pipeline import PATIENCE, patience_of

        if api.problem:
            print_warning(f"the run is recorded only if the server comes in time: {api.problem}")
        brief = api.problem and not environ.get(PATIENCE)
        return Recorder(api, SILENT_SECONDS if brief else patience_of(environ))
    except UsageError:
        raise
    except Exception as error:  # of Prefect's, its settings or its database: the stages need none of them
        if environ.get(TRACEBACK):
            raise
        said = explain_os_error(error) if isinstance(error, OSError) else str(error) or type(error).__name__
        print_warning(f"this run is not recorded by Prefect: {' '.join(said.split())}")
        return Nobody()
