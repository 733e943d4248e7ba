"""The command `darkroom`.

Exit codes: 0 all is well (`plan`: nothing to do); 1 a stage failed; 2 what the user gave is wrong, said in
one line; 3 there is work to do (`plan`); 130 interrupted by Ctrl-C, SIGTERM or a cancel on Prefect's pages:
what runs is ended, what has finished stays.
"""

import atexit
import functools
import gc
import json
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.errors import DarkroomError

if TYPE_CHECKING:
    from flows.plan import Plan
    from flows.run import RunOptions, RunReport

# DVC, Prefect and rich are imported where they are used: what does not need them stays quick.


class Exit(IntEnum):
    """What the command's exit codes mean."""

    WELL = 0
    FAILED = 1
    WRONG_INPUT = 2
    WORK_TO_DO = 3
    INTERRUPTED = 130


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Run DVC pipelines in parallel, recorded by Prefect, equal to `dvc repro` byte for byte.",
)


def command(function: Callable[..., int]) -> Callable[..., int]:
    """Make `function` a command of its name: it returns an exit code; a user's error is one line."""

    @functools.wraps(function)
    def ending_with_its_code(*args: Any, **options: Any) -> None:
        raise typer.Exit(_exit_code(lambda: function(*args, **options)))

    app.command()(ending_with_its_code)
    return function


def _exit_code(work: Callable[[], int]) -> int:
    try:
        return work()
    except DarkroomError as error:
        if os.environ.get("DARKROOM_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return Exit.WRONG_INPUT
    except KeyboardInterrupt:
        print("darkroom: interrupted", file=sys.stderr)
        return Exit.INTERRUPTED


Targets = Annotated[
    list[str] | None, typer.Argument(metavar="[TARGET]...", help="Stages or dvc.yaml files; all if none.")
]
Repo = Annotated[Path, typer.Option(help="A folder of the DVC repository.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Stages at once; as many as cores if not given.")
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Run stages even if they are up to date.")]
SingleItem = Annotated[
    bool, typer.Option("--single-item", "-s", help="Only the targets, not what they need.")
]
Downstream = Annotated[bool, typer.Option("--downstream", help="The targets and what depends on them.")]
AllPipelines = Annotated[
    bool, typer.Option("--all-pipelines", "-P", help="All dvc.yaml files of the repository.")
]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", "-k", help="After a failure, finish what does not depend on it.")
]
Pull = Annotated[bool, typer.Option("--pull", help="Fetch missing data and results from the DVC remote.")]
NoCommit = Annotated[bool, typer.Option("--no-commit", help="Do not put results into DVC's cache.")]


@command
def run(
    targets: Targets = None,
    repo: Repo = Path(),
    jobs: Jobs = None,
    force: Force = False,
    single_item: SingleItem = False,
    downstream: Downstream = False,
    all_pipelines: AllPipelines = False,
    keep_going: KeepGoing = False,
    pull: Pull = False,
    no_commit: NoCommit = False,
    experiment: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Keep the result as a DVC experiment of this name, which `dvc exp show` lists; one that"
            " exists on this commit is replaced with --force alone. A run that fails keeps none.",
        ),
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Only say what would run.")] = False,
) -> int:
    """Run what is not up to date. Exit code 1 if a stage fails, 130 if it is interrupted."""
    from flows.run import RunOptions, make_plan
    from flows.wording import nothing_to_run

    options = RunOptions(
        repo=repo,
        targets=tuple(targets or ()),
        jobs=jobs,
        force=force,
        single_item=single_item,
        downstream=downstream,
        all_pipelines=all_pipelines,
        keep_going=keep_going,
        pull=pull,
        no_commit=no_commit,
        experiment=experiment,
        dry=dry,
    )
    planned = make_plan(options)
    if dry:
        return _print_plan(planned)
    if planned.work:
        return _run_recorded(options)
    print(*nothing_to_run(planned), sep="\n")
    return _keep_as_it_is(options) if experiment else Exit.WELL


def _print_plan(planned: "Plan") -> int:
    from flows import terminal

    terminal.print_plan(terminal.make_console(), planned)
    return Exit.WELL


def _keep_as_it_is(options: "RunOptions") -> int:
    """An experiment of what is up to date: nothing of it is for Prefect."""
    from flows.run import run_pipeline

    report = run_pipeline(options)
    for error in report.errors:
        print(f"error: {error}", file=sys.stderr)
    _say_experiment(options, report)
    return Exit.WELL if report.well else Exit.FAILED


def _say_experiment(options: "RunOptions", report: "RunReport") -> None:
    if options.experiment and report.well:
        print(f"experiment {options.experiment} is recorded: `dvc exp show` lists it")


def _run_recorded(options: "RunOptions") -> int:
    """Run under Prefect and say how it went."""
    from flows import dvc_repo, server, terminal

    console = terminal.make_console()
    root = dvc_repo.root_of(options.repo)
    with server.prefect_api(root) as api:
        from flows.pipeline import run_recorded

        with terminal.watching(console) as observe:
            record, lost = run_recorded(options, root, observe)
    terminal.print_record(console, record, api.where_to_look)
    _say_experiment(options, record.report)
    if lost:
        print(
            f"warning: Prefect's server was lost, the run's pages are not complete: {lost}", file=sys.stderr
        )
    if options.stop.is_set():
        return Exit.INTERRUPTED
    return Exit.WELL if record.report.well else Exit.FAILED


@command
def plan(
    targets: Targets = None,
    repo: Repo = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="The plan as JSON.")] = False,
    jobs: Jobs = None,
    force: Force = False,
    single_item: SingleItem = False,
    downstream: Downstream = False,
    all_pipelines: AllPipelines = False,
    pull: Pull = False,
) -> int:
    """Say what `run` would do, and why. Exit code 0 if there is nothing to do, 3 if there is."""
    from flows.run import RunOptions, make_plan

    planned = make_plan(
        RunOptions(
            repo=repo,
            targets=tuple(targets or ()),
            jobs=jobs,
            force=force,
            single_item=single_item,
            downstream=downstream,
            all_pipelines=all_pipelines,
            pull=pull,
        )
    )
    if as_json:
        print(json.dumps(planned.to_json(), ensure_ascii=False, indent=2))
    else:
        _print_plan(planned)
    return Exit.WORK_TO_DO if planned.work else Exit.WELL


@command
def fetch(
    repo: Repo = Path(),
    folder: Annotated[
        Path | None, typer.Option("--from", help="A folder that has the raw files, gzipped or not.")
    ] = None,
) -> int:
    """Obtain the raw data, checked against the pinned hashes."""
    from flows import dvc_repo
    from flows.raw_data import fetch_all

    for fetched in fetch_all(dvc_repo.root_of(repo), folder=folder, remark=print):
        print(f"{os.path.relpath(fetched.path)}: {fetched.origin}")
    return Exit.WELL


@command
def ui(
    repo: Repo = Path(),
    port: Annotated[int, typer.Option(help="Another free one is taken if it is in use.")] = 4200,
) -> int:
    """Serve Prefect's pages with all runs of the project so far, until Ctrl-C."""
    from flows import dvc_repo, server

    def announce(address: str) -> None:
        print(f"all runs of this project: {address}  (Ctrl-C ends it)", flush=True)

    server.serve_pages(dvc_repo.root_of(repo), announce, port)
    return Exit.WELL


def main() -> None:
    """The entry point."""
    gc.set_threshold(100_000)  # of what imports and graphs make nearly all stays: seldom look for cycles
    atexit.register(gc.freeze)  # what the process holds goes with it: no last search for cycles in it
    app()
