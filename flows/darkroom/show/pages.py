"""What Prefect shows of a run: a page of markdown, and a table of each stage's metrics."""

import base64
import io
import os
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom.base.escapes import escape
from darkroom.base.files import shown_path
from darkroom.base.text import format_count, format_figure
from darkroom.runs.ended import EndedRun, metrics_of_interest, shown_first
from darkroom.runs.metrics import MetricChange
from darkroom.runs.report import RunReport
from darkroom.schedule.events import Outcome
from darkroom.schedule.plan import PlannedStage
from darkroom.show.markdown import (
    code_block,
    code_span,
    inline_text,
    markdown_picture,
    markdown_table,
    paragraph_text,
    table_of_markdown,
)
from darkroom.show.wording import headline, other_outs_remark, time_taken, what_happened

if TYPE_CHECKING:
    from PIL import Image

PICTURE_FORMATS = ("GIF", "JPEG", "PNG", "WEBP")
"""What Pillow may open, by its own names, whatever a file is called: PostScript is run by an interpreter."""
PICTURE_BYTES = 300_000
PAGE_PICTURE_BYTES = 3_000_000  # Prefect took an artifact of 5 MB; base64 adds a third
GRAPH_STAGES = 60  # beyond that a drawn graph cannot be read
ROWS = 200
SHOWN_PIXELS = 1600

OUTCOME_FILLS = {
    Outcome.RAN: "#bbf7d0",
    Outcome.RESTORED: "#bfdbfe",
    Outcome.SKIPPED: "#e5e7eb",
    Outcome.FROZEN: "#e5e7eb",
    Outcome.FAILED: "#fecaca",
    Outcome.BLOCKED: "#fde68a",
    Outcome.CANCELLED: "#fde68a",
}


def slug(name: str) -> str:
    """An artifact's key, of lower case, digits and dashes: `sub/dvc.yaml:Prep` is `sub-dvc-yaml-prep`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"


def page_key(project: str) -> str:
    """The key under which all pages of a project's runs are versions of one artifact."""
    return slug(f"{project}-run")


def metrics_key(project: str, stage: str) -> str:
    """The key of the table of a stage's metrics."""
    return slug(f"{project}-{_unique_slug(stage)}-metrics")


def progress_key(project: str, stage: str) -> str:
    """The key of how far a stage is."""
    return slug(f"{project}-{_unique_slug(stage)}-progress")


def _unique_slug(stage: str) -> str:
    """`a/b` and `a_b` have one slug: each has a part of its hash beside it."""
    return stage if slug(stage) == stage else f"{stage}-{sha256(stage.encode()).hexdigest()[:6]}"


def metrics_table(changes: Iterable[MetricChange]) -> list[dict[str, str]]:
    """The rows of a stage's table of metrics."""
    return [
        {
            "metric": escape(change.name),
            "now": escape(format_figure(change.now)),
            "last commit": escape(format_figure(change.then)),
            "change": change.difference,
            "in words": change.trend.value,
        }
        for change in changes
    ]


def run_page(record: EndedRun) -> str:
    """The markdown page of a run."""
    parts = [
        f"# {inline_text(record.project)}: {headline(record.report)}",
        *failures_section(record),
        "## What happened, and why",
        stages_table(record.report),
        "## The graph",
        graph_section(record.report),
        *metrics_section(record),
        *([inline_text(f"Note: {remark}.")] if (remark := other_outs_remark(record.other_outs)) else []),
        *([f"No metrics are told: {inline_text(record.unread)}"] if record.unread else []),
        *pictures_section(record),
    ]
    return "\n\n".join(parts) + "\n"


def failures_section(record: EndedRun) -> Iterator[str]:
    """What went wrong, as the run reports it."""
    if record.report.errors:
        yield "## What went wrong"
        yield "\n".join(f"- {paragraph_text(error)}" for error in record.report.errors)
    logs = shown_path(record.logs, record.root)
    for stage, lines in record.report.last_lines.items():
        yield f"The last lines of {code_span(stage)}; the whole output is in {code_span(logs)}:"
        yield code_block(lines)


def stages_table(report: RunReport) -> str:
    """A row a stage: what happened, how long it took, why; of more than ROWS those that did something."""
    stages = sorted(
        report.stages.values(), key=lambda stage: stage.outcome in (Outcome.SKIPPED, Outcome.FROZEN)
    )
    data = report.plan.data
    rows = [
        (stage.stage, what_happened(stage, data), time_taken(stage), "; ".join(stage.reasons))
        for stage in (stages if len(stages) > ROWS else report.stages.values())
    ]
    more = [("…", f"and {len(rows) - ROWS} more", "", "")] if len(rows) > ROWS else []
    return markdown_table(("Stage", "What happened", "Time", "Why"), [*rows[:ROWS], *more])


def metrics_section(record: EndedRun) -> Iterator[str]:
    """The main metrics beside those of the last commit; an evaluation has hundreds, by class, with bounds."""
    rows = list(metrics_of_interest(record))[:ROWS]
    if not rows:
        return
    yield "## Metrics against the last commit"
    header = ("Stage", "Metric", "Last commit", "Now", "Change", "In words")
    yield markdown_table(
        header,
        [
            (c.stage, c.name, format_figure(c.then), format_figure(c.now), c.difference, c.trend.value)
            for c in rows
        ],
    )
    if len(record.metrics) > len(rows):
        more = format_count(len(record.metrics) - len(rows), "metric")
        yield f"{more} more: in the stages' own tables and by `dvc metrics diff --all`."


def graph_section(report: RunReport) -> str:
    """The stages and what they wait for, with states and times, as a mermaid graph."""
    stages = report.plan.stages
    if len(stages) > GRAPH_STAGES:
        stages = tuple(
            s for s in stages if report.stages[s.name].outcome not in (Outcome.SKIPPED, Outcome.FROZEN)
        )
    if len(stages) > GRAPH_STAGES:
        return f"Too many stages ran ({len(stages)}) to draw their graph."
    ids = {stage.name: f"n{number}" for number, stage in enumerate(stages)}
    lines = ["graph LR", *(f"  {line}" for stage in stages for line in graph_node(stage, report, ids))]
    used = {report.stages[stage.name].outcome for stage in stages}
    styles = [
        f"  classDef {o.value} fill:{fill},stroke:#6b7280,color:#111827"
        for o, fill in OUTCOME_FILLS.items()
        if o in used
    ]
    return "\n".join(["```mermaid", *lines, *styles, "```"])


def graph_node(stage: PlannedStage, report: RunReport, ids: dict[str, str]) -> Iterator[str]:
    """A stage's box and its edges."""
    ended = report.stages[stage.name]
    words = " · ".join(filter(None, (ended.outcome.value, time_taken(ended))))
    yield f'{ids[stage.name]}["{graph_label(stage.name)}<br/>{words}"]:::{ended.outcome.value}'
    yield from (f"{ids[other]} --> {ids[stage.name]}" for other in stage.needs if other in ids)


def graph_label(text: str) -> str:
    """A text in a box of the graph: Mermaid writes signs by their numbers."""
    return re.sub(r"[^\w @:/.,+()-]", lambda sign: f"#{ord(sign[0])};", escape(text))


def pictures_section(record: EndedRun) -> Iterator[str]:
    """The stages' pictures, inside the page, and on their left what they were in the last commit.

    Those that no longer fit are named.
    """
    left_out, budget = [], PAGE_PICTURE_BYTES
    heading = "## Pictures"
    for one in shown_first(record.pictures):
        name = os.path.relpath(one.path, record.root)
        now = data_uri(one.path)
        if now is None or len(now) > budget:
            left_out.append(name)
            continue
        then = embedded_picture(record.before.get(one.path, b""), one.path.suffix)
        if then is not None and len(now) + len(then) > budget:
            then = None
        budget -= len(now) + len(then or "")
        yield from filter(None, (heading, f"### {inline_text(name)}", side_by_side(name, then, now)))
        heading = ""
    if left_out:
        yield f"Not shown here, too large or not readable: {', '.join(map(code_span, left_out))}."


def side_by_side(name: str, then: str | None, now: str) -> str:
    """A picture, and the one of the last commit on its left if there is one; data URIs both."""
    if then is None:
        return markdown_picture(name, now)
    return table_of_markdown(
        ("Last commit", "Now"),
        [(markdown_picture(f"{name}, last commit", then), markdown_picture(name, now))],
    )


def data_uri(path: Path) -> str | None:
    """The picture at `path` as text, scaled down to at most PICTURE_BYTES; None if it cannot be read."""
    return embedded_picture(path.read_bytes(), path.suffix)


def embedded_picture(content: bytes, suffix: str) -> str | None:
    """A picture file's content as a data URI, scaled down like `data_uri`; None where it is none."""
    from PIL import Image  # a tenth of a second that `darkroom plan` need not spend

    if not content:
        return None
    mime = "image/png" if suffix.lower() == ".png" else "image/jpeg"
    if len(content) > PICTURE_BYTES:
        try:
            with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as image:
                content, mime = scaled_jpeg(image.convert("RGB")), "image/jpeg"
        except Exception:  # what a damaged picture raises is any class; its page goes without
            return None
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def scaled_jpeg(image: "Image.Image") -> bytes:
    """The picture as JPEG of at most PICTURE_BYTES: as large as fits."""
    side = min(SHOWN_PIXELS, max(image.size))
    while True:
        scaled = image.copy()
        scaled.thumbnail((side, side))
        buffer = io.BytesIO()
        scaled.save(buffer, "JPEG", quality=85)
        if buffer.tell() <= PICTURE_BYTES or side <= 1:
            return buffer.getvalue()
        side = side * 3 // 4
