from dataclasses import replace
from datetime import date

import pytest

from darkroom.base.text import (
    format_change,
    format_difference,
    format_duration,
    format_figure,
    format_reasons,
)
from darkroom.runs.metrics import Trend, trend_of
from darkroom.runs.report import RunReport
from darkroom.schedule.events import Outcome, StageAgain, StageFinished
from darkroom.schedule.plan import Action, Plan, PlannedStage
from darkroom.show.wording import (
    SHOWN_STAGES,
    action_word,
    continuation_remark,
    describe_end,
    describe_restart,
    describe_work,
    headline,
    nothing_to_run,
    what_happened,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.95, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (242, "4 min 02 s"),
        (3599.6, "1 h 00 min"),
        (3900, "1 h 05 min"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("direction", "then", "now", "expected"),
    [
        (1, 0.5, 0.75, Trend.BETTER),
        (1, 0.75, 0.5, Trend.WORSE),
        (-1, 0.75, 0.5, Trend.BETTER),
        (-1, 0.5, 0.75, Trend.WORSE),
        (0, 1, 2, Trend.CHANGED),
        (1, None, 0.5, Trend.NEW),
        (1, 0.5, None, Trend.GONE),
        (1, 0.5, 0.5, Trend.SAME),
        (1, "high", 0.5, Trend.CHANGED),
        (1, 0.5, float("nan"), Trend.CHANGED),
    ],
)
def test_trend(direction: int, then: object, now: object, expected: Trend) -> None:
    assert trend_of(direction, then, now) is expected


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (3, 5, "+2"),
        (5, 3, "-2"),
        (0.5, 0.75, "+0.25"),
        (1, 1, ""),
        (None, 1, ""),
        ("a", "b", ""),
        (True, 2, ""),
    ],
)
def test_difference(then: object, now: object, words: str) -> None:
    assert format_difference(then, now) == words


def test_figure_keeps_four_digits_of_a_fraction_and_whole_numbers_whole() -> None:
    assert [format_figure(0.123456), format_figure(123456), format_figure(None), format_figure("x")] == [
        "0.1235",
        "123456",
        "",
        "x",
    ]


def test_endings_say_what_happened_and_how_long_it_took() -> None:
    assert describe_end(StageFinished("a", Outcome.RAN, (), 12.0)) == "ran in 12 s"
    assert describe_end(StageFinished("a", Outcome.SKIPPED)) == ""
    failed = StageFinished("a", Outcome.FAILED, (), 1.0, "a: failed with exit code 3")
    assert describe_end(failed) == "failed in 1.0 s (exit code 3)"
    assert describe_end(StageFinished("a", Outcome.CANCELLED, (), 2.0, "a: stopped")) == "stopped after 2.0 s"


def test_what_had_not_begun_when_the_run_was_stopped_was_not_started() -> None:
    idle, stopped = StageFinished("a", Outcome.CANCELLED), StageFinished("b", Outcome.CANCELLED, (), 1.0)
    assert (what_happened(idle), describe_end(idle)) == ("not started", "")
    assert what_happened(stopped) == "stopped"


def test_what_is_to_be_done_is_counted_by_how_sure_it_is() -> None:
    actions = [Action.RUN, Action.MAY_RUN, Action.RUN, Action.SKIP, Action.RESTORE]
    stages = [PlannedStage(f"s{n}", action, (), (), None) for n, action in enumerate(actions)]
    assert describe_work(Plan(tuple(stages), None, ())) == "2 stages to run, 1 may run, 1 to restore"
    assert describe_work(Plan(tuple(stages[1:2]), None, ())) == "1 stage may run"
    frozen = [PlannedStage("f", Action.FROZEN, reasons, (), None) for reasons in ((), ("out f: modified",))]
    assert describe_work(Plan(tuple(frozen), None, ())) == "1 stage to record as it lies there"


def test_a_dvc_file_is_no_stage_to_who_counts_them() -> None:
    data = PlannedStage("raw.dvc", Action.RUN, ("out raw: modified",), (), None, executes=False, data=True)
    stage = PlannedStage("train", Action.RUN, ("dep raw: modified",), ("raw.dvc",), None)
    plan = Plan((data, stage), None, ())
    ended = (
        StageFinished("raw.dvc", Outcome.RAN),
        StageFinished("train", Outcome.CANCELLED, (), 2.0, "train: stopped"),
    )
    report = RunReport(run="r", plan=plan, stages={one.stage: one for one in ended}, seconds=3.0, errors=())
    assert describe_work(plan) == "1 stage to run, 1 .dvc file to update"
    assert (action_word(data), action_word(stage)) == ("update", "run")
    assert describe_end(ended[0], plan.data) == "updated"
    assert headline(report) == "1 stage stopped, 1 .dvc file updated, in 3.0 s"
    assert continuation_remark(report, ()).startswith(
        "stopped: 0 of 1 stage is done and kept; `darkroom run`"
    )
    skipped = (replace(data, action=Action.SKIP), replace(stage, action=Action.SKIP))
    assert list(nothing_to_run(Plan(skipped, None, ())))[-1] == "nothing to run: 1 stage up to date"
    assert list(nothing_to_run(Plan(skipped[:1], None, ())))[-1] == "nothing to run: 1 .dvc file up to date"


def test_some_reasons_and_the_number_of_others() -> None:
    assert format_reasons(["a", "b", "c"]) == "a; b; c"
    assert format_reasons(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"


def test_nothing_to_run_is_said_stage_by_stage_unless_they_are_many() -> None:
    stages = (
        PlannedStage("ice", Action.FROZEN, (), (), None),
        *(PlannedStage(f"s{i}", Action.SKIP, (), (), None) for i in range(SHOWN_STAGES)),
    )
    assert list(nothing_to_run(Plan(stages[:2], 0.0, ()))) == [
        "ice: frozen",
        "s0: up to date",
        "nothing to run: 2 stages up to date",
    ]
    many = list(nothing_to_run(Plan(stages, 0.0, ())))
    assert many[-2:] == ["and 1 more up to date", f"nothing to run: {len(stages)} stages up to date"]


def test_a_value_that_cannot_be_shown_is_told_by_its_type() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert format_change(1 << 20000, 1) == "int too large to be shown -> 1"
    assert (
        format_change(endless, {"a": date(2026, 1, 2)}) == 'list too large to be shown -> {"a": "2026-01-02"}'
    )


def test_a_restart_beside_others_counts_as_no_retry() -> None:
    killed = StageAgain("train", "killed by SIGKILL", 2.0, 1, 2)
    assert describe_restart(killed) == "killed by SIGKILL, starts again in 2.0 s (1 of 2)"
    disturbed = StageAgain("train", "in.txt changed while it ran, by other", 0.0, 0, 0)
    assert describe_restart(disturbed) == (
        "in.txt changed while it ran, by other, starts again when no other stage changes it"
    )
