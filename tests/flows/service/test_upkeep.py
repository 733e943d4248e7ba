"""`darkroom up`, `down` and `status` on a small repository, with the real server, worker and schedule."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import signal
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, StateType

from flows import server
from flows.service import login
from tests.flows.processes import alive, wait_for
from tests.flows.repositories import contents, git
from tests.flows.service.project import PATIENT, Project, make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LONG = 180  # seconds: for what takes a few on a machine with nothing else to do
PLANTED = "planted-password-of-the-remote"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One that is up for the whole file."""
    folder = tmp_path_factory.mktemp("shared")
    project = make_project(folder)
    local = project.root / ".dvc" / "config.local"
    local.write_text(
        f"[core]\n    remote = r\n['remote \"r\"']\n    url = ssh://h/p\n    password = {PLANTED}\n"
    )
    try:
        project.up()
        yield project
    finally:
        project.down()
    shutil.rmtree(folder)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Project]:
    """One whose training waits for the file `go`, and writes a checkpoint when it is told to end."""
    project = make_project(tmp_path, PATIENT)
    yield project
    project.down()


def start(client: SyncPrefectClient, name: str) -> FlowRun:
    deployment = client.read_deployment_by_name(name)
    return client.create_flow_run_from_deployment(deployment.id)


def ended(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    """The run once it has ended."""

    def is_over() -> bool:
        state = client.read_flow_run(run.id).state
        return state is not None and state.is_final()

    assert wait_for(is_over, LONG), client.read_flow_run(run.id).state
    return client.read_flow_run(run.id)


def under_way(project: Project, times: int = 1) -> bool:
    """Whether the training has been started so many times."""
    pids = project.root.parent / "pids"
    return wait_for(lambda: pids.exists() and len(pids.read_text().split()) >= times, LONG)


def workspace(project: Project) -> dict[str, str]:
    """Every file and git's status, but for the cache, which is shared."""
    return {name: held for name, held in contents(project.root).items() if not name.startswith(".dvc/cache/")}


def basic(auth: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"}


def call(url: str, method: str, headers: dict[str, str]) -> int:
    body = None if method == "GET" else b"{}"
    request = urllib.request.Request(
        url, method=method, data=body, headers={"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_without_the_string_every_call_is_refused(shared: Project) -> None:
    api = server.kept_up(shared.root)
    assert api is not None
    with urllib.request.urlopen(f"{api.removesuffix('/api')}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    calls = [(path, method.upper()) for path, methods in paths.items() for method in methods]
    assert len(calls) > 100
    some_id = "00000000-0000-0000-0000-000000000000"
    auth = basic(login.auth_string(shared.prefect))
    # Even who has a token against requests from other origins, which is asked for first.
    request = urllib.request.Request(f"{api}/csrf-token?client=me", headers=auth)
    with urllib.request.urlopen(request) as answer:
        token = {"Prefect-Csrf-Token": json.load(answer)["token"], "Prefect-Csrf-Client": "me"}
    answers = {
        (path, method): call(api + re.sub(r"\{[^}]*\}", some_id, path), method, token)
        for path, method in calls
    }
    assert {path for (path, _), code in answers.items() if code != 401} == {"/health", "/ready"}
    assert call(f"{api}/flow_runs/filter", "POST", {**auth, **token}) == 200
    assert call(f"{api}/flow_runs/filter", "POST", {**basic("darkroom:guessed"), **token}) == 401
    # A page of another origin, in the browser of somebody who is logged in, has no token.
    assert call(f"{api}/flow_runs/filter", "POST", auth) == 403


def test_up_again_changes_nothing(shared: Project) -> None:
    before = shared.pids()
    assert set(before) == {"server", "worker-small"}
    said = shared.up()
    assert shared.pids() == before
    assert "the server runs already" in said
    with shared.client() as client:
        assert [one.name for one in client.read_automations()] == ["darkroom: runs without a sign of life"]
    code, found = shared.status()
    assert code == 0, found
    assert [one["state"] for one in found["services"]] == ["running", "running"]


def test_the_pages_are_those_of_the_server_that_is_up(shared: Project) -> None:
    done = shared.darkroom("ui")
    assert done.returncode == 0
    assert server.pages(str(server.kept_up(shared.root))) in done.stdout


def test_a_run_by_hand_is_recorded_in_the_server_that_is_up(shared: Project) -> None:
    done = shared.darkroom("run", "first")
    assert done.returncode == 0, done.stderr
    with shared.client() as client:
        (run,) = [run for run in client.read_flow_runs() if run.name == "small first"]
    assert run.state_type is StateType.COMPLETED


def test_three_scheduled_runs_one_at_each_moment(shared: Project) -> None:
    with shared.client() as client:
        tick = client.read_deployment_by_name("tick/tick")
        (schedule,) = tick.schedules
        client.update_deployment_schedule(tick.id, schedule.id, active=True)

        def ticks() -> list[FlowRun]:
            runs = [run for run in client.read_flow_runs() if run.deployment_id == tick.id]
            done = [run for run in runs if run.state_type is StateType.COMPLETED]
            return sorted(done, key=lambda run: run.expected_start_time)

        assert wait_for(lambda: len(ticks()) >= 3, LONG), shared.logs()
        client.update_deployment_schedule(tick.id, schedule.id, active=False)
        first, second, third = ticks()[:3]
        due = [run.expected_start_time for run in (first, second, third)]
        assert [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(due)] == [
            10,
            10,
        ]
        assert all(
            run.start_time and run.start_time >= run.expected_start_time for run in (first, second, third)
        )
        assert all(run.run_count == 1 for run in (first, second, third))


def test_retraining_leaves_the_workspace_alone_and_commits_to_its_branch(shared: Project) -> None:
    (shared.root / "in.txt").write_text("not committed\n")
    (shared.root / "new.txt").write_text("not added\n")
    before = workspace(shared)
    with shared.client() as client:
        run = ended(client, start(client, "retrain/retrain"))
        assert run.state_type is StateType.COMPLETED, shared.logs()
        assert workspace(shared) == before
        assert git(shared.root, "show", "darkroom/retrain:loss.json") == "1\n"
        assert "model.txt" in git(shared.root, "show", "darkroom/retrain:dvc.lock")
        parents = git(shared.root, "log", "-1", "--format=%P %an", "darkroom/retrain").split()
        assert parents == [git(shared.root, "rev-parse", "HEAD").strip(), "darkroom"]
        clone = shared.root / ".darkroom/clones/retrain/small"
        assert (clone / "first.txt").read_text() == "in\n"
        assert not (clone / ".dvc" / "cache").exists()
        # What was made there is in the cache of both; a second night has nothing to do.
        last = git(shared.root, "rev-parse", "darkroom/retrain")
        assert ended(client, start(client, "retrain/retrain")).state_type is StateType.COMPLETED
        assert git(shared.root, "rev-parse", "darkroom/retrain") == last
        (shared.root / "new.txt").unlink()


def test_no_secret_is_written_where_others_look(shared: Project) -> None:
    """The stage `first` prints its whole environment."""
    with shared.client() as client:
        assert ended(client, start(client, "retrain/retrain")).state_type is StateType.COMPLETED
        wait_for(lambda: any("PATH=" in log.message for log in client.read_logs(limit=200)), LONG)
        auth = login.auth_string(shared.prefect)
        secrets = (PLANTED, auth, auth.partition(":")[2], *basic(auth).values())
    texts = {"services": shared.logs(), "git": git(shared.root, "log", "-p", "--all")}
    for path in (*shared.root.rglob("*.log"), *shared.root.rglob("dvc.lock")):
        texts[str(path)] = path.read_text(errors="replace")
    with sqlite3.connect(shared.prefect / "prefect.db") as database:
        texts["database"] = "\n".join(database.iterdump())
    assert "PATH=" in texts["database"]  # the stage's environment is in the logs, without the string
    for where, text in texts.items():
        for secret in secrets:
            assert secret not in text, where


def test_a_password_in_an_address_is_refused(shared: Project) -> None:
    with shared.client() as client:
        deployment = client.read_deployment_by_name("retrain/retrain")
        run = client.create_flow_run_from_deployment(
            deployment.id, parameters={"source": "https://u:p@127.0.0.1:9/x"}
        )
        state = ended(client, run).state
        assert state is not None
        assert state.type is StateType.FAILED
        assert "the address holds a password" in str(state.message)


def test_the_form_has_a_description_of_each_parameter(shared: Project) -> None:
    with shared.client() as client:
        schema = client.read_deployment_by_name("retrain/retrain").parameter_openapi_schema
    assert schema is not None
    properties = schema["properties"]
    assert set(properties) == {"source", "revision", "branch", "targets", "imports", "fetch", "pull", "push"}
    assert all(held["description"] for held in properties.values())
    assert properties["targets"]["type"] == "array"


def test_what_was_killed_is_shown_and_healed_by_up(shared: Project) -> None:
    before = shared.pids()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not any(map(alive, before.values())))
    code, found = shared.status()
    assert code == 1
    assert not found["up"]
    assert {one["state"] for one in found["services"]} == {"killed"}
    assert any("server was killed; `darkroom up` starts it again" in line for line in found["stuck"])
    url = json.loads((shared.services / "server.lock").read_text())["url"]
    said = shared.up()
    assert "which was killed" in said
    after = shared.pids()
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    assert server.kept_up(shared.root) == url  # where it was
    assert shared.status()[0] == 0


def test_down_lets_a_stage_write_its_checkpoint_and_up_goes_on_from_it(patient: Project) -> None:
    patient.up()
    outside = patient.root.parent
    with patient.client() as client:
        run = start(client, "retrain/retrain")
    assert under_way(patient), patient.logs()
    assert any("retrain" in str(one["deployment"]) for one in patient.status()[1]["running"])
    patient.down()
    assert (outside / "checkpoint").read_text() == "half\n"
    assert patient.processes() == []
    assert patient.darkroom("down").stdout == "nothing was up\n"
    assert patient.status()[0] == 1
    patient.up()
    with patient.client() as client:
        again = ended(client, run)
        assert again.state_type is StateType.COMPLETED, patient.logs()
        assert again.run_count == 2
    assert git(patient.root, "show", "darkroom/retrain:loss.json") == "1\n"


def test_runs_whose_processes_were_all_killed_go_on_after_up(patient: Project) -> None:
    patient.up()
    outside = patient.root.parent
    with patient.client() as client:
        run = start(client, "retrain/retrain")
        other = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        assert under_way(patient), patient.logs()
        assert client.read_flow_runs(flow_run_filter=other)[0].state_type is StateType.RUNNING
    for pid in pids_of(patient):
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: patient.processes() == [], 30)
    (outside / "go").touch()
    patient.up()
    assert f"flow run {run.id}: its process was gone; scheduled again" in patient.logs()
    with patient.client() as client:
        assert ended(client, run).state_type is StateType.COMPLETED, patient.logs()


def test_down_ends_what_a_killed_worker_has_left(patient: Project) -> None:
    patient.up()
    with patient.client() as client:
        run = start(client, "retrain/retrain")
    assert under_way(patient), patient.logs()
    os.kill(patient.pids()["worker-small"], signal.SIGKILL)
    assert wait_for(lambda: "killed" in {one["state"] for one in patient.status()[1]["services"]})
    assert patient.processes()  # the run goes on without its worker
    patient.down()
    assert patient.processes() == []
    assert (patient.root.parent / "checkpoint").exists()
    with sqlite3.connect(patient.prefect / "prefect.db") as database:
        ((state,),) = database.execute(
            "SELECT state_name FROM flow_run WHERE id = ? OR id = ?", (str(run.id), run.id.hex)
        )
    assert state == "AwaitingRetry"  # the next worker goes on with it


def pids_of(project: Project) -> list[int]:
    """All processes that came of `up`, as at a power cut."""
    import psutil

    from flows.service import daemons

    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(daemons.MARK) == str(project.services):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
