"""Compute every figure that evaluate and fuse print once more, by other means, and set both side by side.

`python -m benchmarks.stages.audit` reads what `make run` leaves in data/ (`--data` names another folder of
that layout); what is not there is left out by name. `--photographs FOLDER` compares the methods of fusion and
their figures on the pictures there, too. `--out FILE` writes what it prints. Exit code 1: a figure differs by
more than `--most` of its value (of 1, where that is smaller), a method by more than a grey level on average,
or a figure in data/metrics has neither a row nor a reason why.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.stages.audit.fusion import METHODS, audit_photographs
from benchmarks.stages.audit.pipeline import Pipeline
from benchmarks.stages.audit.printed import EXCUSED, not_computed, printed
from benchmarks.stages.audit.table import Row, greatest, table
from benchmarks.stages.training import ROOT

MOST = 2e-3  # what float32 leaves of VIF where a picture is burnt out; all else agrees to 1e-4
MOST_GREY = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--most", type=float, default=MOST)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    pipeline = Pipeline(arguments.data, arguments.params)
    parts = pipeline.rows()
    if arguments.photographs:
        parts["fusion of photographs"] = audit_photographs(arguments.photographs)
    report = ["# Figures computed once more\n", f"`python -m benchmarks.stages.audit` on {describe()}.\n"]
    report += [f"Left out, {path} is not there.\n" for path in pipeline.absent]
    for title, rows in parts.items():
        measured = [row for row in rows if METHODS not in row.figure]
        methods = [row for row in rows if METHODS in row.figure]
        report += [f"\n## {title}\n", greatest(measured), *table(measured)]
        if methods:
            report += ["\nMethods against their papers, in grey levels of 255:\n", *table(methods)]
    left = not_computed(printed(arguments.data / "metrics"), [row for rows in parts.values() for row in rows])
    report += ["\n## Not computed once more\n", "| figures | why |", "|---|---|"]
    report += [f"| {name} | {why} |" for name, why in EXCUSED.items()]
    report += [f"| {name} | **no reason** |" for name in left]
    print("\n".join(report))
    if arguments.out:
        arguments.out.write_text("\n".join(report) + "\n")
    return int(bool(left) or any(off(row, arguments.most) for rows in parts.values() for row in rows))


def off(row: Row, most: float) -> bool:
    return not row.difference <= (MOST_GREY if METHODS in row.figure else most * max(1.0, abs(row.product)))


if __name__ == "__main__":
    sys.exit(main())
