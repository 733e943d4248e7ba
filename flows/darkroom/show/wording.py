"""Times, figures and changes of figures in words, the same on the terminal and on a run's page."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from darkroom.base.escapes import escape
from darkroom.base.text import format_count, format_duration, format_reasons
from darkroom.schedule.events import Outcome, StageAgain, StageFinished
from darkroom.schedule.plan import Action, Plan

WORK_WORDS = {
    Action.RUN: "to run",
    Action.MAY_RUN: "may run",
    Action.RESTORE: "to restore",
    Action.FROZEN: "to record as it lies there",
    Action.CANNOT_RUN: "cannot run",
}
SHOWN_STAGES = 40
OUTCOME_WORDS = {  # in the order in which a headline counts them
    Outcome.FAILED: "failed",
    Outcome.CANCELLED: "stopped",
    Outcome.BLOCKED: "not started",
    Outcome.RAN: "ran",
    Outcome.RESTORED: "restored from the cache",
    Outcome.SKIPPED: "up to date",
    Outcome.FROZEN: "frozen",
}


def describe_end(event: StageFinished) -> str:
    """How a stage ended, in a line; empty for what did not even start."""
    match event.outcome:
        case Outcome.SKIPPED | Outcome.FROZEN | Outcome.BLOCKED:
            return ""
        case Outcome.CANCELLED:
            return f"stopped after {format_duration(event.seconds)}" if event.seconds else ""
    return " ".join(filter(None, (what_happened(event), in_time_taken(event), _cause(event))))


def _cause(event: StageFinished) -> str:
    """The error in brackets, without what stands before it on the line."""
    cause = (event.error or "").removeprefix(f"{event.stage}: ").removeprefix("failed with ")
    return f"({cause})" if cause else ""


def what_happened(event: StageFinished) -> str:
    """The outcome in words; a stage that had not begun when the run was stopped has not been stopped."""
    idle = event.outcome is Outcome.CANCELLED and not event.seconds
    return OUTCOME_WORDS[Outcome.BLOCKED if idle else event.outcome]


def describe_work(plan: Plan) -> str:
    """What a plan has to do, counted: `2 stages to run, 1 may run, 3 to restore`."""
    counts = Counter(stage.action for stage in plan.work)
    said = [(counts[action], words) for action, words in WORK_WORDS.items() if counts[action]]
    (first, words), rest = said[0], said[1:]
    return ", ".join((f"{format_count(first, 'stage')} {words}", *(f"{n} {words}" for n, words in rest)))


def describe_restart(event: StageAgain) -> str:
    """`killed by SIGKILL, starts again in 2.0 s (1 of 2)`."""
    if not event.retry:
        return f"{event.reason}, starts again when no other stage changes it"
    when = f"in {format_duration(event.seconds)} ({event.retry} of {event.retries})"
    return f"{event.reason}, starts again {when}"


def how_to_go_on(outcomes: Iterable[Outcome], targets: Sequence[str]) -> str:
    """After a run that was stopped: what is kept, and the command that takes it up again."""
    done = [outcome.well for outcome in outcomes]
    command = escape(" ".join(["darkroom run", *targets]))
    kept = f"stopped: {sum(done)} of {format_count(len(done), 'stage')} are done and kept"
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
    yield f"nothing to run: {format_count(len(plan.stages), 'stage')} up to date"


def time_taken(stage: StageFinished) -> str:
    """How long the stage's command took; empty where none was executed."""
    return format_duration(stage.seconds) if stage.seconds else ""
