"""What a stage prints on its host, carried to the run in pieces: S3 cannot append to a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from darkroom.exchange.board import PIECE_BYTES, Board


class PrintedWriter:
    """Carries a growing file to the board; the last piece is written anew until it is full."""

    def __init__(self, board: Board, token: str, file: Path) -> None:
        self._board, self._token, self._file = board, token, file
        self._piece, self._content = 0, b""

    def carry(self) -> None:
        """Write what has been added since.

        Raises:
            OSError: The storage cannot be reached; the next call carries it, too.

        """
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            while True:
                file.seek(self._piece * PIECE_BYTES)
                content = file.read(PIECE_BYTES)
                if content != self._content:
                    self._board.write_output(self._token, self._piece, content)
                    self._content = content
                if len(content) < PIECE_BYTES:
                    return
                self._piece, self._content = self._piece + 1, b""


class PrintedReader:
    """Reads what a writer has carried, from where it was."""

    def __init__(self, board: Board, token: str) -> None:
        self._board, self._token = board, token
        self._piece, self._at = 0, 0

    def new(self) -> Iterator[bytes]:
        """What has come since.

        Raises:
            OSError: The storage cannot be reached.

        """
        while True:
            content = self._board.output(self._token, self._piece)
            if len(content) > self._at:
                yield content[self._at :]
                self._at = len(content)
            if self._at < PIECE_BYTES:
                return
            self._piece, self._at = self._piece + 1, 0
