"""The file in which a run's letters wait until they are delivered. It outlives the run's process.

The run holds a lock on it, and the kernel frees the lock however the run ends. An outbox that is neither
locked nor closed belongs to a run that was killed. The file gets its name only when it is locked and has its
first letter. So nobody ever mistakes a new outbox for an abandoned one. Whoever has delivered all letters
removes the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import explain_os_error
from darkroom.base.files import STATE_FOLDER, make_private_folder, make_state_folder
from darkroom.reporting.letters import Closed, Drew, Letter, Opened, Said, from_line, new_id, to_line

FOLDER = "outbox"
SUFFIX = ".jsonl"
LINES_BYTES = 64_000_000
"""The most bytes of log lines in one outbox: what comes after is in the stages' log files alone."""

WAITING_BYTES = 16_000_000
"""The most bytes of letters that a full disk does not take, and that wait in memory."""

READ_BYTES = 1_000_000
"""How much of an outbox is read at a time, if no letter is longer."""


def outbox_folder(root: Path) -> Path:
    """The folder in which the project whose root is `root` keeps its outboxes."""
    return root / STATE_FOLDER / FOLDER


class Outbox:
    """A run's own end of its outbox. Any thread may put letters in.

    Raises:
        DarkroomError, OSError: It cannot be made.

    """

    def __init__(self, root: Path, to: str, name: str) -> None:
        folder = outbox_folder(root.absolute())
        make_state_folder(folder.parent)
        make_private_folder(folder)
        # By its name the first one is delivered first.
        self.path = folder / f"{time.time():.3f}-{new_id()[:8]}{SUFFIX}"
        hidden = self.path.with_name(f".{self.path.name}.new")
        self._lock = threading.Lock()
        self._waiting: list[tuple[bytes, bool]] = []
        self._size = self._waiting_bytes = self._lines_bytes = 0
        self._synced = 0
        self._last = 0  # microseconds
        self.lost_lines = 0
        self.problem = ""
        """Why letters wait in memory, in a line."""
        self._file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self.put(Opened(at=self.now(), to=to, name=name))
            if self.problem:
                raise OSError(self.problem)
            hidden.rename(self.path)
        except BaseException:
            hidden.unlink(missing_ok=True)
            os.close(self._file)
            raise

    def now(self) -> float:
        """The seconds since 1970; later than the time before in this outbox, whatever clocks say."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return self._last / 1e6

    def put(self, letter: Letter) -> None:
        """Write a letter. Where the disk takes none it waits, and is written before the next one.

        A line of a log for which there is no room is lost, and counted.
        """
        content, is_line = to_line(letter), isinstance(letter, Said | Drew)
        with self._lock:
            if is_line:
                full = self._waiting_bytes + len(content) > WAITING_BYTES
                if full or self._lines_bytes + len(content) > LINES_BYTES:
                    self.lost_lines += 1
                    return
                self._lines_bytes += len(content)
            self._waiting.append((content, is_line))
            self._waiting_bytes += len(content)
            self._write()

    def _write(self) -> None:
        content = b"".join(each for each, _ in self._waiting)
        try:
            written = 0
            while written < len(content):  # a full disk takes a part first
                written += os.write(self._file, content[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)  # no half letter, to which the next one would be added
            self.problem = explain_os_error(error, self.path)
            return
        self._size += len(content)
        self._waiting, self._waiting_bytes, self.problem = [], 0, ""

    def sync(self) -> None:
        """Write to disk what was written so far, so that a power cut leaves it."""
        size = self._size
        if size > self._synced:
            with contextlib.suppress(OSError):  # then it is as safe as the disk is
                os.fdatasync(self._file)
            self._synced = size

    def is_told_to_stop(self) -> bool:
        """Whether somebody has cancelled the run on Prefect's pages."""
        return stop_file(self.path).exists()

    def is_delivered(self) -> bool:
        """Whether all of it is delivered, and the file is gone."""
        return not os.fstat(self._file).st_nlink

    def end(self) -> None:
        """Say that nothing more comes; what the disk has not taken is lost."""
        self.put(Closed(at=self.now()))
        self.sync()

    def close(self) -> None:
        """Give the file up."""
        os.close(self._file)

    def unwritten(self) -> int:
        """How many letters the disk has not taken."""
        with self._lock:
            return len(self._waiting)


def stop_file(outbox: Path) -> Path:
    """The file that tells the run of an outbox to stop."""
    return outbox.with_suffix(".stop")


def position_file(outbox: Path) -> Path:
    """The file that says up to which byte an outbox is delivered to a server elsewhere."""
    return outbox.with_suffix(".told")


def waiting_outboxes(root: Path) -> list[Path]:
    """The outboxes of the project that are not delivered, the oldest first."""
    folder = outbox_folder(root)
    try:
        return sorted(
            path for path in folder.iterdir() if path.suffix == SUFFIX and not path.name.startswith(".")
        )
    except FileNotFoundError:
        return []


@dataclass(frozen=True, slots=True)
class Posted:
    """A letter in an outbox."""

    end: int
    """The byte after it."""
    letter: Letter | None
    """The letter; None: it cannot be read."""


def read_letters(outbox: Path, start: int) -> list[Posted]:
    """Some of the letters from the byte `start` on; none where there are no whole ones.

    Raises:
        FileNotFoundError: All of it is delivered.

    """
    with outbox.open("rb") as file:
        file.seek(start)
        content = file.read(READ_BYTES)
        while b"\n" not in content and (more := file.read(READ_BYTES)):
            content += more
    return list(_split(content, start))


def _split(content: bytes, start: int) -> Iterator[Posted]:
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        start += len(line)
        yield Posted(start, from_line(line))


def first_letter(outbox: Path) -> Opened | None:
    """The letter that says where an outbox goes; None where it cannot be read."""
    with contextlib.suppress(OSError), outbox.open("rb") as file:
        letter = from_line(file.readline())
        return letter if isinstance(letter, Opened) else None
    return None


def is_held(outbox: Path) -> bool:
    """Whether the run of an outbox lives.

    Raises:
        FileNotFoundError: All of it is delivered.

    """
    descriptor = os.open(outbox, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove_outbox(outbox: Path) -> None:
    """Remove an outbox that is fully delivered, and the files beside it."""
    for path in (outbox, stop_file(outbox), position_file(outbox)):
        path.unlink(missing_ok=True)
