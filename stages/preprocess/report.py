"""What preprocess found: a page in markdown, a table of findings, and figures."""

import csv
import io
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.core.files import write_atomically
from stages.core.packed import Numbers, Split
from stages.sources.policy import Findings

EXAMPLES = 5  # findings of a kind that the page names; the table has all


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskReport:
    """What the report says of the pictures of one task."""

    task: str
    source: str
    """The format, as params.yaml calls it."""
    classes: list[str]
    labels: Mapping[Split, npt.NDArray[np.int64]]
    """The label of every picture or box of each split, [N]."""
    images: Mapping[Split, int]
    packed_as: tuple[int, int, int]
    """H, W, C."""
    sizes: npt.NDArray[np.uint32]
    """Width and height of the originals [N, 2]; none of what was composed."""
    seen: int
    """Pictures that the source names, refused ones included."""
    findings: Findings
    attributes: Mapping[Split, Mapping[str, Numbers]] = field(default_factory=dict)
    """Attributes [N] that are 0 or 1, by split and name."""

    def figures(self) -> dict[str, Any]:
        """Counts by split and class, class balance, findings by kind: what `dvc metrics diff` compares."""
        unit = "by_class" if self.task == "classification" else "boxes_by_class"
        parts: dict[str, Any] = {
            split: {"images": self.images[split], unit: self.by_class(split)} for split in self.labels
        }
        for split in self.labels:
            if attributes := self.by_attribute(split):
                parts[split]["by_attribute"] = attributes
        counted = {kind: count["count"] for kind, count in self.findings.counts().items()}
        return parts | {"balance": self.balance(), "seen": self.seen, "findings": counted}

    def by_class(self, split: Split) -> dict[str, int]:
        """Count the pictures or boxes of each class in the split."""
        counts = np.bincount(self.labels[split], minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def balance(self) -> float:
        """The count of the rarest class in the training split over that of the commonest."""
        counts = self.by_class("train").values()
        return min(counts) / max(counts) if max(counts, default=0) else 0.0

    def by_attribute(self, split: Split) -> dict[str, dict[str, int]]:
        """Count the pictures of the split that have each attribute, that have not, and the unknown ones."""
        return {
            name: {
                "yes": int((numbers > 0).sum()),
                "no": int((numbers <= 0).sum()),
                "unknown": int(np.isnan(numbers).sum()),
            }
            for name, numbers in self.attributes.get(split, {}).items()
        }


def write_report(
    folder: Path, reports: Sequence[TaskReport], sheet: Path, fitted: Collection[str] = ()
) -> None:
    """`report.md`, which shows the sample pictures of the file `sheet`, and `findings.csv` in `folder`.

    `fitted`: the tasks whose pictures have a size that was derived from theirs.
    """
    link = Path(os.path.relpath(sheet, folder)).as_posix()
    page = ["# The data", "", *(line for one in reports for line in _section(one, one.task in fitted))]
    for task in {"classification", "detection"} - {report.task for report in reports}:
        page += [f"## {task.capitalize()}", "", f"Left out: preprocess.{task} is null.", ""]
    page += ["## As it goes into training", "", f"![samples of each class, pictures with boxes]({link})", ""]
    write_atomically(folder / "report.md", "\n".join(page).encode())
    write_findings(folder, {report.task: report.findings for report in reports})


def write_findings(folder: Path, found: Mapping[str, Findings]) -> None:
    """`findings.csv` in `folder`: all that was found, by the task."""
    write_atomically(folder / "findings.csv", _table_of_findings(found).encode())


def _section(report: TaskReport, fitted: bool) -> list[str]:
    height, width, channels = report.packed_as
    colour = "grey" if channels == 1 else "colour"
    return [
        f"## {report.task.capitalize()}",
        "",
        f"Source: {report.source}. {report.seen:,} pictures seen, {sum(report.images.values()):,} packed as "
        f"{width} x {height} px{' (`auto`)' if fitted else ''}, {colour}.",
        "",
        *_sizes(report.sizes),
        *_counts(report),
        *_attributes(report),
        f"Balance of the training split, its rarest class over its commonest: {report.balance():.3g}.",
        "",
        *_findings(report.findings),
    ]


def _sizes(sizes: npt.NDArray[np.uint32]) -> list[str]:
    if not len(sizes):
        return []
    low, middle, high = (np.percentile(sizes, q, axis=0, method="lower") for q in (0, 50, 100))
    rows = [
        f"| {name} | {low[side]} | {middle[side]} | {high[side]} |"
        for side, name in enumerate(("width", "height"))
    ]
    return ["| original, px | least | median | most |", "|---|---|---|---|", *rows, ""]


def _counts(report: TaskReport) -> list[str]:
    splits = list(report.labels)
    by_class = {split: report.by_class(split) for split in splits}
    what = "pictures" if report.task == "classification" else "boxes"
    lines = [f"| {what} of | {' | '.join(splits)} |", "|---" * (len(splits) + 1) + "|"]
    for name in report.classes:
        lines.append(f"| {_plain(name)} | {' | '.join(f'{by_class[split][name]:,}' for split in splits)} |")
    pictures = " | ".join(f"{report.images[split]:,}" for split in splits)
    return [*lines, f"| **all pictures** | {pictures} |", ""]


def _attributes(report: TaskReport) -> list[str]:
    """How many pictures have each attribute, of how many it is known."""
    splits = [split for split in report.labels if report.attributes.get(split)]
    if not splits:
        return []
    counts = {split: report.by_attribute(split) for split in splits}
    lines = [f"| pictures with, of known | {' | '.join(splits)} |", "|---" * (len(splits) + 1) + "|"]
    for name in counts[splits[0]]:
        cells = [counts[split][name] for split in splits]
        shares = " | ".join(f"{one['yes']:,} of {one['yes'] + one['no']:,}" for one in cells)
        lines.append(f"| {_plain(name)} | {shares} |")
    return [*lines, ""]


def _findings(findings: Findings) -> list[str]:
    if not findings.all:
        return ["Nothing was found wrong.", ""]
    lines = ["| found | how often | done | where |", "|---|---|---|---|"]
    ordered = sorted(findings.all, key=lambda finding: finding.kind)  # stable: in the source's order
    for kind, group in groupby(ordered, key=lambda finding: finding.kind):
        of_kind = list(group)
        named = [f"{_plain(finding.where)}: {_plain(finding.what)}" for finding in of_kind[:EXAMPLES]]
        more = [f"and {len(of_kind) - EXAMPLES:,} more in findings.csv"] if len(of_kind) > EXAMPLES else []
        where = "<br>".join([*named, *more])
        lines.append(f"| {kind} | {len(of_kind):,} | {findings.policy.action(kind)} | {where} |")
    return [*lines, ""]


def _plain(text: str) -> str:
    """Without what markdown or HTML would take for its own: names come from the data."""
    for character, harmless in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        ("|", "&#124;"),
        ("`", "&#96;"),
        ("[", "&#91;"),
    ):
        text = text.replace(character, harmless)
    return " ".join(text.split())


def _table_of_findings(found: Mapping[str, Findings]) -> str:
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["task", "kind", "action", "where", "what"])
    for task, findings in found.items():
        for finding in findings.all:
            table.writerow(
                [task, finding.kind, findings.policy.action(finding.kind), finding.where, finding.what]
            )
    return buffer.getvalue()
