import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from darkroom.runs.ended import EndedRun
from darkroom.runs.metrics import MetricChange
from darkroom.runs.report import RunReport
from darkroom.schedule.events import Outcome, RunStarted, StageBar, StageFinished, StageLine, StageStarted
from darkroom.schedule.plan import Action, Plan, PlannedStage
from darkroom.show import terminal

PLAN = Plan(
    (
        PlannedStage("make[it]", Action.RUN, ("never run",), (), 20.0),
        PlannedStage("rest", Action.SKIP, (), ("make[it]",), None),
    ),
    20.0,
    ("make[it]",),
)


def console(width: int = 120) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False)


def written(to: Console) -> list[str]:
    assert isinstance(to.file, io.StringIO)
    return [line.rstrip() for line in to.file.getvalue().splitlines()]


def test_on_a_pipe_each_line_bears_its_stage_and_is_never_taken_for_markup() -> None:
    to = console()
    with terminal.watching_run(to) as observe:
        observe(RunStarted("r", PLAN))
        observe(StageStarted("make[it]", ("never run",)))
        observe(StageLine("make[it]", "[bold]loss[/bold] 0.5"))
        observe(StageFinished("make[it]", Outcome.RAN, (), 3.0))
        observe(StageFinished("rest", Outcome.SKIPPED))
    assert written(to) == [
        "make[it] │ starts: never run",
        "make[it] │ [bold]loss[/bold] 0.5",
        "make[it] │ ran in 3.0 s",
    ]


def test_a_bar_moves_the_display_and_is_no_line_of_its_own() -> None:
    to = console()
    watch = terminal.RunDisplay(to, clock=lambda: 100.0)
    watch.follow(
        [
            RunStarted("r", PLAN),
            StageStarted("make[it]", ()),
            StageBar("make[it]", "epoch 2/4:  25%|##5       | 25/100 [00:20<01:00,  1.25it/s]"),
            StageLine("make[it]", "                                                          "),
        ]
    )
    assert written(to) == ["make[it] │ starts:"]
    to.print(watch.render())
    assert "epoch 2/4" in "\n".join(written(to))


def test_the_live_display_says_what_runs_how_long_and_how_much_longer() -> None:
    now = 100.0
    to = console()
    watch = terminal.RunDisplay(to, clock=lambda: now)
    line = StageLine("make[it]", "epoch 1/4 loss 0.5 left 12 s")
    watch.follow([RunStarted("r", PLAN), StageStarted("make[it]", ()), line])
    now += 5
    to.print(watch.render())
    text = "\n".join(written(to))
    assert "make[it] 5.0 s of about 20 s epoch 1/4, about 7.0 s left, loss 0.5" in text
    assert "0 of 2 stages, 5.0 s, about 15 s more" in text
    watch.console = narrow = console(60)
    narrow.print(watch.render())
    text = "\n".join(written(narrow))
    assert "make[it] 5.0 s epoch 1/4, about 7.0 s left, loss 0.5" in text.replace("  ", " ")


def test_progress_counts_stages_and_no_dvc_files() -> None:
    data = PlannedStage("raw.dvc", Action.SKIP, (), (), None, executes=False, data=True)
    to = console()
    watch = terminal.RunDisplay(to, clock=lambda: 100.0)
    watch.follow([RunStarted("r", replace(PLAN, stages=(data, *PLAN.stages)))])
    watch.follow([StageFinished("raw.dvc", Outcome.SKIPPED), StageFinished("rest", Outcome.SKIPPED)])
    to.print(watch.render())
    assert written(to)[-1].startswith("1 of 2 stages, ")


def test_the_plan_says_what_why_and_how_long() -> None:
    to = console()
    terminal.print_plan(to, PLAN)
    assert [line.split() for line in written(to)] == [
        ["stage", "action", "usually", "why"],
        ["make[it]", "run", "20", "s", "never", "run"],
        ["rest", "skip"],
        ["1", "stage", "to", "run,", "about", "20", "s"],
        ["the", "longest", "path:", "make[it]"],
    ]


def test_a_plan_that_executes_nothing_has_no_time() -> None:
    stuck = PlannedStage("stuck", Action.CANNOT_RUN, ("raw: no such file",), (), None)
    to = console()
    terminal.print_plan(to, Plan((stuck,), 0.0, ()))
    assert written(to)[-1] == "1 stage cannot run"


def test_nobody_says_how_long_a_stage_takes_that_never_ran() -> None:
    fresh = PlannedStage("fresh", Action.RUN, ("never run",), (), None)
    plan = replace(PLAN, stages=(*PLAN.stages, fresh))
    to, now = console(200), 100.0
    terminal.print_plan(to, plan)
    assert "2 stages to run; 1 stage never ran here: how long that takes is not known" in written(to)
    watch = terminal.RunDisplay(to, clock=lambda: now)
    watch.follow([RunStarted("r", plan)])
    now += 5
    to.print(watch.render())
    assert "0 of 3 stages, 5.0 s" in [line.strip() for line in written(to)]


def test_the_end_tells_outcomes_metrics_errors_and_where_to_look() -> None:
    failed = StageFinished("make[it]", Outcome.FAILED, ("forced",), 2.0, "make[it]: failed with exit code 3")
    report = RunReport(
        run="r1",
        plan=PLAN,
        stages={
            "make[it]": failed,
            "rest": StageFinished("rest", Outcome.BLOCKED),
            "judge": StageFinished("judge", Outcome.RAN),
        },
        seconds=2.5,
        errors=("make[it]: failed with exit code 3",),
        last_lines={"make[it]": ("no such [thing]",)},
    )
    record = EndedRun(
        root=Path.cwd(),
        report=report,
        metrics=(MetricChange("judge", "accuracy", 0.5, 0.25, 1),),
        pictures=(),
    )
    to = console()
    terminal.print_record(to, record, "http://pages")
    text = "\n".join(" ".join(line.split()) for line in written(to))
    assert "make[it] failed 2.0 s forced" in text
    assert "judge accuracy 0.25 -0.25 worse" in text
    assert "the last lines of make[it]:\nno such [thing]\nerror: make[it]: failed with exit code 3" in text
    assert "1 stage failed, 1 not started, 1 ran, in 2.5 s" in text
    assert "pages: http://pages\nlogs: .darkroom/logs/r1" in text
