"""The pages of `darkroom report` and `darkroom diff --out`: one HTML file each, without further files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from darkroom.base.escapes import escape
from darkroom.base.text import format_duration, format_figure, format_json
from darkroom.repository.recorded.plots import Plot
from darkroom.repository.recorded.revisions import FileKind, Recorded
from darkroom.results.charts import Confusion, chart_svg, confusion_of
from darkroom.results.comparison import Comparison, Figure, Standing, by_group, main_figures
from darkroom.results.provenance import ModelCard, Provenance
from darkroom.results.sheets import Pair
from darkroom.results.tables import KINDS, describe, describe_file, format_interval, group_title
from darkroom.schedule.history import StageTime
from darkroom.schedule.plan import Plan
from darkroom.show.pages import embedded_picture
from darkroom.show.wording import action_word, count_stages, describe_work

TEMPLATE = Path(__file__).with_name("page.html.jinja")
PICTURE_BYTES = 3_500_000
"""The most bytes of all pictures of a page, as text."""
CHART_BYTES = 900_000
MARKS = 4
"""How many marks the time's axis has, roughly."""
CLASSES = {Standing.BETTER: "better", Standing.WORSE: "worse"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A stage in the Gantt chart; places and widths in percent of the run."""

    stage: str
    left: float
    width: float
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """The Gantt chart of a run."""

    title: str
    bars: Sequence[Bar]
    marks: Sequence[tuple[float, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All that a page shows; what is empty is left out."""

    title: str
    comparison: Comparison
    every: bool = False
    """Show all figures that differ, not the main ones alone."""
    changed_alone: bool = False
    """Show the figures that differ alone."""
    plan: Plan | None = None
    times: Sequence[StageTime] = ()
    plots: Sequence[Plot] = ()
    pictures: Sequence[Pair] = ()
    """The pictures then and now; where `then` is None, the picture alone."""
    missing: Sequence[str] = ()
    """Pictures that are not on this machine."""
    provenance: Provenance | None = None
    cards: Sequence[ModelCard] = ()
    notes: Sequence[str] = field(default_factory=list)


def page_of(report: Report) -> str:
    """The page's HTML. All texts are escaped: names come from the data."""
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    one = report.comparison
    charts, confusions, left_out = _drawn(report.plots)
    pictures, too_many = _shown(report.pictures)
    notes = [*report.notes, *one.then.unreadable, *(one.now.unreadable if one.now is not one.then else ())]
    if left_out:
        notes.append(f"Not drawn, for the page's size: {', '.join(left_out)}.")
    if too_many:
        notes.append(f"Not shown, too large or not readable: {', '.join(too_many)}.")
    if report.missing:
        notes.append(f"Not on this machine, `dvc pull` brings it: {', '.join(report.missing)}.")
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=escape(report.title),
        now=_revision(one.now),
        then=None if one.then is one.now else _revision(one.then),
        has_earlier=any(figure.then is not None for figure in one.figures),
        notes=[escape(note) for note in notes],
        plan=report.plan,
        work=describe_work(report.plan) if report.plan and report.plan.work else "",
        timeline=timeline_of(report.times),
        groups=list(_groups(report)),
        params=[
            (one.name, *("" if value is None else format_json(value) for value in (one.then, one.now)))
            for one in one.params
        ],
        files=[
            (KINDS[kind], [(file.path, describe_file(file.then), describe_file(file.now)) for file in files])
            for kind in FileKind
            if (files := [file for file in one.files if file.kind is kind])
        ],
        charts=charts,
        confusions=confusions,
        pictures=pictures,
        provenance=report.provenance,
        inputs=[
            (path, describe_file(file), file.hash)
            for path, file in one.now.files.items()
            if file.kind is FileKind.DATA
        ],
        cards=[_card(card, one.figures) for card in report.cards],
        action_word=action_word,
        count_stages=count_stages,
        format_duration=format_duration,
    )


def timeline_of(times: Sequence[StageTime]) -> Timeline | None:
    """The timeline of a run's stages; None where nothing is known of any."""
    if not times:
        return None
    start, end = times[0].began, max(one.began + one.seconds for one in times)
    whole = max(end - start, 1e-3)
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(start))
    return Timeline(
        title=f"The last run, from {day}: {format_duration(whole)}",
        bars=[
            Bar(
                stage=escape(one.stage),
                left=100 * (one.began - start) / whole,
                width=max(100 * one.seconds / whole, 0.3),
                words=format_duration(one.seconds),
            )
            for one in times
        ],
        marks=_marks(whole),
    )


def _marks(whole: float) -> list[tuple[float, str]]:
    """Places in percent, and times; only the ends where a time would otherwise stand there twice."""
    marks = [(100 * at / MARKS, format_duration(whole * at / MARKS)) for at in range(MARKS + 1)]
    words = [time for _, time in marks]
    return marks if len({*words}) == len(words) else [marks[0], marks[-1]]


def _revision(recorded: Recorded) -> dict[str, str]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(recorded.when)) if recorded.when else ""
    return {"name": escape(recorded.name), "words": escape(describe(recorded)), "when": when}


def _groups(report: Report) -> Iterator[dict[str, Any]]:
    """The main figures of each group, and the others folded away."""
    all_of = by_group(report.comparison.figures)
    main = by_group(main_figures(report.comparison.figures, changed=report.changed_alone))
    for group, figures in all_of.items():
        shown = main.get(group, [])
        rest = [
            figure
            for figure in figures
            if figure not in shown and not (report.changed_alone and figure.standing is Standing.SAME)
        ]
        if shown or rest:
            yield {
                "title": escape(group_title(group)),
                "rows": [_row(figure) for figure in shown],
                "rest": [_row(figure) for figure in rest],
            }


def _row(figure: Figure) -> dict[str, str]:
    return {
        "name": escape(figure.short_name),
        "then": escape(format_figure(figure.then)),
        "now": escape(format_figure(figure.now)),
        "interval": format_interval(figure.interval),
        "change": figure.difference,
        "change_interval": format_interval(figure.change, "+") if figure.difference else "",
        "standing": figure.standing.value,
        "class": CLASSES.get(figure.standing, ""),
    }


def _drawn(plots: Iterable[Plot]) -> tuple[list[dict[str, str]], list[Confusion], list[str]]:
    charts, confusions, left_out, budget = [], [], [], CHART_BYTES
    for at, plot in enumerate(plots):
        if table := confusion_of(plot):
            confusions.append(table)
            continue
        svg = chart_svg(plot, f"plot{at}")
        if svg is None:
            continue
        budget -= len(svg)
        if budget < 0:
            left_out.append(plot.title)
        else:
            charts.append({"title": escape(plot.title), "svg": svg})
    return charts, confusions, left_out


def _shown(pictures: Iterable[Pair]) -> tuple[list[dict[str, str | None]], list[str]]:
    shown, left_out, budget = [], [], PICTURE_BYTES
    for pair in pictures:
        suffix = Path(pair.path).suffix
        then, now = (content and embedded_picture(content, suffix) for content in (pair.then, pair.now))
        size = sum(len(uri) for uri in (then, now) if uri)
        if not size or size > budget:
            left_out.append(pair.path)
            continue
        budget -= size
        uris = [uri if isinstance(uri, str) else None for uri in (then, now)]
        words = escape(Path(pair.path).stem.replace("-", " ").replace("_", " ").capitalize())
        shown.append({"path": escape(pair.path), "words": words, "then": uris[0], "now": uris[1]})
    return shown, left_out


def _card(card: ModelCard, figures: Iterable[Figure]) -> dict[str, Any]:
    release = card.release
    own_figures = [
        figure
        for figure in figures
        if figure.now is not None and (figure.stage == card.stage or figure.group[1] == card.name)
    ]
    return {
        "name": escape(card.name),
        "desc": escape(card.artifact.desc),
        "labels": ", ".join(map(escape, card.artifact.labels)),
        "release": f"{release.version}, commit {release.commit[:12]}" if release else "not released yet",
        "path": escape(card.artifact.path),
        "file": describe_file(card.file) if card.file else "not made yet",
        "hash": card.file.hash if card.file else "",
        "stage": escape(card.stage),
        "params": [(escape(str(key)), format_json(value)) for key, value in card.params.items()],
        "data": [(escape(path), describe_file(file)) for path, file in card.data.items()],
        "figures": [
            (f"{escape(figure.short_name)} ({escape(figure.stage)})", _with_interval(figure))
            for figure in main_figures(own_figures)
        ],
    }


def _with_interval(figure: Figure) -> str:
    within = f" ({format_interval(figure.interval)})" if figure.interval else ""
    return escape(format_figure(figure.now)) + within
