"""What pools.yaml says of a pool's environment and code: `setup`, `wrapper` and `code`, on real hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, Outcome
from tests.darkroom.remote.cluster import running_cluster, why_none
from tests.darkroom.remote.hosts import hosts, run_elsewhere, set_pools
from tests.darkroom.repositories import contents, git, make, serial_repro
from tests.darkroom.shapes import Shape

# The tool comes with the environment: without `setup` and `wrapper` there is none. `sub` is not the root.
STAGES = """\
stages:
  made:
    wdir: sub
    cmd: tool one > made.txt
    deps: [../tool.sh]
    outs: [made.txt]
"""
TOOL = "#!/bin/sh\necho tool $1\n"
FILES = {"dvc.yaml": STAGES, "tool.sh": TOOL, "sub/here.txt": "", ".gitignore": "/env\n"}
SETUP = "echo sets up; mkdir -p env && cp tool.sh env/tool && chmod +x env/tool"
MORE = f"    setup: {SETUP}\n    wrapper: env PATH=$DVC_ROOT/env:$PATH\n"


@pytest.fixture(params=["workers", "slurm"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    storage = tmp_path / "storage"
    if request.param == "workers":
        with hosts(tmp_path, storage, "one"):
            yield ""
    elif why := why_none():
        pytest.skip(why)
    else:
        with running_cluster(tmp_path / "cluster") as cluster:
            monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
            monkeypatch.setenv("DARKROOM_WORK", str(tmp_path / "work"))
            yield "    kind: slurm\n"


def lines(events: list[Event]) -> list[str]:
    return [getattr(event, "line", "") for event in events]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_environment_is_made_at_the_root_and_stands_before_each_command(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial, far = (make(tmp_path / name, Shape("one", FILES), tmp_path) for name in ("serial", "far"))
    code = tmp_path / "elsewhere" / "code.git"
    set_pools(far, tmp_path / "storage", more=kind + MORE + f"code: {code}\n")
    events: list[Event] = []
    report = run_elsewhere(RunOptions(repo=far), far, events.append)
    assert report.errors == ()
    assert report.outcomes() == {"made": Outcome.RAN}
    assert "sets up" in lines(events)
    assert (far / "sub/made.txt").read_text() == "tool one\n"
    assert not (far / "env").exists()
    assert git(code, "for-each-ref", "--format=%(refname)").startswith("refs/darkroom/")
    assert not (tmp_path / "storage" / "code.git").exists()
    put_in_path = serial / "env"
    put_in_path.mkdir()
    (put_in_path / "tool").write_text(TOOL)
    (put_in_path / "tool").chmod(0o755)
    monkeypatch.setenv("PATH", f"{put_in_path}:/usr/bin:/bin")
    assert serial_repro(serial)
    (put_in_path / "tool").unlink()
    put_in_path.rmdir()
    assert contents(far) == contents(serial)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("    setup: echo no such lock; exit 3\n", "(setup of its pool) failed with exit code 3"),
        ("    wrapper: no-such-program\n", "failed with exit code 127"),
        ("code: /proc/no/code.git\n", "/proc/no"),
    ],
    ids=["setup", "wrapper", "code"],
)
def test_what_is_wrong_with_it_is_said_in_one_line(tmp_path: Path, more: str, said: str) -> None:
    far = make(tmp_path / "far", Shape("one", FILES), tmp_path)
    set_pools(far, tmp_path / "storage", more=more)
    with hosts(tmp_path, tmp_path / "storage", "one"):
        report = run_elsewhere(RunOptions(repo=far), far)
    assert report.outcomes() == {"made": Outcome.FAILED}
    (error,) = report.errors
    assert said in error
    assert "\n" not in error


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_code_that_no_host_can_reach_is_said_once_the_tries_are_used_up(tmp_path: Path) -> None:
    far = make(tmp_path / "far", Shape("one", FILES), tmp_path)
    code = tmp_path / "code.git"
    set_pools(far, tmp_path / "storage", more=f"code: {code}\n")
    run_hosts = hosts(tmp_path, tmp_path / "storage", "one", GIT_ALLOW_PROTOCOL="https")
    with run_hosts:
        report = run_elsewhere(RunOptions(repo=far), far)
    assert report.outcomes() == {"made": Outcome.FAILED}
    (error,) = report.errors
    assert "host one: " in error
    assert "transport 'file' not allowed" in error
