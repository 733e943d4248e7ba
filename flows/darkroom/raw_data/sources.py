"""Sources of raw files, and how a file is written: streamed, checked, completely or not at all.

FileUnavailableError      the source does not have this file
SourceUnavailableError    the source cannot be reached, so asking it for the next file is useless
WrongContentError         the content does not have the promised hash
"""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import httpx

from darkroom.base.files import half_written

CHUNK = 1 << 20  # bytes
APT_SECONDS = 300  # 30 MB over a slow line
PAUSES = (1.0, 4.0)  # seconds before the second and the third try
SLOWEST = 1_000  # bytes a second, on average: what is slower would take for ever
PATIENCE_SECONDS = 60  # before a download may be called too slow


NAME = "{name}"
"""Stands for the file's name in addresses and paths; any other brace is a brace."""

PACKED = ".gz"


class FileUnavailableError(Exception):
    """The source does not have this file."""


class SourceUnavailableError(Exception):
    """The source cannot be asked."""


class WrongContentError(Exception):
    """The content is not what its hash promises."""


class Source(Protocol):
    """Something that has files by name; its string says for people what it is."""

    def open(self, name: str, scratch: Path, size: int | None) -> AbstractContextManager[BinaryIO]:
        """The unpacked bytes of the file `name`; `scratch` is a folder for what must be kept meanwhile.

        `size`: how many bytes are expected, where that is known.

        Raises:
            FileUnavailableError: It does not have the file.
            SourceUnavailableError: It cannot be asked.

        """


@dataclass(frozen=True)
class FolderSource:
    """A folder that holds the files, gzipped or as they are."""

    path: Path

    def __str__(self) -> str:
        return f"folder {self.path}"

    def open(
        self,
        name: str,
        scratch: Path,  # noqa: ARG002
        size: int | None,  # noqa: ARG002
    ) -> AbstractContextManager[BinaryIO]:
        """See `Source`."""
        for candidate in (self.path / name, self.path / f"{name}.gz"):
            if candidate.is_file():
                return open_unpacked(candidate)
        raise FileUnavailableError(f"holds neither {name} nor {name}.gz")


@dataclass(frozen=True, kw_only=True)
class DebianSource:
    """A Debian package: as installed, else downloaded and unpacked, which needs no root."""

    package: str
    path: str
    """The path of a file once the package is installed; "{name}" stands for the file's name."""

    def __str__(self) -> str:
        return f"Debian package {self.package}"

    def open(
        self,
        name: str,
        scratch: Path,
        size: int | None,  # noqa: ARG002
    ) -> AbstractContextManager[BinaryIO]:
        """See `Source`."""
        path = Path(self.path.replace(NAME, name))
        if not path.is_file():
            path = self._unpacked(scratch) / path.relative_to("/")
        if not path.is_file():
            raise FileUnavailableError(f"holds no {path.name}")
        return open_unpacked(path)

    def _unpacked(self, scratch: Path) -> Path:
        """The folder with the package's files; downloaded at the first call."""
        root = scratch / self.package
        if not root.exists():
            if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
                raise SourceUnavailableError("not installed, and this system has no apt-get")
            _call(["apt-get", "--quiet", "download", self.package], scratch)
            (archive,) = scratch.glob(f"{self.package}_*.deb")
            _call(["dpkg-deb", "--extract", str(archive), str(root)], scratch)
        return root


@dataclass(frozen=True)
class WebSource:
    """An address; "{name}" stands for the file's name."""

    url: str
    pauses: tuple[float, ...] = PAUSES

    def __str__(self) -> str:
        return self.url.replace(NAME, "...")

    def open(self, name: str, scratch: Path, size: int | None) -> AbstractContextManager[BinaryIO]:
        """See `Source`. A download that breaks off is tried again."""
        url = self.url.replace(NAME, urllib.parse.quote(name))
        packed = re.split(r"[?#]", url)[0].endswith(PACKED)
        target = scratch / f"download{PACKED if packed else ''}"
        for pause in (*self.pauses, None):
            try:
                _download(url, target, _most_bytes(size, scratch))
                break
            except (httpx.TooManyRedirects, httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError) as error:
                raise SourceUnavailableError(f"{url}: {error}") from None
            except httpx.HTTPStatusError as error:
                if not error.response.is_server_error:
                    raise FileUnavailableError(f"answers {error.response.status_code} for {name}") from None
                problem = f"answers {error.response.status_code}"
            except httpx.HTTPError as error:
                problem = str(error) or type(error).__name__
            if pause is None:
                tries = "1 try" if not self.pauses else f"{1 + len(self.pauses)} tries"
                raise SourceUnavailableError(f"{problem} ({tries})")
            time.sleep(pause)
        return open_unpacked(target)


def open_unpacked(path: Path) -> AbstractContextManager[BinaryIO]:
    """The file's bytes, unpacked where its name ends in .gz."""
    return _gunzipped(path) if path.suffix == PACKED else path.open("rb")


@contextmanager
def _gunzipped(path: Path) -> Iterator[BinaryIO]:
    try:
        with gzip.open(path) as stream:
            yield cast("BinaryIO", stream)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise WrongContentError(f"{path.name} is broken: {error}") from None


def write_checked(stream: BinaryIO, path: Path, md5: str, size: int | None = None) -> None:
    """Write `stream` to `path`, which appears when all of it is there and has this hash, and not before.

    Raises:
        WrongContentError: Another hash, or more than `size` bytes.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = half_written(path)
    digest = hashlib.md5(usedforsecurity=False)  # DVC's choice
    try:
        most = shutil.disk_usage(path.parent).free // 2 if size is None else size
        with partial.open("wb") as file:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
                if file.tell() > most:
                    raise WrongContentError(f"it has more than the {most} bytes that it may have")
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != md5:
            raise WrongContentError(f"md5 is {digest.hexdigest()}, expected {md5}")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def file_md5(path: Path) -> str:
    """The file's md5, as DVC writes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _most_bytes(size: int | None, scratch: Path) -> int:
    """The bytes that a download may have; a packed file can be larger by headers and little else."""
    return shutil.disk_usage(scratch).free // 2 if size is None else size + size // 100 + CHUNK


def _download(url: str, target: Path, most: int) -> None:
    """Write what `url` answers to `target`; httpx raises where less comes than was announced.

    Raises:
        SourceUnavailableError: It has no end (more than `most` bytes) or is too slow.

    """
    # Unpacking is ours: a server that packs a second time on the way would be unpacked unseen.
    headers = {"Accept-Encoding": "identity"}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=30) as response:
        response.raise_for_status()
        started = time.monotonic()
        with target.open("wb") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                seconds = time.monotonic() - started
                if file.tell() > most:
                    raise SourceUnavailableError(f"{url}: sends more than the {most} bytes that it may have")
                if seconds > PATIENCE_SECONDS and file.tell() < SLOWEST * seconds:
                    raise SourceUnavailableError(f"{url}: sends less than {SLOWEST} bytes a second")


def _call(command: list[str], folder: Path) -> None:
    """Run `command` in `folder`.

    Raises:
        SourceUnavailableError: With its last line of output, where it fails or takes too long.

    """
    try:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            timeout=APT_SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except subprocess.TimeoutExpired:
        raise SourceUnavailableError(f"{command[0]} took more than {APT_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        lines = error.stdout.strip().splitlines() or ["it failed without a word"]
        raise SourceUnavailableError(f"{command[0]}: {lines[-1]}") from None
