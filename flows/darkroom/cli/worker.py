"""The command `darkroom worker`: this host executes stages of runs that other hosts have planned."""

import contextlib
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkroom.base.errors import UsageError
from darkroom.base.escapes import escape
from darkroom.base.exits import Exit
from darkroom.cli.options import as_json, in_repo

if TYPE_CHECKING:
    from darkroom.exchange.storages import Storage


@click.command()
@click.option("--pool", required=True, metavar="POOL", help="The pool whose stages this host takes.")
@click.option(
    "--storage",
    metavar="ADDRESS",
    help="A folder that all hosts see, s3://, ssh://, remote://NAME; that of pools.yaml if not given.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="This host's own folder for checkouts and fetched data; one in your cache if not given.",
)
@click.option("--jobs", "-j", type=click.IntRange(1), help="Stages at once; as many as cores if not given.")
@in_repo
def worker(pool: str, storage: str | None, folder: Path | None, jobs: int | None, repo: Path) -> int:
    """Execute stages of a pool on this host, until Ctrl-C.

    Needs git access to the commits and the folder that all hosts see. Each stage runs in a checkout of its
    own. At Ctrl-C what runs is ended, and goes on from its last checkpoint on another host.
    """
    from darkroom.exchange.storages import FolderStorage, check_storage
    from darkroom.hosting.cluster_job import own_folder
    from darkroom.hosting.place import HostPlace
    from darkroom.hosting.worker import Worker
    from darkroom.processes.stopping import stopping_on_signals

    place = HostPlace((folder or own_folder()).absolute(), _storage(storage, repo))
    if isinstance(place.storage, FolderStorage) and not place.storage.folder.is_dir():
        raise UsageError(
            f"--storage: {place.storage.address} is no folder; mount it, or name the one that the run uses"
        )
    check_storage(place.storage)
    stop = threading.Event()
    worker = Worker(place, pool, jobs, stop, lambda line: click.echo(f"darkroom: {line}"))
    with stopping_on_signals(stop, lambda: True):
        worker.run()
    return Exit.INTERRUPTED


@click.command()
@click.argument("run", required=False)
@in_repo
@as_json
def attempts(run: str | None, repo: Path, as_json: bool) -> int:
    """Say what became of a run's stages on other hosts: when, where, how they ended, which bytes were moved.

    RUN is the name of a run, as its folder in .darkroom/logs; the last one with such stages if not given.
    """
    from dataclasses import asdict

    from darkroom.base.roots import root_of
    from darkroom.remote.listing import attempts_of, table_lines

    name, entries = attempts_of(root_of(repo), run)
    if as_json:
        print(json.dumps({"run": name, "attempts": list(map(asdict, entries))}, indent=2))
    else:
        print(*map(escape, table_lines(name, entries)), sep="\n")
    return Exit.WELL


def _storage(address: str | None, repo: Path) -> "Storage":
    """The storage that is named, or that the repository's own pools use."""
    from darkroom.base.errors import RepoError
    from darkroom.base.roots import root_of
    from darkroom.exchange.storages import open_storage
    from darkroom.remote.pools import pools_of

    if address is not None:
        root = None
        if "://" in address:
            with contextlib.suppress(RepoError, UsageError):  # only a clone has remotes of its own
                root = root_of(repo)
        return open_storage(address, root)
    if pools := pools_of(root_of(repo)):
        return pools.storage
    raise UsageError("--storage: name the folder that all hosts see: this clone has no .darkroom/pools.yaml")
