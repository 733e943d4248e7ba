"""The command `darkroom`.

Exit codes:
0    success (`plan`: nothing to do)
1    a stage failed (`plan`: a stage cannot run, since something it needs is missing; `doctor`: something
     is wrong)
2    the user's input is wrong; one line says how
3    `plan`: there is work to do
70   darkroom itself failed; one line says where
130  interrupted by Ctrl-C, SIGTERM or a cancel on Prefect's pages: running stages were ended, finished ones
     stay
141  nobody reads the output any more (a run goes on without output)
"""

import atexit
import gc
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from darkroom.base.errors import (
    TRACEBACK,
    DarkroomError,
    InvalidParamsError,
    UsageError,
    describe_fault,
    explain_os_error,
)
from darkroom.base.escapes import escape
from darkroom.base.exits import Exit
from darkroom.base.files import POOLS_FILE, STATE_FOLDER
from darkroom.cli import service as commands
from darkroom.cli.completion import completion, stages_like
from darkroom.cli.deployments import gc as free_disk
from darkroom.cli.deployments import rollback, sweep
from darkroom.cli.examples import IN_A_LINE, epilog_of
from darkroom.cli.options import as_json, in_repo
from darkroom.cli.projects import add, init
from darkroom.cli.results import diff, metrics, report
from darkroom.cli.vision import classify, data, detect, explain, export, fuse, generate, params, repair
from darkroom.cli.worker import attempts, worker
from darkroom.show import output

if TYPE_CHECKING:
    from darkroom.reporting.deliverers import Destination
    from darkroom.runs.report import RunOptions, RunReport
    from darkroom.schedule.executor import Executor
    from darkroom.schedule.plan import Plan

# DVC, Prefect and rich are imported where they are used: what does not need them stays quick.

Function = TypeVar("Function", bound=Callable[..., Any])


def main() -> None:
    """Run the command that the arguments of this process name, and exit with its code."""
    output.open_missing()
    gc.set_threshold(1_000_000)  # what imports and graphs make stays: no search for cycles in it
    atexit.register(gc.freeze)  # what the process holds goes with it: no last search for cycles in it
    sys.exit(run_command(sys.argv[1:]))


def _look_for_cycles_in_what_comes() -> None:
    """Let Python's collector work as usual, but not among what the imports have made: for what runs long."""
    gc.freeze()
    gc.set_threshold(100_000)


def run_command(words: Sequence[str]) -> int:
    """Do what the words say and return the exit code. What the user gave wrong is said in one line."""
    try:
        with output.shown_output():
            code = _do(words)
            sys.stdout.flush()
            return code
    except output.OutputError as error:
        return error.tell()


def _do(words: Sequence[str]) -> int:
    if DEBUG in words:  # before or after the command: whoever repeats it appends the word
        words = [word for word in words if word != DEBUG]
        os.environ[TRACEBACK] = "1"
    try:
        return int(app.main(words, "darkroom", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return Exit.WRONG_INPUT
    except click.ClickException as error:
        print(f"error: {escape(' '.join(error.format_message().split()))}", file=sys.stderr)
        return Exit.WRONG_INPUT
    except (KeyboardInterrupt, click.Abort):
        print("darkroom: interrupted; what has finished is kept, the same again goes on", file=sys.stderr)
        return Exit.INTERRUPTED
    except Exception as error:
        if isinstance(error, output.OutputError) or os.environ.get(TRACEBACK):
            raise
        lines, code = _lines_and_code(error)
        for line in lines:
            print(f"error: {escape(line)}", file=sys.stderr)
        return code


def _lines_and_code(error: Exception) -> tuple[tuple[str, ...], Exit]:
    """The lines and the exit code for an error that ends the command."""
    if isinstance(error, InvalidParamsError):
        return error.faults, Exit.WRONG_INPUT
    if isinstance(error, DarkroomError):
        return (str(error),), Exit.WRONG_INPUT
    if isinstance(error, OSError):  # a full disk, no file descriptors, a socket that is gone
        return (explain_os_error(error),), Exit.WRONG_INPUT
    return (describe_fault(error),), Exit.FAULT


DEBUG = "--debug"
"""Shows a stack trace in place of an error's line."""

GROUPS = {
    "Pipeline": ("plan", "run", "worker", "attempts", "status", "up", "down", "ui", "fetch", "doctor", "gc"),
    "Results": ("metrics", "diff", "report", "sweep", "rollback"),
    "Pictures": ("data", "params", "classify", "detect", "explain", "generate", "fuse", "repair", "export"),
    "Start": ("init", "add", "completion"),
}
"""The commands as `darkroom --help` lists them."""


class _Commands(click.Group):
    """Lists its commands by what they are for.

    click itself would exit with 1 and no message at any broken pipe, such as that of a remote.
    """

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands under the titles of their groups."""
        del ctx
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(200)) for name in names])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise DarkroomError(explain_os_error(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="darkroom")
@click.option(DEBUG, is_flag=True, expose_value=False, help="Show where in the code an error arose.")
def app() -> None:
    """Run DVC pipelines in parallel; what comes out equals `dvc repro`'s."""


for command in (
    commands.up,
    commands.down,
    commands.status,
    worker,
    attempts,
    metrics,
    diff,
    report,
    sweep,
    rollback,
    free_disk,
    init,
    add,
    completion,
    data,
    params,
    classify,
    detect,
    explain,
    export,
    generate,
    fuse,
    repair,
):
    app.add_command(command)


def flag(*names: str, help: str) -> Callable[[Function], Function]:  # noqa: A002  (click's own name)
    """An option that is given or not."""
    return click.option(*names, is_flag=True, help=help)


def selecting(function: Function) -> Function:
    """The arguments by which `run` and `plan` choose stages, named as in RunOptions."""
    arguments = (
        click.argument("targets", nargs=-1, metavar="[TARGET]...", shell_complete=stages_like),
        in_repo,
        click.option(
            "--jobs", "-j", type=click.IntRange(1), help="Stages at once; as many as cores if not given."
        ),
        flag("--force", "-f", help="Run stages even if they are up to date."),
        flag("--single-item", "-s", help="Only the targets, not what they need."),
        flag("--downstream", help="The targets and what depends on them."),
        flag("--all-pipelines", "-P", help="All dvc.yaml files of the repository."),
        flag("--pull", help="Fetch missing data and results from the DVC remote."),
        click.option(
            "--on", metavar="POOL", help="Run all stages on the hosts of this pool (docs/scaling.md)."
        ),
    )
    for argument in reversed(arguments):
        function = argument(function)
    return function


@app.command()
@selecting
@flag("--keep-going", "-k", help="After a failure, finish what does not depend on it.")
@flag("--no-commit", help="Do not put results into DVC's cache.")
@click.option(
    "--experiment",
    metavar="NAME",
    help="Keep the result as a DVC experiment of this name, which `dvc exp show` lists; one that exists on"
    " this commit is replaced with --force alone. A run that fails keeps none.",
)
@flag("--dry", help="Only say what would run.")
@flag("--no-record", help="Tell Prefect nothing: the run is on none of its pages.")
@flag("--quiet", "-q", help="Print errors only.")
@flag("--verbose", "-v", help="At the end also list the stages that were up to date.")
@flag("--json", "as_json", help="Print an event a line as JSON, and errors on standard error.")
def run(no_record: bool, quiet: bool, verbose: bool, as_json: bool, **chosen: Any) -> int:
    """Run what is not up to date.

    Targets are stages or dvc.yaml files; with them comes what they need. None: all.

    Exit code 1 if a stage fails, 130 if it is interrupted.
    """
    from darkroom.processes.stopping import leaving_on_signals
    from darkroom.runs.engine import make_plan
    from darkroom.runs.report import RunOptions
    from darkroom.show.wording import nothing_to_run

    executor, place = _placing(chosen["repo"], chosen.pop("on"))
    options = RunOptions(**chosen, **place)
    with leaving_on_signals():
        # Without --dry the run itself asks the stages whether their parameters are valid.
        planned = make_plan(options, executor=executor, check=options.dry)
    if options.dry:
        _print_plan(planned)
        return Exit.FAILED if planned.hopeless else Exit.WELL
    asked = {Manner.JSON: as_json, Manner.QUIET: quiet, Manner.VERBOSE: verbose}
    manner = next((manner for manner, is_asked in asked.items() if is_asked), Manner.USUAL)
    if planned.work:
        return _run_and_report(options, manner, executor, record=not no_record)
    if as_json:  # no run: it has neither an identifier nor logs
        print(json.dumps({"event": "run-started", "run": None, "plan": planned.to_json()}))
        print(json.dumps({"event": "run-finished", "well": True, "seconds": 0.0}))
    elif not quiet:
        print(*nothing_to_run(planned), sep="\n")
    return _keep_as_it_is(options) if options.experiment else Exit.WELL


def _placing(repo: Path, on: str | None) -> "tuple[Executor | None, dict[str, Any]]":
    """Who executes the stages, and the options that say where; None: this host, without pools."""
    from darkroom.base.roots import root_of

    root = root_of(repo)
    if on is None and not (root / STATE_FOLDER / POOLS_FILE).exists():
        return None, {}
    from darkroom.remote.executor import PooledExecutor
    from darkroom.remote.pools import pools_of

    pools = pools_of(root, on)
    assert pools is not None
    return PooledExecutor(root, pools), {"place": pools.place, "lacks": pools.lacks}


def _print_plan(planned: "Plan") -> None:
    from darkroom.show import terminal

    terminal.print_plan(terminal.make_console(), planned)


def _keep_as_it_is(options: "RunOptions") -> int:
    """An experiment of what is up to date: nothing of it is for Prefect."""
    from darkroom.runs.engine import run_pipeline

    report = run_pipeline(options)
    for error in report.errors:
        print(f"error: {escape(error)}", file=sys.stderr)
    _say_experiment(options, report)
    return Exit.WELL if report.well else Exit.FAILED


def _say_experiment(options: "RunOptions", report: "RunReport") -> None:
    if options.experiment and report.well:
        print(f"experiment {options.experiment} is recorded: `dvc exp show` lists it")


class Manner(Enum):
    """How much a run says, and to whom."""

    QUIET = "errors only"
    USUAL = "what runs, and how it went"
    VERBOSE = "what was up to date, too"
    JSON = "events for a program"


def _observing(manner: Manner, console: Any) -> AbstractContextManager[Callable[[Any], None]]:
    """What hears of the run's events."""
    from darkroom.schedule.events import ignore
    from darkroom.show import terminal
    from darkroom.show.machine import printing_events

    match manner:
        case Manner.QUIET:
            return nullcontext(ignore)
        case Manner.JSON:
            return printing_events()
    return terminal.watching_run(console)


def _run_and_report(
    options: "RunOptions", manner: Manner, executor: "Executor | None", *, record: bool
) -> int:
    """Run, have Prefect told of it if it shall be, and say how it went."""
    from darkroom.base.roots import root_of
    from darkroom.reporting.deliverers import patience_of
    from darkroom.reporting.pipeline import run_reported, run_unreported
    from darkroom.show import terminal
    from darkroom.show.wording import continuation_remark

    output.go_on_without("the run")
    console = terminal.make_console()
    root, patience = root_of(options.repo), patience_of(os.environ)
    destination = _destination(root) if record else None
    _look_for_cycles_in_what_comes()
    lost = None
    with _observing(manner, console) as observe:
        if destination is None:
            ended = run_unreported(options, root, observe, executor=executor)
        else:
            ended, lost = run_reported(
                options, root, destination, observe, executor=executor, patience=patience
            )
    if manner in (Manner.USUAL, Manner.VERBOSE):
        where = destination.where_to_look if destination else ""
        terminal.print_record(console, ended, where, verbose=manner is Manner.VERBOSE)
        _say_experiment(options, ended.report)
    else:
        for error in ended.report.errors:
            print(f"error: {escape(error)}", file=sys.stderr)
    if lost:
        output.print_warning(f"Prefect is not told all of this run: {lost}")
    if options.stop.is_set():
        print(continuation_remark(ended.report, options.targets), file=sys.stderr)
        return Exit.INTERRUPTED
    return Exit.WELL if ended.report.well else Exit.FAILED


def _destination(root: Path) -> "Destination | None":
    """The destination that the run is recorded at; None: there is none, and a line has said why."""
    from darkroom.reporting.deliverers import destination_of

    try:
        return destination_of(root, os.environ)
    except UsageError:
        raise
    except DarkroomError as error:  # of Prefect's settings: the stages need none of them
        output.print_warning(f"this run is not recorded by Prefect: {error}")
        return None


@app.command()
@selecting
@flag("--json", "as_json", help="The plan as JSON.")
def plan(as_json: bool, **chosen: Any) -> int:
    """Say what `run` would do, and why.

    Exit code 0 if there is nothing to do, 3 if there is, 1 if a stage cannot run: what it needs is missing.
    """
    from darkroom.processes.stopping import leaving_on_signals
    from darkroom.runs.engine import make_plan
    from darkroom.runs.report import RunOptions

    with leaving_on_signals():
        executor, place = _placing(chosen["repo"], chosen.pop("on"))
        planned = make_plan(RunOptions(**chosen, **place), executor=executor)
    if as_json:
        print(json.dumps(planned.to_json(), indent=2))
    else:
        _print_plan(planned)
    if planned.hopeless:
        return Exit.FAILED
    return Exit.WORK_TO_DO if planned.work else Exit.WELL


@app.command()
@in_repo
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the raw files lie, gzipped or not.",
)
@as_json
def fetch(repo: Path, folder: Path | None, as_json: bool) -> int:
    """Obtain the raw data, checked against the pinned hashes."""
    from darkroom.base.roots import root_of
    from darkroom.raw_data.fetching import fetch_all

    remark = output.print_remark if as_json else print
    obtained = fetch_all(root_of(repo), folder=folder, remark=remark)
    files = [(os.path.relpath(one.path), one.origin) for one in obtained]
    if as_json:
        print(json.dumps([{"path": path, "origin": origin} for path, origin in files], indent=2))
    else:
        for path, origin in files:
            print(f"{path}: {origin}")
    return Exit.WELL


@app.command()
@in_repo
@click.option("--port", default=4200, show_default=True, help="A free one is taken if it is in use.")
@click.option("--browser/--no-browser", default=True, help="Open the pages in your browser if there is one.")
def ui(repo: Path, port: int, browser: bool) -> int:
    """Serve Prefect's pages with all runs of the project so far, until Ctrl-C.

    Opens them in your browser, logged in. The link that is printed does the same in any browser, once.
    """
    from darkroom.base.roots import root_of
    from darkroom.service import ui as pages

    _look_for_cycles_in_what_comes()
    pages.show_pages(root_of(repo), port, browser=browser)
    return Exit.WELL


@app.command()
@flag("--json", "as_json", help="The same as JSON.")
def doctor(as_json: bool) -> int:
    """Say what GPUs this host has, who holds them and who waits, and what is wrong with it.

    Exit code 1 if something is wrong.
    """
    from darkroom.cli.doctor import examine_host, print_examination
    from darkroom.show import terminal

    found = examine_host(os.environ)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        print_examination(terminal.make_console(), found)
    return Exit.FAILED if found.problems else Exit.WELL


for name, known in app.commands.items():
    known.epilog = epilog_of(name)
    known.short_help = IN_A_LINE.get(name)


if __name__ == "__main__":
    main()
