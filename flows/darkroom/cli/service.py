"""`darkroom up`, `down` and `status`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkroom.base.escapes import escape
from darkroom.base.exits import Exit
from darkroom.base.files import POOLS_FILE, STATE_FOLDER
from darkroom.cli.options import as_json, in_repo
from darkroom.show import output

if TYPE_CHECKING:
    from darkroom.remote.executor import StageElsewhere


@click.command()
@in_repo
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="The server's port; default: the last one, else 4200, else a free one.",
)
@as_json
def up(repo: Path, port: int | None, as_json: bool) -> int:
    """Start Prefect's server and a worker for each work pool of prefect.yaml, and register its deployments.

    They go on when the terminal is closed, until `darkroom down`. Again: starts what was killed.
    """
    from darkroom.base.roots import root_of
    from darkroom.service import upkeep
    from darkroom.service.workers import DEPLOYMENTS

    done = upkeep.bring_up(root_of(repo), port, output.print_remark)
    if as_json:
        print(json.dumps({"pages": done.pages, "api": done.url, "pools": list(done.pools)}, indent=2))
        return Exit.WELL
    print(f"pages: {done.pages}")
    print(f"api: {done.url}")
    print("`darkroom ui` opens the pages, logged in")
    if not done.pools:
        print(f"no {DEPLOYMENTS}: nothing is scheduled, runs by hand are recorded in this server")
    return Exit.WELL


@click.command()
@in_repo
def down(repo: Path) -> int:
    """Stop what `darkroom up` has started. Stages that run write their checkpoints first."""
    from darkroom.base.roots import root_of
    from darkroom.service import upkeep

    print("down" if upkeep.bring_down(root_of(repo), output.print_remark) else "nothing was up")
    return Exit.WELL


@click.command()
@in_repo
@as_json
def status(repo: Path, as_json: bool) -> int:
    """Say what is up, what runs, what is due next, and what is stuck and why.

    Exit code 1 if it is not up or something is stuck.
    """
    from darkroom.base.roots import root_of
    from darkroom.service.status import project_status, status_lines
    from darkroom.service.workers import pools_of

    root = root_of(repo)
    found = project_status(root, pools_of(root))
    elsewhere = _elsewhere(root)
    if as_json:
        print(json.dumps({**found.to_json(), "elsewhere": list(map(asdict, elsewhere))}, indent=2))
    else:
        print(*map(escape, status_lines(found)), sep="\n")
        for one in elsewhere:
            print(f"elsewhere: {escape(one.describe())}")
        for line in found.stuck:
            print(f"stuck: {escape(line)}")
    return Exit.WELL if found.well else Exit.FAILED


def _elsewhere(root: Path) -> "tuple[StageElsewhere, ...]":
    """The stages that are with other hosts; what they need is imported only where the clone has pools."""
    if not (root / STATE_FOLDER / POOLS_FILE).exists():
        return ()
    from darkroom.remote.executor import stages_elsewhere

    return stages_elsewhere(root)
