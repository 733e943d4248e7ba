"""The command `darkroom worker`: this host executes stages of runs that other hosts have planned."""

import threading
from pathlib import Path

import click

from darkroom.base.errors import UsageError
from darkroom.base.exits import Exit
from darkroom.cli.options import in_repo


@click.command()
@click.option("--pool", required=True, metavar="POOL", help="The pool whose stages this host takes.")
@click.option(
    "--storage",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder that all hosts see; the one of .darkroom/pools.yaml if not given.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="This host's own folder for checkouts and fetched data; one in your cache if not given.",
)
@click.option("--jobs", "-j", type=click.IntRange(1), help="Stages at once; as many as cores if not given.")
@in_repo
def worker(pool: str, storage: Path | None, folder: Path | None, jobs: int | None, repo: Path) -> int:
    """Execute stages of a pool on this host, until Ctrl-C.

    Needs git access to the commits and the folder that all hosts see. Each stage runs in a checkout of its
    own. At Ctrl-C what runs is ended, and goes on from its last checkpoint on another host.
    """
    from darkroom.hosting.cluster_job import own_folder
    from darkroom.hosting.execution import HostPlace
    from darkroom.hosting.worker import Worker
    from darkroom.processes.stopping import stopping_on_signals

    place = HostPlace((folder or own_folder()).absolute(), (storage or _storage(repo)).absolute())
    if not place.storage.is_dir():
        raise UsageError(
            f"--storage: {place.storage} is no folder; mount it, or name the one that the run uses"
        )
    stop = threading.Event()
    worker = Worker(place, pool, jobs, stop, lambda line: click.echo(f"darkroom: {line}"))
    with stopping_on_signals(stop, lambda: True):
        worker.run()
    return Exit.INTERRUPTED


def _storage(repo: Path) -> Path:
    """The storage that the repository's own pools use."""
    from darkroom.base.roots import root_of
    from darkroom.remote.pools import pools_of

    if pools := pools_of(root_of(repo)):
        return pools.file.storage
    raise UsageError("--storage: name the folder that all hosts see: this clone has no .darkroom/pools.yaml")
