"""The table of a run's attempts on other hosts, as `darkroom attempts` shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from darkroom.base.errors import UsageError
from darkroom.base.files import logs_folder
from darkroom.runs.attempt_table import TABLE_NAME, AttemptLine, AttemptTable

COLUMNS = ("time", "stage", "attempt", "event", "host", "moved", "why")


def attempts_of(root: Path, run: str | None) -> tuple[str, list[AttemptLine]]:
    """A run's name, and its table; without `run` those of the last run of the repository that has one.

    Raises:
        UsageError: There is none, or it cannot be read.

    """
    tables = sorted(logs_folder(root, "").glob(f"*/{TABLE_NAME}"), key=lambda path: path.stat().st_mtime)
    if run is None and not tables:
        raise UsageError(
            f"{root}: no stage of any run was on another host; docs/scaling.md says how one gets there"
        )
    name = run if run is not None else tables[-1].parent.name
    if name not in (known := [path.parent.name for path in tables]):
        has = f"these have: {', '.join(known[-5:])}" if known else "no other run has one"
        raise UsageError(f"{name}: there is no such run, or none of its stages was on another host; {has}")
    folder = logs_folder(root, name)
    try:
        return name, list(AttemptTable(folder).entries())
    except (OSError, TypeError, ValueError) as error:
        raise UsageError(f"{folder / TABLE_NAME}: cannot be read: {' '.join(str(error).split())}") from error


def table_lines(run: str, entries: Sequence[AttemptLine]) -> Iterator[str]:
    """The table as text, a line an entry, each column as wide as it must be."""
    rows = [COLUMNS, *([str(getattr(entry, name)) for name in COLUMNS] for entry in entries)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
    yield f"run {run}; times in UTC, moved in bytes"
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
