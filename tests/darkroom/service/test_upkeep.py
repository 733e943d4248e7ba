"""`darkroom up`, `down` and `status` on a small repository, with the real server, worker and schedule.

One project for the whole file: what is killed in a test is up again at its end.
"""

from __future__ import annotations

import base64
import datetime
import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.states import Running

from darkroom.base import interpreter
from darkroom.server import login
from darkroom.server.places import port_of, runs_page
from darkroom.server.sharing import kept_up
from darkroom.service import automations, server_process
from tests.darkroom.repositories import contents, git
from tests.darkroom.service.project import Project, make_project
from tests.darkroom.service.receivers import hook_receiver, mail_receiver
from tests.darkroom.waiting import alive, wait_for
from tests.leftovers import shared_environment
from tests.places import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LONG = 240  # seconds: for what takes a few on a machine with nothing else to do
PLANTED = "planted-password-of-the-remote"
RETRAIN = "retrain/retrain"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One that is up."""
    folder = tmp_path_factory.mktemp("shared")
    project = make_project(folder)
    (folder / "go").touch()
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
def training(project: Project) -> FlowRun:
    """A run of `retrain` whose training is under way, and ends from its checkpoint alone."""
    return start_training(project)


def start_training(project: Project) -> FlowRun:
    outside = project.root.parent
    for name in ("go", "checkpoint", "pids"):
        (outside / name).unlink(missing_ok=True)
    content = project.root / "in.txt"
    content.write_text(content.read_text() + "more\n")
    git(project.root, "commit", "-qam", "more")
    with project.client() as client:
        run = start(client, RETRAIN)
    assert under_way(project), project.logs()
    return run


def start(client: SyncPrefectClient, name: str) -> FlowRun:
    deployment = client.read_deployment_by_name(name)
    return client.create_flow_run_from_deployment(deployment.id)


def eventually(condition: Callable[[], bool]) -> bool:
    """Like `wait_for`, for what costs a server or a process work."""
    end = time.monotonic() + LONG
    while not condition() and time.monotonic() < end:
        time.sleep(0.5)
    return condition()


def ended(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    """The run once it is done or failed; one that crashed goes on."""

    def is_over() -> bool:
        return client.read_flow_run(run.id).state_type in (StateType.COMPLETED, StateType.FAILED)

    assert eventually(is_over), client.read_flow_run(run.id).state
    return client.read_flow_run(run.id)


def under_way(project: Project, times: int = 1) -> bool:
    """Whether the training has been started so many times."""
    pids = project.root.parent / "pids"
    return wait_for(lambda: pids.exists() and len(pids.read_text().split()) >= times, LONG)


def assert_done(project: Project, run: FlowRun, attempts: int) -> None:
    """The run has ended, and its branch has what the newest commit makes."""
    with project.client() as client:
        done = ended(client, run)
        names = [state.name for state in client.read_flow_run_states(run.id)]
    assert done.state_type is StateType.COMPLETED, project.logs()
    assert done.run_count >= attempts
    assert names.count("AwaitingRetry") >= attempts - 1
    assert git(project.root, "show", "darkroom/retrain:loss.json") == (project.root / "in.txt").read_text()


def history(project: Project, run: FlowRun) -> list[tuple[str | None, str | None]]:
    """The run's states, each with its message."""
    with project.client() as client:
        return [(state.name, state.message) for state in client.read_flow_run_states(run.id)]


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not any(map(alive, pids)), LONG)


def basic(auth: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"}


def test_up_again_changes_nothing(project: Project) -> None:
    project.up()  # whatever the test before has left
    before = project.pids()
    assert set(before) == {"server", "worker-small"}
    said = project.up()
    assert project.pids() == before
    assert "the server runs already" in said
    with project.client() as client:
        assert [one.name for one in client.read_automations()] == ["darkroom: runs without a sign of life"]
    code, found = project.status()
    assert code == 0, found
    assert [one["state"] for one in found["services"]] == ["running", "running"]


def test_up_replaces_a_deployment_that_was_registered_under_its_old_name(project: Project) -> None:
    with project.client() as client:
        before = client.read_deployment_by_name(RETRAIN)
        old = DeploymentUpdate(entrypoint="flows.deployments.retrain.retrain")
        client.update_deployment(before.id, old)
        code, found = project.status()
        assert code == 1
        assert "is called darkroom.deployments.retrain.retrain now" in found["stuck"][0]
        project.up()
        now = client.read_deployment_by_name(RETRAIN)
        assert (now.id, now.entrypoint) == (before.id, "darkroom.deployments.retrain.retrain")
    assert project.status()[0] == 0


def test_who_uses_the_projects_own_profile_is_not_at_another_server(project: Project) -> None:
    """The documentation says to export it, for Prefect's own commands."""
    own = {"PREFECT_PROFILES_PATH": str(login.profiles_file(project.prefect))}
    done = project.darkroom("up", **own)
    assert done.returncode == 0, done.stderr
    assert "the server runs already" in done.stderr
    assert project.darkroom("up", PREFECT_API_URL=str(kept_up(project.root)), **own).returncode == 0


def test_what_sets_another_server_is_named(project: Project) -> None:
    other = project.root.parent / "profiles.toml"
    other.write_text('active = "team"\n[profiles.team]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n')
    for environ, named in (
        ({"PREFECT_PROFILES_PATH": str(other)}, f"{other}: the active profile: "),
        ({"PREFECT_API_URL": "http://127.0.0.1:9/api"}, "PREFECT_API_URL: "),
    ):
        done = project.darkroom("up", **environ)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {named}Prefect is set to the server at http://127.0.0.1:9/api")
        assert done.stderr.count("\n") == 1
    other.unlink()


def test_pages_and_runs_by_hand_are_the_servers_that_is_up(project: Project) -> None:
    done = project.darkroom("ui", "--no-browser")
    assert done.returncode == 0
    url = str(kept_up(project.root))
    assert runs_page(url) in done.stdout
    assert f"{url.removesuffix('/api')}/darkroom/login#" in done.stdout
    for words in (["up"], ["status"]):
        assert "`darkroom ui` opens" in project.darkroom(*words).stdout
    done = project.darkroom("run", "first")
    assert done.returncode == 0, done.stderr
    with project.client() as client:

        def states() -> list[StateType | None]:
            return [run.state_type for run in client.read_flow_runs() if run.name == "small first"]

        assert eventually(lambda: states() == [StateType.COMPLETED])


def test_three_scheduled_runs_one_at_each_moment(project: Project) -> None:
    with project.client() as client:
        tick = client.read_deployment_by_name("tick/tick")
        (schedule,) = tick.schedules
        client.update_deployment_schedule(tick.id, schedule.id, active=True)

        def ticks() -> list[FlowRun]:
            runs = [run for run in client.read_flow_runs() if run.deployment_id == tick.id]
            return sorted(runs, key=lambda run: run.expected_start_time)[:3]

        def are_over() -> bool:
            return [run.state_type for run in ticks()] == [StateType.COMPLETED] * 3

        assert eventually(are_over), project.logs()
        client.update_deployment_schedule(tick.id, schedule.id, active=False)
        runs = ticks()
    due = [run.expected_start_time for run in runs]
    assert [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(due)] == [5, 5]
    assert all(run.run_count == 1 for run in runs)


def test_retraining_leaves_the_workspace_alone_and_shows_no_secret(project: Project) -> None:
    committed = (project.root / "in.txt").read_text()
    (project.root / "in.txt").write_text("not committed\n")
    (project.root / "new.txt").write_text("not added\n")
    before = workspace(project)
    with project.client() as client:
        assert ended(client, start(client, RETRAIN)).state_type is StateType.COMPLETED, project.logs()
        assert workspace(project) == before
        assert git(project.root, "show", "darkroom/retrain:loss.json") == committed
        parents = git(project.root, "log", "-1", "--format=%P %an", "darkroom/retrain").split()
        assert parents == [git(project.root, "rev-parse", "HEAD").strip(), "darkroom"]
        # What was made there is in the cache of both; a second night has nothing to do.
        assert not (project.root / ".darkroom/clones/retrain/small/.dvc/cache").exists()
        last = git(project.root, "rev-parse", "darkroom/retrain")
        assert ended(client, start(client, RETRAIN)).state_type is StateType.COMPLETED
        assert git(project.root, "rev-parse", "darkroom/retrain") == last
        assert eventually(lambda: any("PATH=" in log.message for log in client.read_logs(limit=200)))
    git(project.root, "checkout", "-q", "in.txt")
    (project.root / "new.txt").unlink()
    assert_no_secret(project)


def workspace(project: Project) -> dict[str, str]:
    """Every file and git's status, but for the cache, which is shared."""
    return {name: held for name, held in contents(project.root).items() if not name.startswith(".dvc/cache/")}


def assert_no_secret(project: Project) -> None:
    """Neither the remote's password nor the API's string; the stage `first` prints its environment."""
    auth = login.auth_string(project.prefect)
    texts = {"services": project.logs(), "git": git(project.root, "log", "-p", "--all")}
    for path in (*project.root.rglob("*.log"), *project.root.rglob("dvc.lock")):
        texts[str(path)] = path.read_text(errors="replace")
    with closing(sqlite3.connect(project.prefect / "prefect.db")) as database:
        texts["database"] = "\n".join(database.iterdump())  # logs, artifacts, parameters
    assert "PATH=" in texts["database"]
    for where, text in texts.items():
        for secret in (PLANTED, auth, auth.partition(":")[2], *basic(auth).values()):
            assert secret not in text, where


def test_a_run_that_fails_is_told_by_webhook_and_by_mail(project: Project) -> None:
    addresses = project.root / ".darkroom" / "notify"
    with hook_receiver() as (hook, posted), mail_receiver() as (mail, mails):
        addresses.write_text(f"{hook}\n{mail}\n")
        addresses.chmod(0o600)
        project.up()
        with project.client() as client:
            deployment = client.read_deployment_by_name(RETRAIN)
            wrong = {"source": "https://u:p@127.0.0.1:9/x"}
            client.create_flow_run_from_deployment(deployment.id, parameters=wrong)
        assert eventually(lambda: bool(posted and mails)), project.logs()
    assert all("retrain" in text and "Failed" in text for text in (posted[0], mails[0]))
    notice = json.loads(posted[0])
    assert "the address holds a password" in notice["message"].splitlines()[0]
    assert notice["type"] == "failure"
    assert "None" not in notice["message"]
    addresses.unlink()


def test_a_run_by_schedule_that_fails_is_told_without_prefects_quarter_of_an_hour(project: Project) -> None:
    addresses = project.root / ".darkroom" / "notify"
    with hook_receiver() as (hook, posted):
        addresses.write_text(f"{hook}\n")
        addresses.chmod(0o600)
        project.up()
        with project.client() as client:
            deployment = client.read_deployment_by_name(RETRAIN)
            wrong = {"source": "https://u:p@127.0.0.1:9/x"}
            client.update_deployment(deployment.id, DeploymentUpdate(parameters=wrong))
            every = IntervalSchedule(interval=datetime.timedelta(seconds=20))
            (schedule,) = client.create_deployment_schedules(deployment.id, [(every, True)])
            assert eventually(lambda: any("): Failed" in text for text in posted)), project.logs()
            client.delete_deployment_schedule(deployment.id, schedule.id)
            client.update_deployment(deployment.id, DeploymentUpdate(parameters={}))
    addresses.unlink()


def test_late_silent_and_crashed_runs_are_told(project: Project) -> None:
    addresses = project.root / ".darkroom" / "notify"
    with hook_receiver() as (hook, posted), project.client() as client:

        def told(deployment: str, state: str) -> bool:
            return any(f"darkroom: {deployment} (" in text and f"): {state}" in text for text in posted)

        addresses.write_text(f"{hook}\n")
        addresses.chmod(0o600)
        project.up()
        # No worker is at its pool: one run is never started, another says that it runs, and no more.
        client.create_work_pool(WorkPoolCreate(name="nobody", type="process"))
        tick = client.read_deployment_by_name("tick/tick")
        alone = client.create_deployment(tick.flow_id, "alone", work_pool_name="nobody")
        client.create_flow_run_from_deployment(alone)
        (known,) = client.read_automations_by_name(automations.silent_runs().name)
        client.update_automation(known.id, automations.silent_runs(datetime.timedelta(seconds=10)))
        silent = living(client, alone)
        assert eventually(lambda: told("alone", "Late")), posted
        assert {json.loads(text)["type"] for text in posted if "): Late" in text} == {"warning"}
        assert eventually(lambda: told("alone", "Crashed")), posted
        assert state(client, silent) == "Crashed"

        # What the server could not hear while it was away is held against nobody.
        unheard = living(client, alone)
        start_server_again(project)
        silent = living(client, alone)
        assert eventually(lambda: state(client, silent) == "Crashed")
        assert state(client, unheard) == "Running"
        client.delete_flow_run(unheard.id)
        client.delete_deployment(alone)
        client.delete_work_pool("nobody")

        project.up()  # the automation as it was
        training = start_training(project)
        (engine,) = project.engines()
        kill(engine)
        assert eventually(lambda: told("retrain", "Crashed")), posted
    assert under_way(project, times=2), project.logs()
    (project.root.parent / "go").touch()
    addresses.unlink()
    assert_done(project, training, attempts=2)


def living(client: SyncPrefectClient, deployment: UUID) -> FlowRun:
    """A run that says that it lives as the process of a flow run does, once."""
    run = client.create_flow_run_from_deployment(deployment, state=Running())
    event = {
        "id": str(uuid4()),
        "occurred": datetime.datetime.now(datetime.UTC).isoformat(),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name},
    }
    client._client.post("/events", json=[event]).raise_for_status()
    return run


def state(client: SyncPrefectClient, run: FlowRun) -> str | None:
    return client.read_flow_run(run.id).state_name


def start_server_again(project: Project) -> None:
    """Later than runs may be silent, at the same address, without what `up` does besides."""
    port = port_of(str(kept_up(project.root)))
    time.sleep(5)  # until the heartbeat is taken up
    kill(project.pids()["server"])
    time.sleep(10)
    folder, root = str(project.services), str(project.root)
    command = interpreter.python_command(server_process.__name__, root, str(port))
    start = f"daemons.start(Path({folder!r}), 'server', {command!r}, Path({root!r}))"
    script = f"from pathlib import Path; from darkroom.processes import daemons; {start}"
    starter = [sys.executable, "-c", script]
    subprocess.run(starter, cwd=ROOT, env=shared_environment(), check=True)  # who starts it is gone then


def test_a_killed_run_is_retried_and_down_ends_even_what_a_killed_worker_has_left(
    project: Project, training: FlowRun
) -> None:
    (engine,) = project.engines()
    kill(engine)
    assert under_way(project, times=2), project.logs()
    kill(project.pids()["worker-small"])
    assert project.engines()  # the run goes on without its worker
    project.down()
    assert (project.root.parent / "checkpoint").exists()
    assert project.processes() == []
    assert project.darkroom("down").stdout == "nothing was up\n"
    assert project.status()[0] == 1
    project.up()
    assert_done(project, training, attempts=3)


def test_a_run_goes_on_while_the_server_alone_is_gone(project: Project, training: FlowRun) -> None:
    before, taken = project.pids(), history(project, training)
    (engine,) = project.engines()
    kill(before["server"])
    (project.root.parent / "go").touch()
    made = project.root / ".darkroom/clones/retrain/small/loss.json"
    assert eventually(lambda: made.exists() and made.read_text() == (project.root / "in.txt").read_text())
    assert alive(engine)  # it waits to tell Prefect
    assert "starting the server, which was killed" in project.up()
    assert_done(project, training, attempts=1)
    assert history(project, training) == [*taken, ("Completed", None)], project.logs()
    with project.client() as client:
        stages = {run.name: run for run in client.read_flow_runs() if run.created > training.created}
    assert {stages[name].state_type for name in ("first", "training")} == {StateType.COMPLETED}
    assert len((project.root.parent / "pids").read_text().split()) == 1  # trained once
    assert project.pids()["worker-small"] == before["worker-small"]


def test_a_worker_that_is_stopped_lets_stages_write_their_checkpoints(
    project: Project, training: FlowRun
) -> None:
    worker = project.pids()["worker-small"]
    os.kill(worker, signal.SIGTERM)
    assert wait_for(lambda: not alive(worker), LONG)
    assert (project.root.parent / "checkpoint").exists()
    with project.client() as client:
        state = client.read_flow_run(training.id).state
    assert state is not None
    assert state.name == "AwaitingRetry"
    assert "the server runs already" in project.up()
    assert_done(project, training, attempts=2)


def test_when_everything_was_killed_up_starts_it_where_it_was_and_the_run_goes_on(
    project: Project, training: FlowRun
) -> None:
    url = kept_up(project.root)
    before = project.pids()
    kill(*before.values())
    code, found = project.status()
    assert code == 1
    assert {one["state"] for one in found["services"]} == {"killed"}
    assert any("server was killed; `darkroom up` starts it again" in line for line in found["stuck"])
    kill(*project.engines())
    assert wait_for(lambda: project.processes() == [], LONG)  # its stages end with it
    (project.root.parent / "go").touch()
    assert "which was killed" in project.up()
    assert not set(project.pids().values()) & set(before.values())
    assert kept_up(project.root) == url
    assert_done(project, training, attempts=2)
