"""`darkroom metrics` and `darkroom diff`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkroom.base.exits import Exit
from darkroom.cli.options import in_repo
from darkroom.show import output

if TYPE_CHECKING:
    from darkroom.results.comparison import Comparison

as_json = click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
every = click.option("--all", "-a", "every", is_flag=True, help="All figures, not only the main ones.")


@click.command()
@in_repo
@every
@as_json
@click.argument("revisions", nargs=-1, metavar="[REV]...")
def metrics(repo: Path, every: bool, as_json: bool, revisions: tuple[str, ...]) -> int:
    r"""Show metrics, the most important first: how good the models are, and how sure that is.

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
    from darkroom.results.tables import print_metrics
    from darkroom.show.terminal import make_console

    root = root_of(repo)
    comparisons = _compared(root, revisions or _now_and_before(root))
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
@click.argument("then", required=False, metavar="[REV]")
@click.argument("now", required=False, metavar="[REV]")
def diff(repo: Path, every: bool, as_json: bool, then: str | None, now: str | None) -> int:
    r"""Compare two revisions: metrics, parameters, data and code.

    Without REV: the last commit with the workspace. With one: that revision with the workspace.

    \b
    Examples:
      darkroom diff
      darkroom diff v1.0 main
      darkroom diff main my-experiment --json
    """
    from darkroom.base.roots import root_of
    from darkroom.repository.revisions import WORKSPACE
    from darkroom.results.tables import print_comparison
    from darkroom.show.terminal import make_console

    root = root_of(repo)
    (one,) = _compared(root, (then or "HEAD", now or WORKSPACE))
    _warn_of_unreadable([one])
    if as_json:
        print(json.dumps(_finite(one.to_json()), indent=2, allow_nan=False, default=str))
    else:
        print_comparison(make_console(), one, every=every)
    return Exit.WELL


def _now_and_before(root: Path) -> tuple[str, ...]:
    from darkroom.repository.revisions import WORKSPACE, has_commits

    return ("HEAD", WORKSPACE) if has_commits(root) else (WORKSPACE,)


def _compared(root: Path, revisions: Sequence[str]) -> list[Comparison]:
    """The first revision with each other one; a single one with itself."""
    from darkroom.releases.gate import read_gate
    from darkroom.repository.revisions import recorded_at
    from darkroom.results.comparison import compare
    from darkroom.results.intervals import paired_differences

    gate = read_gate(root)
    first, *others = recorded_at(root, revisions)
    return [
        compare(first, other, gate, paired_differences(root, gate, first, other))
        for other in others or [first]
    ]


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
