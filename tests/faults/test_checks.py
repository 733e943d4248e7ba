"""The campaign's own checks find what is there to be found."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults import checks, processes
from tests.faults.repository import Start, environment, read_lock

pytestmark = pytest.mark.slow  # two undisturbed pipelines by `dvc repro`


@pytest.fixture
def root(start: Start, tmp_path: Path) -> Path:
    """As an undisturbed run leaves it."""
    shutil.copytree(start.after, tmp_path / "repository", symlinks=True)
    return tmp_path / "repository"


def kinds(root: Path, start: Start) -> set[str]:
    return {finding.kind for finding in (*checks.at_rest(root, start), *checks.wrong_end(root, start))}


def in_cache(root: Path, path: str) -> Path:
    """The cache file of an out."""
    outs = (out for entry in read_lock(root).values() for out in entry.get("outs", ()))
    recorded: str = next(out["md5"] for out in outs if out["path"] == path)
    return root / ".dvc/cache/files/md5" / recorded[:2] / recorded[2:]


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_an_undisturbed_end_is_well(root: Path, start: Start) -> None:
    assert kinds(root, start) == set()
    assert checks.finished(read_lock(root), start.lock_after()) == set(start.lock_after())
    assert not list(checks.unreadable(root, environment(root.parent)))


def test_what_a_life_starts_from_is_at_rest_and_no_end(start: Start) -> None:
    assert not list(checks.at_rest(start.before, start))
    assert checks.finished(start.lock_before(), start.lock_after()) == {"prepare", "split", "thumbnails"}
    assert list(checks.wrong_end(start.before, start))


def tear(root: Path) -> None:
    """The same size, the beginning not yet written."""
    content = (root / "models/b.bin").read_bytes()
    rewrite(root / "models/b.bin", bytes(1000) + content[1000:])


def tear_in_cache(root: Path) -> None:
    path = in_cache(root, "publish.bin")
    rewrite(path, path.read_bytes()[:-1])


def lose_a_part_in_cache(root: Path) -> None:
    parts = json.loads(in_cache(root, "report").read_bytes())
    (root / ".dvc/cache/files/md5" / parts[3]["md5"][:2] / parts[3]["md5"][2:]).unlink()


def leave_a_file_in_an_out(root: Path) -> None:
    (root / "scenes/part 1/left").write_text("over")


def lose_a_metric(root: Path) -> None:
    (root / "metrics/a.json").unlink()


@pytest.mark.parametrize(
    "damage", [tear, tear_in_cache, lose_a_part_in_cache, leave_a_file_in_an_out, lose_a_metric]
)
def test_a_torn_out_is_found(root: Path, start: Start, damage: Callable[[Path], None]) -> None:
    damage(root)
    assert kinds(root, start) >= {checks.CORRUPT, checks.WRONG_END}


def edit_lock(root: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    edit(lock["stages"])
    (root / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))


def drop_what_others_need(stages: dict[str, Any]) -> None:
    del stages["train@b"]


def record_a_torn_out(stages: dict[str, Any]) -> None:
    stages["publish"]["outs"][0]["md5"] = "0" * 32


def put_the_first_last(stages: dict[str, Any]) -> None:
    stages["prepare"] = stages.pop("prepare")


@pytest.mark.parametrize("edit", [drop_what_others_need, record_a_torn_out, put_the_first_last])
def test_a_dvc_lock_that_no_undisturbed_run_writes_is_found(
    root: Path, start: Start, edit: Callable[[dict[str, Any]], None]
) -> None:
    edit_lock(root, edit)
    assert checks.WRONG_LOCK in kinds(root, start)


def test_a_torn_lock_is_found(root: Path, start: Start) -> None:
    lock = root / "dvc.lock"
    lock.write_bytes(lock.read_bytes()[:-70])
    assert checks.UNREADABLE in kinds(root, start)


def test_a_torn_rwlock_is_found(root: Path) -> None:
    (root / ".dvc/tmp/rwlock").write_text('{"/a": {"wri')
    assert {f.kind for f in checks.unreadable(root, environment(root.parent))} == {checks.UNREADABLE}


def test_a_leftover_in_the_cache_is_found(root: Path, start: Start) -> None:
    (root / ".dvc/cache/files/md5/00").mkdir(exist_ok=True)
    (root / ".dvc/cache/files/md5/00/left.tmp").write_text("over")
    assert kinds(root, start) == {checks.WRONG_END}


def test_a_process_that_left_its_group_and_session_is_found_by_its_mark(tmp_path: Path) -> None:
    env = environment(tmp_path) | {processes.MARK: "a run"}
    lost = "import subprocess, sys; subprocess.Popen(['sleep', '60'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", lost], env=env, check=True)
    (orphan,) = processes.of_run("a run")
    orphan.kill()
    deadline = time.monotonic() + 10
    while processes.of_run("a run") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes.of_run("a run") == []
