"""A run of a DVC repository as a Prefect flow; the stages that execute are flow runs of their own under it.

DVC alone decides what is up to date: Prefect caches and keeps no results here. A stage that is up to date
costs no request; it stands on the run's page.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import Flow, get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging.loggers import flow_run_logger
from prefect.states import Cancelled, Completed, Failed

from flows import artifacts
from flows.events import Event, Outcome, StageFinished, StageStarted, ignore
from flows.record import RunRecord, record_run
from flows.run import RunOptions, run_pipeline
from flows.stage_flow_runs import StageFlowRuns
from flows.stopping import stopping_on_cancel, stopping_on_signals
from flows.wording import ending, some


def run_recorded(
    options: RunOptions, root: Path, observe: Callable[[Event], None] = ignore
) -> tuple[RunRecord, str | None]:
    """Run what `options` select of the repository at `root`, as a flow run of the Prefect server that is set.

    Returns the record, and why Prefect was lost on the way if it was. A failing stage does not raise: it is
    in the record. Raises DarkroomError where nothing could be started.
    """
    ended: list[tuple[RunRecord, str | None]] = []

    def run(given: dict[str, Any]) -> State[Any]:  # noqa: ARG001  (for Prefect's pages)
        record, lost = _run_stages(options, root, observe)
        ended.append((record, lost))
        return final_state(record)

    flow = Flow(run, name="darkroom", flow_run_name=run_name(options, root), validate_parameters=False)
    state = flow(shown_parameters(options), return_state=True)
    if not ended:
        state.result()
    return ended[0]


def _run_stages(
    options: RunOptions, root: Path, observe: Callable[[Event], None]
) -> tuple[RunRecord, str | None]:
    """Run the stages under the flow run that we are in, and publish what there is to see of them."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    with get_client(sync_client=True) as client:
        stages = StageFlowRuns(client, context.flow_run, tags=[root.name])
        logger = flow_run_logger(context.flow_run, context.flow)

        def tell(event: Event) -> None:
            observe(event)
            if text := line_of_log(event):
                logger.info("%s", text)

        stop = options.stop
        with stopping_on_signals(stop), stopping_on_cancel(stages.cancelled, stop):
            report = run_pipeline(options, execute=stages.execute, observe=tell)
        record = record_run(root, report, stages.last_lines)
        stages.publish(record)
    return record, stages.lost


def line_of_log(event: Event) -> str:
    """What the pipeline's own log says of an event; empty where that is nothing."""
    match event:
        case StageStarted(stage, reasons):
            return f"{stage} starts: {some(reasons)}"
        case StageFinished() if text := ending(event):
            return f"{event.stage} {text}"
    return ""


def run_name(options: RunOptions, root: Path) -> str:
    """What a run is called on Prefect's pages: the project, and the targets if some were named."""
    return " ".join([root.name, *options.targets])


def shown_parameters(options: RunOptions) -> dict[str, Any]:
    """The options as Prefect's pages show them: those that differ from the defaults."""
    plain = RunOptions(stop=options.stop)
    return {
        name: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
        for name in RunOptions.__dataclass_fields__
        if (value := getattr(options, name)) != getattr(plain, name)
    }


def final_state(record: RunRecord) -> State[Any]:
    """Prefect's state for how a run ended."""
    said = artifacts.headline(record.report)
    if Outcome.CANCELLED in record.report.outcomes().values():
        return Cancelled(message=said)
    if record.report.well:
        return Completed(message=said)
    return Failed(message="\n".join((said, *record.report.errors)))
