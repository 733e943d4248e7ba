"""What a user sees of a run: a live display below the stages' lines, or plain lines without a terminal."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from darkroom.base.escapes import escape
from darkroom.base.files import shown_path
from darkroom.base.text import format_count, format_duration, format_figure, format_reasons
from darkroom.runs.ended import EndedRun, metrics_of_interest
from darkroom.runs.metrics import MetricChange, Trend
from darkroom.schedule.events import (
    Event,
    Outcome,
    RunStarted,
    StageAgain,
    StageBar,
    StageFinished,
    StageLine,
    StageStarted,
    StageWaits,
)
from darkroom.schedule.plan import Plan
from darkroom.show.load import HostLoad
from darkroom.show.output import standard_output
from darkroom.show.progress import StageProgress, is_bar
from darkroom.show.relay import Relay
from darkroom.show.wording import (
    action_word,
    count_stages,
    describe_end,
    describe_restart,
    describe_work,
    headline,
    other_data_remark,
    other_outs_remark,
    time_taken,
    what_happened,
)

PIPE_WIDTH = 160
WIDEST = 1 << 20
"""The width that rich is given for a table as text; it pads no further than the longest row."""
NARROW = 80  # columns; below, a running stage is shown without its usual time, to leave room for its progress
COLOURS = ("cyan", "magenta", "green", "yellow", "blue")
"""The colours of the stages' names. The bright ones can hardly be read on a light ground."""
OUTCOME_COLOURS = {
    Outcome.RAN: "green",
    Outcome.RESTORED: "blue",
    Outcome.SKIPPED: "dim",
    Outcome.FROZEN: "dim",
    Outcome.FAILED: "bold red",
    Outcome.BLOCKED: "yellow",
    Outcome.CANCELLED: "yellow",
}
TREND_COLOURS = {Trend.BETTER: "green", Trend.WORSE: "red"}


def make_console(file: IO[str] | None = None) -> Console:
    """Standard output: a terminal's own width, a wide one for pipes and files."""
    out = file or standard_output()
    return Console(file=out, highlight=False, width=None if out.isatty() else PIPE_WIDTH)


def escaped_text(text: str, style: str = "") -> Text:
    """Text for rich, shown as it is: rich itself lets escape sequences pass."""
    return Text(escape(text), style)


def write_line(console: Console, text: str, style: str = "") -> None:
    """Write a line; the terminal breaks it where it must."""
    console.print(escaped_text(text, style), soft_wrap=True)


@contextlib.contextmanager
def watching_run(console: Console) -> Iterator[Callable[[Event], None]]:
    """An observer of a run that writes to `console`; the live display ends with the context."""
    watch = RunDisplay(console)
    with contextlib.ExitStack() as shown:
        if console.is_terminal:
            watch.load = HostLoad().words
            live = Live(get_renderable=watch.render, console=console, refresh_per_second=4, transient=True)
            shown.enter_context(live)
        yield shown.enter_context(contextlib.closing(Relay(watch.follow)))


@dataclass(slots=True)
class RunDisplay:
    """Follows a run: events come from one thread, the display is drawn from another."""

    console: Console
    clock: Callable[[], float] = time.monotonic
    load: Callable[[], str] = str
    """What of the host is in use, in words; empty where nobody looks."""
    _started: float = field(init=False)
    _plan: Plan = field(init=False, default=Plan((), None, ()))
    _running: dict[str, float] = field(init=False, default_factory=dict)
    _courses: dict[str, StageProgress] = field(init=False, default_factory=dict)
    _data: frozenset[str] = field(init=False, default=frozenset())
    _settled: int = field(init=False, default=0)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def follow(self, events: Iterable[Event]) -> None:
        """Note events, and write what there is to say of them, all at once: that is far faster."""
        with self._lock:
            lines = [line for event in events for line in self._said(event)]
        if lines:  # without the lock: rich draws the live display under locks of its own, which asks for ours
            self.console.print(Text("\n").join(lines), soft_wrap=True)

    def _said(self, event: Event) -> Iterator[Text]:
        match event:
            case RunStarted(plan=plan):
                self._plan, self._data = plan, plan.data
            case StageStarted(stage, reasons):
                self._running[stage] = self.clock()
                self._courses[stage] = StageProgress(self.clock)
                yield _line(stage, f"starts: {format_reasons(reasons)}", "bold")
            case StageLine(stage, line) | StageBar(stage, line):
                if course := self._courses.get(stage):
                    course.take(line)
                if isinstance(event, StageLine) and line.strip() and not is_bar(line):
                    yield _line(stage, line)
            case StageWaits(stage, reason):
                yield _line(stage, f"waits: {reason}", "yellow")
            case StageAgain(stage):
                self._running.pop(stage, None)
                yield _line(stage, describe_restart(event), "yellow")
            case StageFinished():
                self._running.pop(event.stage, None)
                self._settled += event.stage not in self._data
                if text := describe_end(event, self._data):
                    yield _line(event.stage, text, OUTCOME_COLOURS[event.outcome])

    def render(self) -> RenderableType:
        """The live display: each running stage with its time, and how far the whole is."""
        with self._lock:
            now, running = self.clock(), dict(self._running)
            reached = {stage: course.words() for stage, course in self._courses.items() if stage in running}
            whole = describe_progress(self._plan, self._settled, now - self._started)
        wide = self.console.width >= NARROW
        expected = {stage.name: stage.seconds for stage in self._plan.stages if wide}
        table = Table.grid(padding=(0, 1))
        for stage, since in running.items():
            usual = expected.get(stage)
            table.add_row(
                Spinner("dots"),
                escaped_text(stage),
                format_duration(now - since),
                f"of about {format_duration(usual)}" if usual else "",
                Text(escape(reached.get(stage, "")), overflow="ellipsis", no_wrap=True),
            )
        return Group(table, Text(", ".join(filter(None, (whole, self.load()))), style="dim"))


def _line(stage: str, text: str, style: str = "") -> Text:
    colour = COLOURS[hash_of(stage) % len(COLOURS)]
    return Text.assemble(escaped_text(f"{stage} │ ", colour), escaped_text(text, style))


def hash_of(stage: str) -> int:
    """A number that is the same for the same stage in every run (`hash` of a text is not)."""
    return sum(stage.encode())


def describe_progress(plan: Plan, settled: int, elapsed: float) -> str:
    """How far a run is: `3 of 6 stages, 1 min 10 s, about 3 min 00 s more`."""
    if not plan.stages:
        return f"planning, {format_duration(elapsed)}"
    parts = [f"{settled} of {count_stages(plan)}", format_duration(elapsed)]
    if plan.seconds and plan.seconds > elapsed and not plan.strangers:
        parts.append(f"about {format_duration(plan.seconds - elapsed)} more")
    return ", ".join(parts)


def print_record(console: Console, record: EndedRun, where: str, *, verbose: bool = False) -> None:
    """The end of a run: what happened, the main metrics, what went wrong, where to look.

    What was up to date is only counted, unless `verbose`.
    """
    report = record.report
    data = report.plan.data
    rows = [
        (
            stage.stage,
            Text(what_happened(stage, data), OUTCOME_COLOURS[stage.outcome]),
            time_taken(stage),
            format_reasons(stage.reasons),
        )
        for stage in report.stages.values()
        if verbose or stage.outcome not in (Outcome.SKIPPED, Outcome.FROZEN)
    ]
    if rows:
        console.print(table_of(("stage", "what happened", "time", "why"), rows))
    shown = list(metrics_of_interest(record))
    print_metrics(console, shown)
    for stage, lines in record.report.last_lines.items():
        write_line(console, f"the last lines of {stage}:", "bold")
        for line in lines:
            write_line(console, f"  {line}")
    for error in report.errors:
        write_line(console, f"error: {error}", "bold red")
    if record.unread:
        write_line(console, f"warning: no metrics are told: {record.unread}", "yellow")
    if record.other_data and shown:
        write_line(console, f"note: {other_data_remark(record.other_data)}", "yellow")
    if remark := other_outs_remark(record.other_outs):
        write_line(console, f"note: {remark}", "yellow")
    write_line(console, headline(report), "bold")
    print_places(console, record, where)


def print_metrics(console: Console, changes: Iterable[MetricChange]) -> None:
    """How metrics stand to the last commit."""
    rows = [
        (
            c.stage,
            c.name,
            format_figure(c.now),
            c.difference,
            Text(c.trend.value, TREND_COLOURS.get(c.trend, "")),
        )
        for c in changes
    ]
    if rows:
        console.print(table_of(("stage", "metric", "now", "change", "against the last commit"), rows))


def print_places(console: Console, record: EndedRun, where: str) -> None:
    """Print where to look further: the pages, the pictures and the logs."""
    folders = sorted({shown_path(picture.path.parent, Path.cwd()) for picture in record.pictures})
    places = [
        ("pages", where),
        ("pictures", ", ".join(folders)),
        ("logs", shown_path(record.logs, Path.cwd())),
    ]
    for name, place in places:
        if place:
            write_line(console, f"{name:>9}: {place}")


def print_plan(console: Console, plan: Plan) -> None:
    """A plan as a table, with what the whole should take; where stages run, if not all of them run here."""
    elsewhere = any(stage.pool for stage in plan.stages)
    rows = [
        (
            stage.name,
            action_word(stage),
            *([stage.pool or "this host"] if elsewhere else []),
            format_duration(stage.seconds) if stage.seconds is not None else "",
            format_reasons(stage.reasons),
        )
        for stage in plan.stages
    ]
    header = ("stage", "action", *(["where"] if elsewhere else []), "usually", "why")
    console.print(table_of(header, rows))
    if not plan.work:
        console.print(f"nothing to do: {count_stages(plan)} up to date")
        return
    todo = describe_work(plan)
    if plan.strangers and plan.seconds is not None:
        todo += f"; {format_count(plan.strangers, 'stage')} never ran here: how long that takes is not known"
    elif plan.seconds:  # 0: nothing of it is executed
        todo += f", about {format_duration(plan.seconds)}"
    console.print(todo)
    if moved := sum(stage.bytes_to_move for stage in plan.stages):
        console.print(f"to be moved to other hosts: {decimal(moved)} of data that is recorded")
    if plan.critical_path:
        write_line(console, f"the longest path: {' -> '.join(plan.critical_path)}")


def table_of(header: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table without frames; what stands in cells is never taken for markup."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escaped_text(value) if isinstance(value, str) else value for value in row))
    return table


def table_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table like `table_of` as plain text for a log, in which no line is broken."""
    file = io.StringIO()
    Console(file=file, color_system=None, width=WIDEST).print(table_of(header, rows))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())
