"""Times, figures and changes of figures in words, the same on the terminal and on a run's page."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import zip_longest

from flows.events import Outcome, StageAgain, StageFinished
from flows.plan import Action, Plan
from flows.shown import shown

HIGHER_IS_BETTER = frozenset(
    [
        "accuracy",
        "acc",
        "auc",
        "bleu",
        "coverage",
        "dice",
        "f1",
        "iou",
        "map",
        "precision",
        "psnr",
        "r2",
        "recall",
        "ssim",
        "top1",
        "top5",
    ]
)
LOWER_IS_BETTER = frozenset(
    [
        "distance",
        "divergence",
        "drop",
        "ece",
        "error",
        "fid",
        "gap",
        "kid",
        "loss",
        "mae",
        "mse",
        "perplexity",
        "rmse",
    ]
)
WORK_WORDS = {
    Action.RUN: "to run",
    Action.MAY_RUN: "may run",
    Action.RESTORE: "to restore",
    Action.FROZEN: "to record as it lies there",
    Action.CANNOT_RUN: "cannot run",
}
SIGNIFICANT = 4
SHOWN_REASONS = 3
SHOWN_STAGES = 40
SHOWN_LETTERS = 60
"""Of a value."""
SHOWN_BEFORE = 15
"""Of what two long values have in common, before they differ."""
OUTCOME_WORDS = {  # in the order in which a headline counts them
    Outcome.FAILED: "failed",
    Outcome.CANCELLED: "stopped",
    Outcome.BLOCKED: "not started",
    Outcome.RAN: "ran",
    Outcome.RESTORED: "restored from the cache",
    Outcome.SKIPPED: "up to date",
    Outcome.FROZEN: "frozen",
}


class Trend(StrEnum):
    """How a metric's value stands to the one in the last commit."""

    NEW = "new"
    GONE = "gone"
    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    CHANGED = "changed"


def duration(seconds: float) -> str:
    """A time as people say it: `0.4 s`, `12 s`, `4 min 02 s`, `1 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def ending(event: StageFinished) -> str:
    """How a stage ended, in a line; empty for what did not even start."""
    match event.outcome:
        case Outcome.SKIPPED | Outcome.FROZEN | Outcome.BLOCKED:
            return ""
        case Outcome.CANCELLED:
            return f"stopped after {duration(event.seconds)}" if event.seconds else ""
    return " ".join(filter(None, (what_happened(event), in_seconds(event), _cause(event))))


def _cause(event: StageFinished) -> str:
    """The error in brackets, without what stands before it on the line."""
    cause = (event.error or "").removeprefix(f"{event.stage}: ").removeprefix("failed with ")
    return f"({cause})" if cause else ""


def what_happened(event: StageFinished) -> str:
    """The outcome in words; a stage that had not begun when the run was stopped has not been stopped."""
    idle = event.outcome is Outcome.CANCELLED and not event.seconds
    return OUTCOME_WORDS[Outcome.BLOCKED if idle else event.outcome]


def to_do(plan: Plan) -> str:
    """What a plan has to do, counted: `2 stages to run, 1 may run, 3 to restore`."""
    counts = Counter(stage.action for stage in plan.work)
    said = [(counts[action], words) for action, words in WORK_WORDS.items() if counts[action]]
    (first, words), rest = said[0], said[1:]
    return ", ".join((f"{counted(first, 'stage')} {words}", *(f"{n} {words}" for n, words in rest)))


def again(event: StageAgain) -> str:
    """`killed by SIGKILL, starts again in 2.0 s (1 of 2)`."""
    return f"{event.reason}, starts again in {duration(event.seconds)} ({event.retry} of {event.retries})"


def how_to_go_on(outcomes: Iterable[Outcome], targets: Sequence[str]) -> str:
    """After a run that was stopped: what is kept, and the command that takes it up again."""
    done = [outcome.well for outcome in outcomes]
    command = shown(" ".join(["darkroom run", *targets]))
    kept = f"stopped: {sum(done)} of {counted(len(done), 'stage')} are done and kept"
    return f"{kept}; `{command}` goes on from there, a training from its last checkpoint"


def in_seconds(event: StageFinished) -> str:
    """`in 12 s`; empty where no command was executed."""
    return f"in {seconds(event)}" if event.seconds else ""


def nothing_to_run(plan: Plan) -> Iterator[str]:
    """Why a run runs nothing: a line a stage, or for many stages their number."""
    for stage in plan.stages[:SHOWN_STAGES]:
        yield f"{shown(stage.name)}: {'frozen' if stage.action is Action.FROZEN else 'up to date'}"
    if len(plan.stages) > SHOWN_STAGES:
        yield f"and {len(plan.stages) - SHOWN_STAGES} more up to date"
    yield f"nothing to run: {counted(len(plan.stages), 'stage')} up to date"


def some(reasons: Sequence[str]) -> str:
    """The first few reasons, and how many more there are."""
    more = [f"and {len(reasons) - SHOWN_REASONS} more"] if len(reasons) > SHOWN_REASONS else []
    return "; ".join([*reasons[:SHOWN_REASONS], *more])


def seconds(stage: StageFinished) -> str:
    """How long the stage's command took; empty where none was executed."""
    return duration(stage.seconds) if stage.seconds else ""


def counted(number: int, noun: str) -> str:
    """`1 stage`, `6 stages`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def change_of(then: object, now: object) -> str:
    """A value before and after: `"1" -> 1`; of long ones the part that differs."""
    one, other = _json_text(then), _json_text(now)
    pairs = zip_longest(one, other)
    alike = next((at for at, (letter, instead) in enumerate(pairs) if letter != instead), len(one))
    start = max(alike - SHOWN_BEFORE, 0) if max(len(one), len(other)) > SHOWN_LETTERS else 0
    return f"{_cut(one, start)} -> {_cut(other, start)}"


def in_json(value: object) -> str:
    """A value as JSON has it, so that its type can be seen: `"1"` is a text, `1` a number."""
    return _cut(_json_text(value), 0)


def _json_text(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):  # an endless one, thousands of digits, a key that is none
        return f"{type(value).__name__} too large to be shown"


def _cut(text: str, start: int) -> str:
    end = start + SHOWN_LETTERS
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}"


def figure(value: object) -> str:
    """A metric's value: four significant digits of a fraction, whole numbers as they are."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{SIGNIFICANT}g}"
    return str(value)


def difference(then: object, now: object) -> str:
    """The change of a figure with its sign, empty where one of them is no number or nothing changed."""
    if not (_is_number(then) and _is_number(now)) or then == now:
        return ""
    delta = now - then  # type: ignore[operator]
    return f"{delta:+d}" if isinstance(delta, int) else f"{delta:+.{SIGNIFICANT - 1}g}"


def trend(name: str, then: object, now: object) -> Trend:
    """What became of the metric `name`: better or worse only where its name says which way is up."""
    if then == now:
        return Trend.SAME
    if then is None:
        return Trend.NEW
    if now is None:
        return Trend.GONE
    direction = better_direction(name)
    if not direction or not (_is_number(then) and _is_number(now)):
        return Trend.CHANGED
    return Trend.BETTER if (now - then) * direction > 0 else Trend.WORSE  # type: ignore[operator]


def better_direction(name: str) -> int:
    """1 where a higher value of the metric is better, -1 where a lower one is, 0 where its name is silent.

    The last part of a dotted name that tells decides: `val.loss` is a loss, `recall.shirt` a recall.
    """
    for part in reversed(name.lower().split(".")):
        words = set(re.findall(r"[a-z]+\d*|\d+", part)) | set(re.findall(r"[a-z]+", part))
        up, down = bool(words & HIGHER_IS_BETTER), bool(words & LOWER_IS_BETTER)
        if up or down:
            return up - down
    return 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
