"""The output of a stage: every byte goes into its log, and an excerpt to those who listen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from darkroom.base.errors import explain_os_error
from darkroom.processes.excerpt import Excerpt
from darkroom.processes.lines import LineSplitter

SHOWN_AT_ONCE, SHOWN_PER_SECOND = 1000, 500
"""Lines that are passed on at once, and in the long run: more than that nobody reads as it goes by."""

SHOWN_ERRORS = 100
"""Lines that are passed on beyond that, because they look like errors."""

_PIECE_BYTES = 1 << 20


class Pipe:
    """A command's output as it comes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._descriptor = file.fileno()
        self.open = True
        """Whether somebody may still write into it."""
        with contextlib.suppress(OSError):  # a user has a limit for all of them together
            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _PIECE_BYTES)
        os.set_blocking(self._descriptor, False)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def read(self) -> bytes:
        """What it holds, at most _PIECE_BYTES."""
        try:
            piece = os.read(self._descriptor, _PIECE_BYTES)
        except BlockingIOError:
            return b""
        self.open = bool(piece)
        return piece


class StageOutput:
    """Bytes as they come: into the log, the last lines, and an excerpt to the listeners.

    `on_line` gets lines, `on_bar` the state of a progress bar that is drawn anew in its line. Both are called
    in the thread that reads; while they take their time the stage waits once its pipe is full.
    """

    def __init__(
        self,
        log: Path | None,
        on_line: Callable[[str], None],
        on_bar: Callable[[str], None],
        last_lines: int,
    ) -> None:
        self._on_line, self._on_bar = on_line, on_bar
        self._splitter = LineSplitter()
        self._excerpt = Excerpt(
            first=SHOWN_AT_ONCE,
            errors=SHOWN_ERRORS,
            last=last_lines,
            per_second=SHOWN_PER_SECOND,
            whole=f"{log} has all of them" if log else "no file has them",
        )
        self._log: IO[bytes] | None = None
        self.last_lines: deque[str] = deque(maxlen=last_lines)
        if log is not None:
            with self._going_on_without(log):
                log.parent.mkdir(parents=True, exist_ok=True)
                self._log = log.open("ab", buffering=0)

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()

    @contextlib.contextmanager
    def _going_on_without(self, log: Path) -> Iterator[None]:
        """A log that cannot be written ends no training: that is said once, and no more is written."""
        try:
            yield
        except OSError as error:
            self.close()
            self._log = None
            self._on_line(f"darkroom: the rest of this output is not kept: {explain_os_error(error, log)}")

    def take(self, piece: bytes) -> None:
        """Take in what the stage has written."""
        if self._log is not None:
            with self._going_on_without(Path(self._log.name)):
                _write_all(self._log, piece)
        self._pass_on(self._splitter.feed(piece))
        if bar := self._splitter.redrawn:
            self._on_bar(_text(bar))

    def pause(self) -> None:
        """Pass on what was held back: nothing has come for a while."""
        for line in self._excerpt.catch_up():
            self._on_line(line)

    def end_command(self) -> None:
        """Take the line under way as ended, and pass on what was held back."""
        self._pass_on(self._splitter.end())
        self.pause()

    def tell_ended(self, left: Sequence[str]) -> None:
        """Say who had left the stage's process group and was ended, and how to have it stay."""
        if left:
            said = f"darkroom: ended what the stage had left running: {', '.join(left)}"
            line = f"{said}; `keep_daemons: true` under its meta in dvc.yaml lets its daemons stay"
            self.last_lines.append(line)
            self._on_line(line)

    def _pass_on(self, ended: Sequence[bytes]) -> None:
        if not ended:
            return
        lines = _text(b"\n".join(ended)).split("\n")  # far faster than one by one
        self.last_lines.extend(lines)
        for line in self._excerpt.take(lines):
            self._on_line(line)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")


def _write_all(log: IO[bytes], piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:  # a disk that runs full takes a part, and then raises
        rest = rest[log.write(rest) :]


def ready_among(files: Iterable[Pipe | int], seconds: float) -> set[int]:
    """The descriptors of the files that can be read from; waits so long for the first of them."""
    waited = select.poll()
    for file in files:
        waited.register(file, select.POLLIN)
    return {descriptor for descriptor, _ in waited.poll(seconds * 1000)}
