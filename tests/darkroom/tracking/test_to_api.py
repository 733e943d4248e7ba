"""Runs of a real repository recorded in a real Prefect server, looked at through Prefect's own client."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Cancelling

from darkroom.base.errors import UsageError
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, Outcome, StageLine
from darkroom.server.clients import client_of
from tests.darkroom.repositories import git
from tests.darkroom.runs.elsewhere import Elsewhere
from tests.darkroom.server.processes.temporary import temporary_server
from tests.darkroom.tracking.delivering import run_told
from tests.darkroom.waiting import wait_for

pytestmark = pytest.mark.slow

DVC_YAML = """
stages:
  prepare:
    cmd: cp in.txt out.txt
    deps: [in.txt]
    outs: [out.txt]
  train:
    cmd:
      - echo "loss $(cat rate.txt)"
      - echo "{\\"val\\":{\\"loss\\":$(cat rate.txt)}}" > train.json
      - cp dot.png sheet.png
    deps: [out.txt, rate.txt]
    outs: [sheet.png]
    metrics: [train.json: {cache: false, meta: {lower_is_better: [val.loss]}}]
  check:
    cmd: test "$(cat out.txt)" != bad || { echo "bad input" >&2; exit 3; }; echo ok > checked.txt
    deps: [out.txt]
    outs: [checked.txt]
  report:
    cmd: cat checked.txt train.json > report.txt
    deps: [checked.txt, train.json]
    outs: [report.txt]
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncPrefectClient]:
    """One temporary server for the whole file."""
    folder = tmp_path_factory.mktemp("server")
    with (
        temporary_server(folder) as url,
        client_of(folder, url),
        get_client(sync_client=True) as client,
    ):
        yield client


@pytest.fixture
def root(tmp_path: Path) -> Path:
    from PIL import Image

    folder = tmp_path / "Project X"
    folder.mkdir()
    git(folder, "init")
    from dvc.repo import Repo

    Repo.init(str(folder)).close()
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "in.txt").write_text("good\n")
    (folder / "rate.txt").write_text("0.5")
    Image.new("RGB", (8, 8), "red").save(folder / "dot.png")
    git(folder, "add", "-A")
    git(folder, "commit", "-m", "start")
    return folder


def run(root: Path, **options: Any) -> dict[str, Outcome]:
    return run_told(RunOptions(repo=root, jobs=2, **options), root).report.outcomes()


def latest(client: SyncPrefectClient, name: str) -> FlowRun:
    runs = [run for run in client.read_flow_runs() if run.name == name]
    return max(runs, key=lambda run: run.created or run.expected_start_time)


def children(client: SyncPrefectClient, parent: FlowRun) -> dict[str, FlowRun]:
    under = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent.id]))
    return {run.name: run for run in client.read_flow_runs(flow_run_filter=under)}


def artifacts(client: SyncPrefectClient, run: FlowRun) -> dict[str, Any]:
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    return {artifact.key: artifact for artifact in client.read_artifacts(artifact_filter=of_run)}


def logs(client: SyncPrefectClient, run: FlowRun, until: str) -> list[str]:
    """The run's log lines, waited for until one of them has `until`: they are sent in the background."""
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    lines: list[str] = []

    def came() -> bool:
        lines[:] = [log.message for log in client.read_logs(log_filter=of_run)]
        return any(until in line for line in lines)

    assert wait_for(came), lines
    return lines


def test_stages_are_flow_runs_under_the_pipelines(client: SyncPrefectClient, root: Path) -> None:
    assert set(run(root).values()) == {Outcome.RAN}
    parent = latest(client, "Project X")
    assert parent.state_type is StateType.COMPLETED
    assert parent.state is not None
    assert parent.state.message is not None
    assert parent.state.message.startswith("4 stages ran, in ")
    stages = children(client, parent)
    assert {name: run.state_type for name, run in stages.items()} == dict.fromkeys(
        ("prepare", "train", "check", "report"), StateType.COMPLETED
    )
    assert stages["train"].parameters == {"stage": "train", "needs": ["prepare"], "why": ["never run"]}
    assert "loss 0.5" in logs(client, stages["train"], "loss")
    assert any(line.startswith("train ran in") for line in logs(client, parent, "train ran"))


def test_stages_that_are_executed_elsewhere_are_recorded_too(client: SyncPrefectClient, root: Path) -> None:
    executor = Elsewhere()
    record = run_told(RunOptions(repo=root, jobs=2), root, executor=executor)
    assert record.report.well
    assert sorted(name for name, _ in executor.launched) == ["check", "prepare", "report", "train"]
    stages = children(client, latest(client, "Project X"))
    assert {run.state_type for run in stages.values()} == {StateType.COMPLETED}
    assert "loss 0.5" in logs(client, stages["train"], "loss")


def edges(client: SyncPrefectClient, parent: FlowRun) -> set[tuple[str, str]]:
    """The dependencies that the page of a run shows."""
    nodes = client._client.get(f"/flow_runs/{parent.id}/graph-v2").json()["nodes"]
    names = {key: node["label"].split(" / ")[1] for key, node in nodes}
    return {(names[key], names[child["id"]]) for key, node in nodes for child in node["children"]}


def test_the_graph_of_the_run_is_that_of_the_stages(client: SyncPrefectClient, root: Path) -> None:
    run(root)
    assert edges(client, latest(client, "Project X")) == {
        ("prepare", "train"),
        ("prepare", "check"),
        ("train", "report"),
        ("check", "report"),
    }


FIRST_LETTER = """
stages:
  letter: {cmd: head -c 1 in.txt > letter.txt, deps: [in.txt], outs: [letter.txt]}
  copy: {cmd: cp letter.txt copy.txt, deps: [letter.txt], outs: [copy.txt]}
  join: {cmd: cat copy.txt rate.txt > joined.txt, deps: [copy.txt, rate.txt], outs: [joined.txt]}
  show: {cmd: "echo 'n: 1' > n.yaml", deps: [joined.txt], metrics: [n.yaml]}
"""


def test_what_comes_from_the_cache_is_told_from_what_ran_and_the_graph_reaches_across_what_did_not(
    client: SyncPrefectClient, root: Path
) -> None:
    (root / "dvc.yaml").write_text(FIRST_LETTER)
    run(root)
    ran = dict.fromkeys(("letter", "join", "show"), Outcome.RAN)
    restored = dict.fromkeys(ran, Outcome.RESTORED)
    for text, rate, outcomes, state in (
        ("gx\n", "0.25", ran, "Completed"),
        ("good\n", "0.5", restored, "Cached"),
    ):
        (root / "in.txt").write_text(text)
        (root / "rate.txt").write_text(rate)
        assert run(root) == {**outcomes, "copy": Outcome.SKIPPED}
        parent = latest(client, "Project X")
        stages = children(client, parent)
        assert {name: (run.state_type, run.state_name) for name, run in stages.items()} == dict.fromkeys(
            outcomes, (StateType.COMPLETED, state)
        )
        assert edges(client, parent) == {("letter", "join"), ("join", "show")}
        assert set(artifacts(client, stages["show"])) == {"project-x-show-metrics"}
    assert stages["join"].parameters == {
        "stage": "join",
        "needs": ["copy"],
        "why": ["dep rate.txt: modified"],
    }
    assert stages["join"].state is not None
    assert stages["join"].state.message == "restored from the cache"


def test_metrics_are_a_table_of_the_stage_and_the_page_has_pictures(
    client: SyncPrefectClient, root: Path
) -> None:
    run(root)
    git(root, "add", "-A")
    git(root, "commit", "-m", "results")
    (root / "rate.txt").write_text("0.25")
    assert run(root) == {
        "prepare": Outcome.SKIPPED,
        "train": Outcome.RAN,
        "check": Outcome.SKIPPED,
        "report": Outcome.RAN,
    }
    parent = latest(client, "Project X")
    stages = children(client, parent)
    assert set(stages) == {"train", "report"}
    (table,) = artifacts(client, stages["train"]).values()
    assert table.key == "project-x-train-metrics"
    assert json.loads(table.data) == [
        {"metric": "val.loss", "now": "0.25", "last commit": "0.5", "change": "-0.25", "in words": "better"}
    ]
    (page,) = artifacts(client, parent).values()
    assert (page.key, page.type) == ("project-x-run", "markdown")
    assert "| train | val.loss | 0.5 | 0.25 | -0.25 | better |" in page.data
    assert "rate.txt" in page.data
    assert "![sheet.png](data:image/png;base64," in page.data
    assert "```mermaid" in page.data


def test_how_far_a_training_is_can_be_followed(
    client: SyncPrefectClient, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One artifact, brought up to date in its place."""
    monkeypatch.setattr("darkroom.tracking.postman.PROGRESS_SECONDS", 0.0)
    waiting = "echo epoch 1/3 loss 5 left 9 s; while [ ! -e go ]; do sleep 0.1; done; echo epoch 3/3 loss 4"
    (root / "dvc.yaml").write_text(
        DVC_YAML.replace("cp dot.png sheet.png", f"{waiting}; cp dot.png sheet.png")
    )
    seen: list[str] = []

    def progress() -> list[str]:
        if not client.read_flow_runs():  # nothing is told yet
            return []
        stages = children(client, latest(client, "Project X"))
        found = artifacts(client, stages["train"]) if "train" in stages else {}
        return [str(held.data) for key, held in found.items() if key == "project-x-train-progress"]

    def watch(event: Event) -> None:
        if isinstance(event, StageLine) and event.line.startswith("epoch 1/3"):
            assert wait_for(lambda: bool(progress()), 60)
            seen.extend(progress())
            (root / "go").touch()

    run_told(RunOptions(repo=root, jobs=2), root, watch)
    (before,) = seen
    assert before.startswith("**epoch 1/3, about ")
    assert "left, loss 5** (at " in before
    (after,) = progress()
    assert after.startswith("**epoch 3/3, loss 4** (at ")
    assert after.endswith("| 3 | 4 |\n| 1 | 5 |\n")


def test_a_failing_stage_fails_the_run_with_its_exit_code_and_last_lines(
    client: SyncPrefectClient, root: Path
) -> None:
    (root / "in.txt").write_text("bad\n")
    outcomes = run(root, keep_going=True)
    assert (outcomes["check"], outcomes["report"]) == (Outcome.FAILED, Outcome.BLOCKED)
    parent = latest(client, "Project X")
    assert parent.state_type is StateType.FAILED
    stages = children(client, parent)
    assert set(stages) == {"prepare", "train", "check"}
    state = stages["check"].state
    assert state is not None
    assert state.type is StateType.FAILED
    assert state.message == "failed with exit code 3\nbad input"
    assert "check: failed with exit code 3" in logs(client, stages["check"], "failed")
    (page,) = artifacts(client, parent).values()
    assert "failed with exit code 3" in page.data
    assert "bad input" in page.data


def test_retries_are_attempts_of_one_flow_run(client: SyncPrefectClient, root: Path) -> None:
    kill_once = "test -e ../once || { touch ../once; kill -KILL $$; }; cp dot.png sheet.png"
    text = DVC_YAML.replace("cp dot.png sheet.png", kill_once)
    (root / "dvc.yaml").write_text(text.replace("metrics: [", "meta: {retries: 2}\n    metrics: ["))
    record = run_told(RunOptions(repo=root, jobs=2), root)
    assert (record.report.outcomes()["train"], record.report.last_lines) == (Outcome.RAN, {})
    train = children(client, latest(client, "Project X"))["train"]
    assert (train.state_type, train.run_count) == (StateType.COMPLETED, 2)
    states = sorted(client.read_flow_run_states(train.id), key=lambda state: state.timestamp)
    assert [state.name for state in states] == ["Running", "AwaitingRetry", "Running", "Completed"]
    assert str(states[1].message).startswith("killed by SIGKILL, starts again in")


def test_what_was_killed_is_crashed_and_a_time_out_says_so(client: SyncPrefectClient, root: Path) -> None:
    text = DVC_YAML.replace("cp dot.png sheet.png", "kill -KILL $$")
    slow = 'test "$(cat out.txt)" != bad || { echo "bad input" >&2; exit 3; }; echo ok > checked.txt'
    assert slow in text
    text = text.replace(slow, "sleep 600").replace(
        "outs: [checked.txt]", "outs: [checked.txt]\n    meta: {timeout: 1}"
    )
    (root / "dvc.yaml").write_text(text)
    run(root, keep_going=True)
    stages = children(client, latest(client, "Project X"))
    killed, late = stages["train"].state, stages["check"].state
    assert killed is not None
    assert late is not None
    assert (killed.type, killed.message) == (StateType.CRASHED, "killed by SIGKILL\nloss 0.5")
    assert (late.type, late.name) == (StateType.FAILED, "TimedOut")


def test_a_stage_whose_results_are_not_taken_over_has_failed(client: SyncPrefectClient, root: Path) -> None:
    (root / "dvc.yaml").write_text(DVC_YAML.replace("cp dot.png sheet.png", "echo nothing"))
    assert run(root)["train"] is Outcome.FAILED
    state = children(client, latest(client, "Project X"))["train"].state
    assert state is not None
    assert state.type is StateType.FAILED
    assert "sheet.png" in str(state.message)


def test_a_target_that_does_not_exist_is_the_users_error(client: SyncPrefectClient, root: Path) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        run(root, targets=("nonsense",))


def test_a_stage_that_is_up_to_date_costs_no_flow_run(client: SyncPrefectClient, root: Path) -> None:
    run(root)
    before = len(client.read_flow_runs())
    assert set(run(root).values()) == {Outcome.SKIPPED}
    assert children(client, latest(client, "Project X")) == {}
    assert len(client.read_flow_runs()) == before + 1


@pytest.mark.parametrize("state", [Cancelling, Cancelled])
def test_a_cancel_on_the_pages_ends_the_run(
    client: SyncPrefectClient, root: Path, state: Callable[[], State[Any]]
) -> None:
    waiting = DVC_YAML.replace("cp dot.png sheet.png", "echo waiting; exec sleep 600")
    (root / "dvc.yaml").write_text(waiting)
    options = RunOptions(repo=root, jobs=2)

    def cancel(event: Event) -> None:
        if isinstance(event, StageLine) and event.line.endswith("waiting"):
            wait_for(lambda: "Project X" in {run.name for run in client.read_flow_runs()})
            client.set_flow_run_state(latest(client, "Project X").id, state())

    record = run_told(options, root, cancel)
    assert options.stop.is_set()
    outcomes = record.report.outcomes()
    assert (outcomes["prepare"], outcomes["train"]) == (Outcome.RAN, Outcome.CANCELLED)
    parent = latest(client, "Project X")
    assert parent.state_type is StateType.CANCELLED
    assert children(client, parent)["train"].state_type is StateType.CANCELLED
