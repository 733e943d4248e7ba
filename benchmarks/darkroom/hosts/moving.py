"""What a storage takes and gives: bytes a second of large files, and files a second of small ones.

    python -m benchmarks.darkroom.hosts.moving [--large 256] [--small 2000]
        [--out benchmarks/darkroom/results/moving.md]

A folder on this machine's disk, and the same behind Debian's sshd on this machine: no network is between.
Each file is stored once, and then fetched with its hash checked, as a host does with a stage's data.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from benchmarks.machine import describe
from darkroom.exchange.storages import open_storage
from tests.darkroom.exchange.servers import sshd, why_no_sshd

SMALL_BYTES = 2_000
LARGE_FILES = 4
MEGABYTE = 1_000_000

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """One case."""

    storage: str
    what: str
    files: int
    size: int
    put: float
    """Seconds until all was stored."""
    placed: float
    """Seconds until all was fetched."""
    listing: int
    """Bytes of the folder's listing in the storage."""


def measure(large: int, small: int) -> Iterator[Moved]:
    """Each storage with large and with small files."""
    with tempfile.TemporaryDirectory(prefix="darkroom-moving-") as name, ExitStack() as at_end:
        folder = Path(name)
        each = large // LARGE_FILES
        cases = {
            f"{LARGE_FILES} files of {each} MB": (LARGE_FILES, each * MEGABYTE),
            f"{small:,} files of 2 kB": (small, SMALL_BYTES),
        }
        addresses = {"a folder": str(folder / "storage")}
        if why_no_sshd() is None:
            server = at_end.enter_context(sshd(folder / "sshd"))
            os.environ["HOME"] = str(server.home)
            addresses["a folder behind sshd"] = server.address(folder / "far")
        for number, (what, (count, size)) in enumerate(cases.items()):
            source = folder / f"source{number}"
            source.mkdir()
            for at in range(count):
                (source / f"{at:07}.bin").write_bytes(os.urandom(size))
            for storage, address in addresses.items():
                yield one(storage, what, address, source, folder / f"{number}{len(storage)}", count * size)


def one(storage: str, what: str, address: str, source: Path, target: Path, size: int) -> Moved:
    """Store a folder and fetch it."""
    blobs = open_storage(address).blobs()
    put, blob = timed(lambda: blobs.put(source))
    placed, _ = timed(lambda: open_storage(address).blobs().place(blob, target))
    files = sum(1 for _ in source.iterdir())
    found = Moved(
        storage=storage,
        what=what,
        files=files,
        size=size,
        put=put,
        placed=placed,
        listing=blobs.written - size,
    )
    print(found, flush=True)
    return found


def timed(work: Callable[[], Answer]) -> tuple[float, Answer]:
    """The seconds that something takes, and its answer."""
    began = time.monotonic()
    answer = work()
    return time.monotonic() - began, answer


def report(found: list[Moved], command: str) -> str:
    """The page that is committed."""
    lines = [
        "# What a storage takes and gives",
        "",
        f"`{command}` on {describe()}.",
        "The storage is on this machine: no network is between.",
        "",
        "| storage | data | stored | fetched and checked | listing, bytes a file |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        if one.files > LARGE_FILES:
            speeds = [f"{one.files / seconds:,.0f} files a second" for seconds in (one.put, one.placed)]
        else:
            speeds = [f"{one.size / seconds / MEGABYTE:,.0f} MB/s" for seconds in (one.put, one.placed)]
        lines.append(f"| {one.storage} | {one.what} | {' | '.join(speeds)} | {one.listing / one.files:.0f} |")
    return "\n".join(lines) + "\n"


@click.command(help=__doc__)
@click.option("--large", type=click.IntRange(min=4), default=256, help="MB in large files.")
@click.option("--small", type=click.IntRange(min=5), default=2_000, help="Small files.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the page.")
def main(large: int, small: int, out: Path | None) -> None:
    """Measure, print, and write the page if `--out` names one."""
    command = f"python -m benchmarks.darkroom.hosts.moving --large {large} --small {small}"
    text = report(list(measure(large, small)), command)
    print(text)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
