"""Lines from bytes that arrive in pieces, as a terminal would show them, in bounded memory."""

from __future__ import annotations

LONGEST_LINE = 16_384
"""Bytes of a line that are kept; how many more there were is said at its end."""


class LineSplitter:
    """Splits what a program writes into lines, however it is cut into pieces.

    A line ends with a line feed; a carriage return before that belongs to the end. At any other carriage
    return the line starts again, as on a terminal. So a progress bar gives one line, its last state.
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._kept = b""
        self._cut = 0
        self._returned = False
        self._redrawn = False

    def feed(self, piece: bytes) -> list[bytes]:
        """Take in the next bytes; the lines that they end, without line ends."""
        piece = piece.replace(b"\r\n", b"\n")
        first, *others = piece.split(b"\n")
        self._go_on(first)
        if not others:
            return []
        *whole, rest = others
        plain = b"\r" not in piece and max(map(len, whole), default=0) <= self._longest
        lines = [self._end(), *(whole if plain else map(self._whole, whole))]
        self._go_on(rest)
        return lines

    def end(self) -> list[bytes]:
        """The line that had no end, if there is one: nothing more comes."""
        return [self._end()] if self._kept else []

    @property
    def redrawn(self) -> bytes:
        """The current state of an unfinished line that has been redrawn; empty for any other line."""
        return self._kept if self._redrawn else b""

    def _whole(self, line: bytes) -> bytes:
        self._go_on(line)
        return self._end()

    def _go_on(self, text: bytes) -> None:
        written = text.rstrip(b"\r")
        if written:
            _, redrawn, last = written.rpartition(b"\r")
            if redrawn or self._returned:
                self._kept, self._cut, self._redrawn = b"", 0, True
            room = self._longest - len(self._kept)
            self._kept += last[:room]
            self._cut += len(last[room:])
            self._returned = False
        self._returned |= len(written) < len(text)
        self._redrawn |= self._returned

    def _end(self) -> bytes:
        line = self._kept + (f"... [{self._cut:,} bytes more]".encode() if self._cut else b"")
        self._kept, self._cut, self._returned, self._redrawn = b"", 0, False, False
        return line
