"""Whole runs whose hosts share no folder: real S3, of which each fifth request fails, and Debian's sshd."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkroom.base.errors import UsageError
from darkroom.remote.pools import pools_of
from darkroom.runs.report import RunOptions
from tests.darkroom.exchange.servers import (
    BUCKET,
    failing_proxy,
    s3_environment,
    s3_server,
    sshd,
    why_no_sshd,
)
from tests.darkroom.remote.hosts import POOL, hosts, run_elsewhere, set_pools
from tests.darkroom.remote.test_hosts import ALL, FILES, executables
from tests.darkroom.repositories import contents, make, serial_repro
from tests.darkroom.shapes import Shape

SHAPE = Shape("all", FILES, add=("data",))


def assert_as_serial(folder: Path, storage: str, **env: str) -> None:
    """A run on two hosts leaves the bytes of a serial one."""
    serial, far = (make(folder / name, SHAPE, folder) for name in ("serial", "far"))
    set_pools(far, storage, code=str(folder / "code.git"))
    assert serial_repro(serial)
    with hosts(folder, storage, "one", "two", **env) as started:
        report = run_elsewhere(RunOptions(repo=far), far)
    said = "".join(host.said for host in started.values())
    assert report.errors == (), said
    assert {stage.pool for stage in report.plan.stages if not stage.name.endswith(".dvc")} == {POOL}
    assert contents(far) == contents(serial)
    assert executables(far) == executables(serial) != [], ALL
    assert said.count("handed in") == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_over_s3_of_which_each_fifth_request_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path) as port, failing_proxy(port) as proxy:
        env = s3_environment(proxy.port)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        assert_as_serial(tmp_path, f"s3://{BUCKET}/run", **env)
        assert set(proxy.failed) == {"request lost", "answer lost", "503"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(why_no_sshd()), reason=str(why_no_sshd()))
def test_behind_sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sshd(tmp_path / "sshd") as running:
        monkeypatch.setenv("HOME", str(running.home))
        assert_as_serial(tmp_path, running.address(tmp_path / "storage"), HOME=str(running.home))


def test_storage_without_a_folder_needs_code(tmp_path: Path) -> None:
    set_pools(tmp_path, "s3://bucket/x")
    with pytest.raises(UsageError, match=r"pools.yaml: code: name a git repository that all hosts reach"):
        pools_of(tmp_path)
