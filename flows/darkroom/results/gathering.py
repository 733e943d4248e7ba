"""Gathers from a repository what a page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from darkroom.base.errors import DarkroomError
from darkroom.base.files import STATE_FOLDER
from darkroom.base.git import git
from darkroom.releases.gate import Gate, read_gate
from darkroom.releases.releases import released_version
from darkroom.repository.products import artifacts_of, shown_results
from darkroom.repository.recorded.plots import plots_of
from darkroom.repository.recorded.revisions import WORKSPACE, has_commits, recorded_at
from darkroom.results.comparison import Comparison, compare
from darkroom.results.intervals import paired_differences
from darkroom.results.page import Report
from darkroom.results.provenance import model_cards, provenance_of
from darkroom.results.sheets import Pair, Sheets, pairs, sheets_at
from darkroom.runs.engine import make_plan
from darkroom.runs.report import RunOptions
from darkroom.schedule.history import History
from darkroom.schedule.plan import Plan

LOCK = ":(glob)**/dvc.lock"


def compare_revisions(root: Path, revisions: Sequence[str]) -> list[Comparison]:
    """The first revision with each other one; a single one with itself.

    Raises:
        UsageError: A revision does not exist.
        RepoError: DVC cannot read the repository.

    """
    gate = read_gate(root)
    first, *others = recorded_at(root, revisions)
    return [
        compare(first, other, gate, paired_differences(root, gate, first, other))
        for other in others or [first]
    ]


def now_and_before(root: Path) -> tuple[str, ...]:
    """The last commit and the workspace; the workspace alone where git holds no commit."""
    return ("HEAD", WORKSPACE) if has_commits(root) else (WORKSPACE,)


def difference_report(root: Path, one: Comparison) -> Report:
    """The page of what differs, with pictures side by side."""
    then, now = sheets_at(root, one.then), sheets_at(root, one.now)
    return Report(
        title=f"{root.name}: {one.then.name} and {one.now.name}",
        comparison=one,
        changed_alone=True,
        pictures=pairs(then, now),
        missing=_missing(then, now),
    )


def project_report(root: Path, against: str | None, environ: Mapping[str, str]) -> Report:
    """The page of a project as it is now, against a revision: the release, or the results before these.

    Raises:
        UsageError: The revision does not exist.
        RepoError: DVC cannot read the repository.

    """
    gate = read_gate(root)
    before = against or _results_before(root, gate)
    (one,) = compare_revisions(root, (before, WORKSPACE) if before else (WORKSPACE,))
    sheets, notes = sheets_at(root, one.now), list[str]()
    then = sheets_at(root, one.then) if before else Sheets({}, ())
    changed = {pair.path: pair for pair in pairs(then, sheets) if pair.then}
    plots, unread = plots_of(root)
    plan, times = _plan(root, notes), History(root / STATE_FOLDER).last_run()
    made_by = {
        str(product.path.relative_to(root)): stage
        for stage, products in shown_results(root).products.items()
        for product in products
        if product.path.is_relative_to(root)
    }
    return Report(
        title=root.name,
        comparison=one,
        plan=plan,
        times=times,
        plots=plots,
        pictures=[
            changed.get(path) or Pair(path, None, content) for path, content in sheets.pictures.items()
        ],
        missing=sheets.missing,
        provenance=provenance_of(root, environ),
        cards=model_cards(root, artifacts_of(root), one.now, made_by, gate),
        notes=[*notes, *unread],
    )


def _plan(root: Path, notes: list[str]) -> Plan | None:
    try:
        return make_plan(RunOptions(repo=root), check=False)
    except DarkroomError as error:  # the results are there all the same
        notes.append(f"There is no plan: {error}")
        return None


def _results_before(root: Path, gate: Gate | None) -> str | None:
    """The released version where it is not these results; else the commit before dvc.lock changed last."""
    if not has_commits(root):
        return None
    if gate and (released := released_version(root, gate.release, gate.stage)):
        return f"{gate.release}@{released.version}"
    if git(root, "status", "--porcelain", "--", LOCK):
        return "HEAD"
    earlier = git(root, "log", "-2", "--format=%h", "--", LOCK).splitlines()[1:]
    return earlier[0] if earlier else None


def _missing(*sheets: Sheets) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for one in sheets for path in one.missing))
