"""A real server that is killed, stopped or loses answers while a run is recorded in it."""

import http.client
import itertools
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import Artifact, FlowRun, StateType

from darkroom.reporting.outbox import waiting_outboxes
from darkroom.reporting.pipeline import run_reported
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, Outcome, RunFinished, StageLine
from darkroom.server.clients import client_of
from darkroom.server.places import port_of
from darkroom.tracking import delivery_queue
from darkroom.tracking.delivery_queue import BUFFER_BYTES, DeliveryQueue, ServerObject
from tests.darkroom.repositories import git
from tests.darkroom.tracking.delivering import here, told_meanwhile
from tests.darkroom.waiting import wait_for
from tests.leftovers import shared_environment

pytestmark = pytest.mark.slow

NUMBERS = itertools.count()
STAGES = ("first", "second", "third")
DVC_YAML = """
stages:
  first:
    cmd: echo epoch 1/2 loss 2; echo epoch 2/2 loss 1; echo done > first.txt
    outs: [first.txt]
  second:
    cmd: echo epoch 1/2 loss 2; echo epoch 2/2 loss 1; cp first.txt second.txt
    deps: [first.txt]
    outs: [second.txt]
  third:
    cmd: echo epoch 1/2 loss 2; echo epoch 2/2 loss 1; cp second.txt third.txt
    deps: [second.txt]
    outs: [third.txt]
"""


class Server:
    """A server on one database and one port, as a process that tests may harm."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._port = folder, 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "darkroom.server.serving", str(self.folder), str(self._port)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=shared_environment()
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self._port = port_of(self.url)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def only_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A start takes ten seconds: one for all tests."""
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.kill()


@pytest.fixture
def away(only_server: Server) -> Iterator[Server]:
    if only_server.process.poll() is not None:  # the test before has killed it
        only_server.start()
    with client_of(only_server.folder, only_server.url):
        yield only_server
    only_server.go_on()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / f"project-{next(NUMBERS)}"
    folder.mkdir()
    git(folder, "init")
    from dvc.repo import Repo

    Repo.init(str(folder)).close()
    (folder / "dvc.yaml").write_text(DVC_YAML)
    return folder


def run(
    root: Path,
    first_line: Callable[[], object],
    end: Callable[[], object] = lambda: None,
    patience: float = 60,
) -> None:
    """Run all and deliver; `first_line` is called when the first stage prints, `end` when all have ended."""
    called = threading.Event()

    def watch(event: Event) -> None:
        if isinstance(event, StageLine) and not called.is_set():
            called.set()
            first_line()
        if isinstance(event, RunFinished):
            end()

    with told_meanwhile(root, patience):
        record, lost = run_reported(RunOptions(repo=root), root, here(), watch)
    assert record.report.outcomes() == dict.fromkeys(STAGES, Outcome.RAN)
    assert lost is None


def recorded(client: SyncPrefectClient, root: Path) -> dict[str, FlowRun]:
    """The flow runs of the project at `root` by their names."""
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[root.name]))
    return {flow_run.name: flow_run for flow_run in client.read_flow_runs(flow_run_filter=tagged)}


def check_complete(client: SyncPrefectClient, root: Path) -> None:
    """Everything of the run is there, once."""
    runs = recorded(client, root)
    assert set(runs) == {root.name, *STAGES}
    assert {flow_run.state_type for flow_run in runs.values()} == {StateType.COMPLETED}
    assert {flow_run.run_count for flow_run in runs.values()} == {1}
    for name in STAGES:
        assert sorted(lines(client, runs[name])) == ["epoch 1/2 loss 2", "epoch 2/2 loss 1"]
        (progress,) = artifacts(client, runs[name])
        assert progress.key == f"{root.name}-{name}-progress"
        assert "**epoch 2/2, loss 1** " in str(progress.data)
    assert len(lines(client, runs[root.name])) == 2 * len(STAGES) + 1
    assert [artifact.key for artifact in artifacts(client, runs[root.name])] == [f"{root.name}-run"]


def artifacts(client: SyncPrefectClient, flow_run: FlowRun) -> list[Artifact]:
    return [artifact for artifact in client.read_artifacts() if artifact.flow_run_id == flow_run.id]


def lines(client: SyncPrefectClient, flow_run: FlowRun) -> list[str]:
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id]))
    return [log.message for log in client.read_logs(log_filter=of_run)]


def test_a_server_killed_in_the_middle_knows_all_when_it_is_back(away: Server, root: Path) -> None:
    run(root, away.kill, away.start)  # all stages end before it is started again
    with get_client(sync_client=True) as client:
        check_complete(client, root)
        state = recorded(client, root)["third"].state
        assert state is not None
        assert "Prefect was told later" in str(state.message)


def test_a_stopped_server_is_not_waited_for_by_stages_and_learns_all_once(away: Server, root: Path) -> None:
    run(root, away.stop, away.go_on)
    with get_client(sync_client=True) as client:
        check_complete(client, root)


def test_a_server_that_stays_away_keeps_no_run_from_ending_and_learns_all_from_the_next(
    away: Server, root: Path
) -> None:
    said: list[str] = []
    away.stop()
    with told_meanwhile(root, 1):
        _, lost = run_reported(RunOptions(repo=root), root, here(), patience=3, remark=said.append)
    assert lost is None
    assert said == ["waiting for Prefect's server to record the run (Ctrl-C: do not wait)"]
    assert len(waiting_outboxes(root)) == 1
    away.go_on()
    with told_meanwhile(root):
        pass
    assert waiting_outboxes(root) == []
    with get_client(sync_client=True) as client:
        check_complete(client, root)


def test_what_arrived_although_its_answer_did_not_is_not_told_twice(away: Server, root: Path) -> None:
    with before(away.url, _Losing) as url, client_of(away.folder, url):
        run(root, lambda: None)
    with get_client(sync_client=True) as client:
        check_complete(client, root)


def test_a_busy_server_is_asked_again_for_as_long_as_it_takes(
    away: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_queue, "LONGEST_PAUSE", 0.1)
    with before(away.url, _Busy) as url, client_of(away.folder, url):
        run(root, lambda: None)
    with get_client(sync_client=True) as client:
        check_complete(client, root)


class _Losing(BaseHTTPRequestHandler):
    """Passes requests on; the answer to the first of each path with a body is lost."""

    target = ""
    seen: Counter[str]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass_on(None)

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def _pass_on(self, body: bytes | None) -> None:
        there = http.client.HTTPConnection(self.target, timeout=60)
        there.request(self.command, self.path, body, dict(self.headers))
        answer = there.getresponse()
        content = answer.read()
        there.close()
        self.seen[self.path] += 1
        if body is not None and not self.path.endswith("/filter") and self.seen[self.path] == 1:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name in ("Content-Type", "Content-Encoding"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Busy(_Losing):
    """Answers the first few requests that it has too much to do, and passes the others on."""

    def _pass_on(self, body: bytes | None) -> None:
        self.seen["all"] += body is not None
        if body is None or self.seen["all"] > delivery_queue.TRIES + 1:
            self.seen[self.path] += 1  # nothing is lost
            super()._pass_on(body)
            return
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()


class before:  # noqa: N801  (a context)
    """A proxy before the server at `url`; yields its own address."""

    def __init__(self, url: str, kind: type[_Losing]) -> None:
        handler = type("Proxy", (kind,), {"target": urlsplit(url).netloc, "seen": Counter()})
        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._proxy.daemon_threads = True

    def __enter__(self) -> str:
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._proxy.server_port}/api"

    def __exit__(self, *_: object) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()


def test_lines_without_room_are_counted(away: Server) -> None:
    box, nothing = DeliveryQueue(), ServerObject()
    long = "x" * 10_000
    for _ in range(BUFFER_BYTES // len(long) + 100):
        box.put_line(nothing, long)
    box.close(1, 5, lambda _: None)
    assert wait_for(lambda: "lines of the logs" in str(box.loss()))
