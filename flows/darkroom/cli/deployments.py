"""`darkroom sweep`, `darkroom rollback` and `darkroom gc`."""

import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from darkroom.base.escapes import escape
from darkroom.base.exits import Exit
from darkroom.cli.options import as_json, in_repo

if TYPE_CHECKING:
    from darkroom.deployments.sweep import SweepEnd


@click.command()
@in_repo
@click.option(
    "--set-param",
    "-S",
    "params",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help="A parameter and what to try: train.lr=0.1,0.2, train.epochs=range(1,9), for --draws also"
    " train.lr=interval(0.001,0.1), tag(log,interval(0.001,0.1)), int(interval(8,64)). May be repeated.",
)
@click.option("--metric", required=True, metavar="FILE:NAME", help="The metric that ranks the trials.")
@click.option(
    "--lowest",
    is_flag=True,
    help="Lower is better; default: what dvc.yaml states, else higher.",
)
@click.option("--draws", default=0, help="Number of random draws; default: all combinations.")
@click.option("--seed", default=0, help="Same seed, same draws.")
@click.option("--jobs", "-j", "at_once", type=click.IntRange(1), default=1, help="Trials at the same time.")
@click.option("--name", default="sweep", show_default=True, help="How the names of the experiments begin.")
@as_json
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
def sweep(repo: Path, as_json: bool, **chosen: Any) -> int:
    """Try other parameters, each trial in a clone of its own and kept as a DVC experiment.

    They start from the last commit. Stopped or killed, the same again goes on where it was. With --json the
    progress goes to standard error, and the leaderboard to standard output.

    Exit code 1 if a trial fails.
    """
    from darkroom.base.roots import root_of
    from darkroom.show import output
    from darkroom.tracking.served import has_server

    output.go_on_without("the sweep")
    root = root_of(repo)
    with contextlib.ExitStack() as stack:
        recorded = has_server(root, os.environ, stack)
        stack.enter_context(contextlib.chdir(root))
        values = {name: list(v) if isinstance(v, tuple) else v for name, v in chosen.items()}
        end = _swept(values, recorded, progress=sys.stderr if as_json else sys.stdout)
    if end.failed:
        for line in end.said.split("\n"):
            print(f"error: {escape(line)}", file=sys.stderr)
    elif not as_json:
        print(end.said)
    if as_json:
        print(json.dumps({"metric": chosen["metric"], **end.to_json()}, indent=2))
    return Exit.FAILED if end.failed else Exit.WELL


def _swept(chosen: dict[str, Any], recorded: bool, *, progress: TextIO) -> "SweepEnd":
    """Sweep, as a flow of Prefect or without it, with a line of `progress` for each step; how it ended."""
    from darkroom.deployments.steps import StepFailedError
    from darkroom.deployments.sweep import SweepEnd, on_end, on_line, run_sweep, sweep
    from darkroom.processes.stage_process import no_line
    from darkroom.reporting.deliverers import PATIENCE
    from darkroom.show import output
    from darkroom.tracking.journal import Journal

    ends: list[SweepEnd] = []
    on_line.set(lambda line: print(line, file=progress, flush=True))
    on_end.set(ends.append)
    try:
        if recorded:
            sweep(**chosen)
        else:
            os.environ.setdefault(PATIENCE, "0")  # the trials' runs need not wait for it either
            run_sweep(Journal(no_line), **sweep.validate_parameters(chosen))
    except Exception as error:
        if not ends:
            raise
        if not isinstance(error, StepFailedError):
            output.print_warning(f"Prefect's server was lost, the sweep's pages are not complete: {error}")
    finally:
        # Prefect sends its own lines later, by a thread; their server may end with this command.
        for handler in logging.getLogger("prefect.flow_runs").handlers:
            handler.flush()
    return ends[0]


NOT_REMOVED = "nothing was removed; `darkroom gc --yes` does"


@click.command()
@in_repo
@click.option(
    "--days",
    default=30.0,
    show_default=True,
    help="Keep what was used, and what was committed, in so many days.",
)
@click.option("--yes", is_flag=True, help="Delete; without it, only list what would be deleted.")
@as_json
def gc(repo: Path, days: float, yes: bool, as_json: bool) -> int:
    """Free disk space: old logs, clones, checkpoints and decoded pictures, results that nothing refers to.

    Of the cache, what the workspace, a branch, a tag, an experiment or a commit of these days needs is kept,
    and what released models are made of with it. Old copies of models in .darkroom/released go, but for
    released versions. A cache outside the project is left alone: others may share it. Prefect's server
    removes old runs by itself.
    """
    from darkroom.base.roots import root_of
    from darkroom.clones import garbage
    from darkroom.server.sharing import end_recorder

    root = root_of(repo)
    with garbage.found_garbage(root, days) as found:
        kinds = {kind: (garbage.total_bytes(paths), len(paths)) for kind, paths in found.kinds().items()}
        if not as_json:
            for kind, (size, count) in kinds.items():
                print(f"{size / 1e6:10.1f} MB  {kind} ({count})")
            if found.busy:
                print(f"the cache is left alone: {found.busy}")
        if kinds and yes:
            end_recorder(root)
            garbage.remove_garbage(root, found)
        if as_json:
            listed = [{"kind": kind, "bytes": size, "paths": count} for kind, (size, count) in kinds.items()]
            removal = {"found": listed, "removed": bool(kinds and yes), "cache_in_use": found.busy or None}
            print(json.dumps(removal, indent=2))
        else:
            print("nothing to free" if not kinds else "removed" if yes else NOT_REMOVED)
    return Exit.WELL


@click.command()
@in_repo
@as_json
def rollback(repo: Path, as_json: bool) -> int:
    """Take the released version back: the one before it that was in use is released again.

    That is a tag of git's; `git push --tags` tells others.
    """
    from darkroom.base.errors import UsageError
    from darkroom.base.roots import root_of
    from darkroom.releases import gate, releases

    root = root_of(repo)
    asked = gate.read_gate(root)
    if asked is None:
        raise UsageError(f"{gate.PARAMS_FILE}: {gate.KEY}: there is none, and so nothing was released")
    now = releases.roll_back(root, asked.release, asked.stage)
    if as_json:
        print(json.dumps({"release": asked.release, "version": now.version, "commit": now.commit}))
    else:
        print(f"{asked.release} {now.version} is released ({now.commit[:12]})")
    return Exit.WELL
