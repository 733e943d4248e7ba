"""What becomes of a stage on another host, as the run shows it: its output, and a table of its attempts."""

from __future__ import annotations

import contextlib
from typing import Any

from darkroom.exchange.board import Board
from darkroom.exchange.orders import Record
from darkroom.exchange.printed import PrintedReader
from darkroom.processes.stage_output import StageOutput
from darkroom.processes.stage_process import LAST_LINES, StageJob, StageResult
from darkroom.remote.attempt import RemoteAttempt
from darkroom.runs.attempt_table import AttemptLine, AttemptTable


def refused_by(host: str, pool: str, why: str) -> str:
    """Why a host will never take a stage, in words."""
    return f"host {host} of pool {pool} can never execute it: {why}"


class Story:
    """What becomes of one attempt, for the run's table."""

    def __init__(self, job: StageJob, sent: int) -> None:
        self._job, self._sent, self.host = job, sent, ""

    def tell(self, event: str, **more: Any) -> None:
        """Note what has happened just now."""
        if self._job.log is not None:
            entry = AttemptLine(
                stage=self._job.name, attempt=self._job.attempt, event=event, host=self.host, **more
            )
            AttemptTable(self._job.log.parent).write(entry)

    def end(self, result: StageResult, record: Record | None = None, received: int = 0) -> None:
        """Note how it ended, and which bytes were moved for it."""
        why = "" if result.well else result.describe()
        fetched, stored = (record.fetched, record.stored) if record else (0, 0)
        self.host = record.host if record else self.host
        moved = {"sent": self._sent, "fetched": fetched, "stored": stored, "received": received}
        self.tell(result.ending.value, why=why, **moved)


class FollowedOutput:
    """What a stage prints on its host, into the log and to the listeners of this run."""

    def __init__(self, job: StageJob, board: Board, pool: str, story: Story) -> None:
        self._job, self._board, self._pool, self._story = job, board, pool, story
        self._output = StageOutput(job.log, job.on_line, job.on_bar, LAST_LINES)
        self._token, self._host = "", ""
        self._printed = PrintedReader(board, "")
        self._refused: set[str] = set()

    def follow(self, attempt: RemoteAttempt) -> None:
        """Take what was printed since."""
        if self._token != attempt.order.token:
            self._token, self._refused = attempt.order.token, set()
            self._printed = PrintedReader(self._board, self._token)
        if attempt.seen and attempt.seen.host and attempt.seen.host != self._host:
            self._host = self._story.host = attempt.seen.host
            self._story.tell("runs")
            self._output.take(f"darkroom: runs on host {self._host} of pool {self._pool}\n".encode())
        for host, why in (attempt.seen.refusals if attempt.seen else {}).items():
            if host not in self._refused:
                self._refused.add(host)
                self._output.take(f"darkroom: waits: {refused_by(host, self._pool, why)}\n".encode())
        if self._host:
            with contextlib.suppress(OSError):  # at the next look
                for new in self._printed.new():
                    self._output.take(new)

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The end of it."""
        return tuple(self._output.last_lines)

    def close(self) -> None:
        """End the last line, and the log."""
        self._output.end_command()
        self._output.close()
