"""Times, figures and changes of figures in words, the same on the terminal and on a run's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from darkroom.base.escapes import escape
from darkroom.base.text import format_count, format_duration, format_reasons
from darkroom.schedule.events import Outcome, StageAgain, StageFinished
from darkroom.schedule.plan import Action, Plan, PlannedStage

if TYPE_CHECKING:
    from darkroom.runs.report import RunReport

WORK_WORDS = {
    Action.RUN: "to run",
    Action.MAY_RUN: "may run",
    Action.RESTORE: "to restore",
    Action.FROZEN: "to record as it lies there",
    Action.CANNOT_RUN: "cannot run",
}
DATA_WORK_WORDS = WORK_WORDS | {Action.RUN: "to update", Action.MAY_RUN: "may be updated"}
SHOWN_STAGES = 40
DATA_FILE = ".dvc file"
"""What people call a step of a plan that is no stage: it has no command."""
OUTCOME_WORDS = {  # in the order in which a headline counts them
    Outcome.FAILED: "failed",
    Outcome.CANCELLED: "stopped",
    Outcome.BLOCKED: "not started",
    Outcome.RAN: "ran",
    Outcome.RESTORED: "restored from the cache",
    Outcome.SKIPPED: "up to date",
    Outcome.FROZEN: "frozen",
}
DATA_OUTCOME_WORDS = OUTCOME_WORDS | {Outcome.RAN: "updated"}


def describe_end(event: StageFinished, data: Container[str] = ()) -> str:
    """How a stage ended, in a line; empty for what did not even start. `data`: the plan's .dvc files."""
    match event.outcome:
        case Outcome.SKIPPED | Outcome.FROZEN | Outcome.BLOCKED:
            return ""
        case Outcome.CANCELLED:
            return f"stopped after {format_duration(event.seconds)}" if event.seconds else ""
    return " ".join(filter(None, (what_happened(event, data), in_time_taken(event), _cause(event))))


def _cause(event: StageFinished) -> str:
    """The error in brackets, without what stands before it on the line."""
    cause = (event.error or "").removeprefix(f"{event.stage}: ").removeprefix("failed with ")
    return f"({cause})" if cause else ""


def what_happened(event: StageFinished, data: Container[str] = ()) -> str:
    """The outcome in words; a stage that had not begun when the run was stopped has not been stopped.

    `data`: the plan's .dvc files, which have no command that could run.
    """
    idle = event.outcome is Outcome.CANCELLED and not event.seconds
    words = DATA_OUTCOME_WORDS if event.stage in data else OUTCOME_WORDS
    return words[Outcome.BLOCKED if idle else event.outcome]


def headline(report: RunReport) -> str:
    """A run in one sentence: `2 stages ran, 4 up to date, 1 .dvc file updated, in 12 s`."""
    data = report.plan.data
    stages = Counter(what_happened(one) for one in report.stages.values() if one.stage not in data)
    files = Counter(
        what_happened(one, data)
        for one in report.stages.values()
        if one.stage in data and one.outcome in (Outcome.FAILED, Outcome.RAN, Outcome.RESTORED)
    )
    said = ", ".join(
        (*_counted(stages, OUTCOME_WORDS, "stage"), *_counted(files, DATA_OUTCOME_WORDS, DATA_FILE))
    )
    return f"{said}, in {format_duration(report.seconds)}" if said else "no stages"


def _counted(counts: Mapping[str, int], words: Mapping[Any, str], noun: str) -> Iterator[str]:
    """`2 stages ran`, `4 up to date`: the noun is said once."""
    said = [(counts[word], word) for word in words.values() if counts[word]]
    for at, (number, word) in enumerate(said):
        yield f"{number if at else format_count(number, noun)} {word}"


def describe_work(plan: Plan) -> str:
    """What a plan has to do, counted: `2 stages to run, 1 may run, 3 to restore, 1 .dvc file to update`."""
    stages = Counter(WORK_WORDS[stage.action] for stage in plan.work if not stage.data)
    files = Counter(DATA_WORK_WORDS[stage.action] for stage in plan.work if stage.data)
    return ", ".join((*_counted(stages, WORK_WORDS, "stage"), *_counted(files, DATA_WORK_WORDS, DATA_FILE)))


def action_word(stage: PlannedStage) -> str:
    """What a run would do with a step of a plan, in a word."""
    return "update" if stage.data and stage.action is Action.RUN else stage.action.value


def count_stages(plan: Plan) -> str:
    """How many stages a plan has: `3 stages`, without the .dvc files unless there is nothing else."""
    number = len(plan.stages) - len(plan.data)
    return (
        format_count(number, "stage") if number or not plan.data else format_count(len(plan.data), DATA_FILE)
    )


def describe_restart(event: StageAgain) -> str:
    """`killed by SIGKILL, starts again in 2.0 s (1 of 2)`."""
    if not event.retry:
        return f"{event.reason}, starts again when no other stage changes it"
    when = f"in {format_duration(event.seconds)} ({event.retry} of {event.retries})"
    return f"{event.reason}, starts again {when}"


def continuation_remark(report: RunReport, targets: Sequence[str]) -> str:
    """Say after a run that was stopped what is kept, and the command that takes it up again."""
    data = report.plan.data
    done = sum(stage.outcome.well for name, stage in report.stages.items() if name not in data)
    command = escape(" ".join(["darkroom run", *targets]))
    verb = "is" if len(report.plan.stages) - len(data) == 1 else "are"
    kept = f"stopped: {done} of {count_stages(report.plan)} {verb} done and kept"
    return f"{kept}; `{command}` goes on from there, a training from its last checkpoint"


def other_data_remark(files: Sequence[str]) -> str:
    """What to say of figures whose data is not the last commit's."""
    which = format_reasons(files)
    return f"other data than in the last commit ({which}): no figure is called better or worse than then"


def other_outs_remark(found: Mapping[str, Sequence[str]]) -> str:
    """What to say of outs that differ from the last commit's though their inputs do not; empty for none."""
    if not found:
        return ""
    shown = [f"{name} ({', '.join(paths[:3])}{', ...' * (len(paths) > 3)})" for name, paths in found.items()]
    more = f" and {format_count(len(shown) - 3, 'stage')} more" if len(shown) > 3 else ""
    return (
        f"dvc.lock differs from the last commit's although command, deps and params are the same:"
        f" {', '.join(shown[:3])}{more}; another processor or library gives other digits,"
        " or the stage does not give the same twice"
    )


def in_time_taken(event: StageFinished) -> str:
    """`in 12 s`; empty where no command was executed."""
    return f"in {time_taken(event)}" if event.seconds else ""


def nothing_to_run(plan: Plan) -> Iterator[str]:
    """Why a run runs nothing: a line a stage, or for many stages their number."""
    for stage in plan.stages[:SHOWN_STAGES]:
        yield f"{escape(stage.name)}: {'frozen' if stage.action is Action.FROZEN else 'up to date'}"
    if len(plan.stages) > SHOWN_STAGES:
        yield f"and {len(plan.stages) - SHOWN_STAGES} more up to date"
    yield f"nothing to run: {count_stages(plan)} up to date"


def time_taken(stage: StageFinished) -> str:
    """How long the stage's command took; empty where none was executed."""
    return format_duration(stage.seconds) if stage.seconds else ""
