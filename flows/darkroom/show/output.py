"""Standard output and standard error of a command, whatever they are connected to.

Text is printed by the rules of `darkroom.base.escapes`, so that no text from outside moves the terminal's
cursor. A character that the encoding lacks is written as an escape. If standard output is closed, nothing is
printed. If it can no longer be written (the reader has left, the disk is full), OutputError says so once, and
nothing more is written. A broken standard error ends no command, since there is nobody to tell.

`python -m darkroom.show.output MODULE ARGUMENT...` runs a module with both.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from darkroom.base.errors import explain_os_error
from darkroom.base.escapes import escape, escape_lines
from darkroom.base.exits import Exit

ERRORS = "darkroom"
"""The name by which Python's streams know what to do with characters that their encoding has not."""

_PLAIN = {"│": "|", "…": "...", "·": "-", "█": "#", "░": "."}


class OutputError(Exception):
    """Standard output cannot be written any more."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(explain_os_error(cause))
        self._unread = isinstance(cause, BrokenPipeError)

    def tell(self) -> Exit:
        """Print the error, unless the reader has left (`darkroom plan | head`); return the exit code."""
        if self._unread:
            return Exit.UNREAD
        print(f"error: standard output: {self}", file=sys.stderr)
        return Exit.WRONG_INPUT


class Output:
    """A stream that shows hidden characters. `on_loss` is called when it can no longer be written."""

    def __init__(self, stream: IO[str], on_loss: Callable[[OSError], None]) -> None:
        self.stream, self.on_loss, self.closed = stream, on_loss, False

    def write(self, text: str) -> int:
        """Write text that may come from anywhere."""
        return self.write_styled(escape_lines(text))

    def write_styled(self, text: str) -> int:
        """Write text whose only escape sequences are darkroom's own."""
        if text:  # whoever tries the stream out by nothing would swallow the error
            with self._noticing():
                self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Let what was written appear."""
        with self._noticing():
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Take every other attribute from the stream itself."""
        return getattr(self.stream, name)

    @contextlib.contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _silence(self.stream)
            self.on_loss(error)


class Styled:
    """An `Output` for rich, which styles text. Its text has been escaped before."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, text: str) -> int:
        """Write text with escape sequences."""
        return self._output.write_styled(text)

    def __getattr__(self, name: str) -> Any:
        """Take every other attribute from the output itself."""
        return getattr(self._output, name)


_outputs: list[Output] = []
"""Standard output's, the newest last. DVC puts a wrapper of its own (colorama's) around what `sys` has."""


def standard_output() -> IO[str]:
    """Standard output for rich."""
    return cast(IO[str], Styled(_outputs[-1])) if _outputs else sys.stdout


def _raise(error: OSError) -> None:
    raise OutputError(error) from error


def _ignore(_: OSError) -> None:
    """Ignore the line: there is nobody to tell."""


def print_warning(text: str) -> None:
    """Say what did not go as it should, and ends nothing."""
    print(f"warning: {escape(text)}", file=sys.stderr)


def print_remark(text: str) -> None:
    """Say what goes on beside the command's output: on standard error, at once."""
    print(f"darkroom: {escape(text)}", file=sys.stderr, flush=True)


def open_missing() -> None:
    """Let the first three descriptors be open: a file would get the number of a closed one, and its text."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number


@contextlib.contextmanager
def shown_output() -> Iterator[None]:
    """Print to `Output`s until the block ends. Flush standard output before: its end tells of no loss."""
    with (
        _readied(sys.stdout) as out,
        _readied(sys.stderr) as err,
        _closed_later(Output(out, _raise)) as shown_out,
        _closed_later(Output(err, _ignore)) as shown_err,
        contextlib.redirect_stdout(cast(IO[str], shown_out)),
        contextlib.redirect_stderr(cast(IO[str], shown_err)),
    ):
        _outputs.append(shown_out)
        try:
            yield
        finally:
            _outputs.pop()


@contextlib.contextmanager
def _closed_later(output: Output) -> Iterator[Output]:
    """Who still has it then (colorama, at the process's end) sees that nothing is to be written any more."""
    try:
        yield output
    finally:
        output.closed = True


@contextlib.contextmanager
def _readied(stream: IO[str] | None) -> Iterator[IO[str]]:
    """The stream, ready for all characters; where it is closed, Python has none: one that goes nowhere."""
    if stream is None:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            yield nowhere
        return
    before = getattr(stream, "errors", None)
    _take_all(stream, ERRORS)
    try:
        yield stream
    finally:
        _take_all(stream, before)


def _take_all(stream: IO[str], errors: str | None) -> None:
    if errors is not None and hasattr(stream, "reconfigure"):
        try:
            stream.reconfigure(errors=errors)
        except OSError:  # it writes first what it still holds
            _silence(stream)


def go_on_without(work: str) -> None:
    """Let `work` go on from now on where standard output cannot be written; that is said once."""

    def say(error: OSError) -> None:
        said = f"{work} goes on, its output does not: {explain_os_error(error)}; its logs have the whole"
        print(f"darkroom: {said}", file=sys.stderr)

    for output in _outputs[-1:]:
        output.on_loss = say


def _silence(stream: IO[str]) -> None:
    """Discard everything that is written to the stream from now on, and its buffered text."""
    with contextlib.suppress(OSError, ValueError):  # it may be no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """Our own signs have plain ones beside them, others are written by their escapes."""
    assert isinstance(error, UnicodeEncodeError)
    signs = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign) or _escaped(sign) for sign in signs), error.end


def _escaped(sign: str) -> str:
    return sign.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(ERRORS, _plainer)


def _run_module() -> None:
    open_missing()
    module, sys.argv[:] = sys.argv[1], sys.argv[1:]
    try:
        with shown_output():
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            finally:
                sys.stdout.flush()
    except OutputError as error:
        sys.exit(error.tell())


if __name__ == "__main__":
    _run_module()
