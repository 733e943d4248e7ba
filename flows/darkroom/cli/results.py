"""`darkroom metrics`, `darkroom diff` and `darkroom report`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkroom.base.exits import Exit
from darkroom.cli.options import as_json, in_repo
from darkroom.show import output

if TYPE_CHECKING:
    from darkroom.results.comparison import Comparison
    from darkroom.results.page import Report

every = click.option("--all", "-a", "every", is_flag=True, help="All figures, not only the main ones.")


@click.command()
@in_repo
@every
@as_json
@click.argument("revisions", nargs=-1, metavar="[REV]...")
def metrics(repo: Path, every: bool, as_json: bool, revisions: tuple[str, ...]) -> int:
    """Show metrics, the most important first: how good the models are, and how sure that is.

    Without REV: those of the workspace, against the last commit. With one REV: those of that commit, branch,
    tag or experiment. With several: a column for each, compared with the first.

    \b
    Examples:
      darkroom metrics
      darkroom metrics v1.0 main
      darkroom metrics --all --json | jq '.metrics[0]'
    """
    from darkroom.base.errors import RepoError, UsageError
    from darkroom.base.roots import root_of
    from darkroom.results.gathering import compare_revisions, now_and_before
    from darkroom.results.tables import print_metrics
    from darkroom.show.terminal import make_console

    root = root_of(repo)
    comparisons = compare_revisions(root, revisions or now_and_before(root))
    if not comparisons[0].now.metrics and not comparisons[0].then.metrics:
        raise UsageError(
            "there are no metrics: dvc.yaml names none here; list a stage's metrics file under `metrics:`"
        )
    unreadable = _warn_of_unreadable(comparisons)
    if unreadable and not any(one.figures for one in comparisons):
        raise RepoError("no metrics file can be read")
    if not any(one.figures for one in comparisons):
        raise UsageError("the metrics files are not there yet; `darkroom run` makes them")
    if as_json:
        print(json.dumps(_metrics_json(comparisons), indent=2, allow_nan=False))
    else:
        print_metrics(make_console(), comparisons, every=every, columns=len(revisions) > 1)
    return Exit.WELL


@click.command()
@in_repo
@every
@as_json
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page, FILE.html, that also shows pictures side by side.",
)
@click.argument("then", required=False, metavar="[REV]")
@click.argument("now", required=False, metavar="[REV]")
def diff(repo: Path, every: bool, as_json: bool, out: Path | None, then: str | None, now: str | None) -> int:
    """Compare two revisions: metrics, parameters, data, code and pictures.

    Without REV: the last commit with the workspace. With one: that revision with the workspace.

    \b
    Examples:
      darkroom diff
      darkroom diff v1.0 main
      darkroom diff main my-experiment --out diff.html
    """
    from darkroom.base.roots import root_of
    from darkroom.repository.recorded.revisions import WORKSPACE
    from darkroom.results.gathering import compare_revisions, difference_report
    from darkroom.results.tables import print_comparison
    from darkroom.show.terminal import make_console

    root = root_of(repo)
    (one,) = compare_revisions(root, (then or "HEAD", now or WORKSPACE))
    _warn_of_unreadable([one])
    if out:
        _write_page(out, difference_report(root, one))
    if as_json:
        print(json.dumps(_finite(one.to_json()), indent=2, allow_nan=False, default=str))
    elif not out:
        print_comparison(make_console(), one, every=every)
    return Exit.WELL


@click.command()
@in_repo
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    help="Where to write the page.",
)
@click.option(
    "--against",
    metavar="REV",
    help="Compare with this revision; if not given, with the release, else with the results before these.",
)
def report(repo: Path, out: Path, against: str | None) -> int:
    """Write a page of the project: times, metrics, plots, pictures, models and where they come from.

    It is one HTML file of at most 5 MB that needs no network.

    \b
    Examples:
      darkroom report
      darkroom report --out results/today.html --against v1.0
    """
    from darkroom.base.roots import root_of
    from darkroom.results.gathering import project_report

    _write_page(out, project_report(root_of(repo), against, os.environ))
    return Exit.WELL


def _write_page(out: Path, shown: Report) -> None:
    from darkroom.base.errors import UsageError, explain_os_error
    from darkroom.base.files import write_text
    from darkroom.results.page import page_of

    text = page_of(shown)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, text)
    except OSError as error:
        raise UsageError(f"--out: {explain_os_error(error, out)}") from error
    print(f"{out}: {len(text.encode()) / 1e6:.1f} MB; open it in a browser")


def _warn_of_unreadable(comparisons: Sequence[Comparison]) -> bool:
    lines = [line for one in comparisons for line in (*one.then.unreadable, *one.now.unreadable)]
    for line in dict.fromkeys(lines):
        output.print_warning(line)
    return bool(lines)


def _metrics_json(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    from darkroom.results.comparison import revision_json

    revisions = {recorded.name: recorded for one in comparisons for recorded in (one.then, one.now)}
    return {
        "revisions": [revision_json(recorded) for recorded in revisions.values()],
        "metrics": [
            {"revision": one.now.name, "against": one.then.name, **_finite(figure.to_json())}
            for one in comparisons
            for figure in one.figures
        ],
    }


def _finite(value: Any) -> Any:
    """JSON has neither infinity nor NaN."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and value - value != 0 else value
