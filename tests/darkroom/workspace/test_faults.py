"""Disks that run full, a cache that cannot be written, no file descriptors: one line, nothing lost, on."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

from darkroom.base.errors import RepoError
from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions, RunReport
from darkroom.schedule.events import Event, Outcome, StageLine
from tests.darkroom.repositories import contents, make, serial_repro
from tests.darkroom.shapes import Shape
from tests.descriptors import few_descriptors

SIZE = 3_000_000
PIPELINE = f"""\
stages:
  small:
    cmd: cat in.txt > small.txt
    deps: [in.txt]
    outs: [small.txt]
  big:
    cmd: echo >> {{outside}}/made; head -c {SIZE} /dev/zero > big.bin && echo said
    deps: [small.txt]
    outs: [big.bin]
  last:
    cmd: wc -c big.bin > last.txt
    deps: [big.bin]
    outs: [last.txt]
"""
SHAPE = Shape("faults", {"dvc.yaml": PIPELINE, "in.txt": "1\n"})
ALL_RAN = {"small": "ran", "big": "ran", "last": "ran"}


class Disk:
    """A small disk of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self._mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")

    def grow(self) -> None:
        self.remount("size=20m")

    def remount(self, options: str) -> None:
        self._mount("-o", f"remount,{options}")

    def fill(self, but: int = 0) -> None:
        with contextlib.suppress(OSError), (self.path / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(1 << 16)):
                pass
        length = (self.path / "filler").stat().st_size
        os.truncate(self.path / "filler", max(length - but, 0))

    def empty(self) -> None:
        (self.path / "filler").unlink()

    def _mount(self, *words: str) -> None:
        done = subprocess.run(["mount", *words, str(self.path)], check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    mounted = Disk(tmp_path / "disk")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted.path)], check=True)


def with_cache(folder: Path, cache: Path, outside: Path) -> Path:
    """The repository in `folder`, its cache elsewhere."""
    root = make(folder, SHAPE, outside)
    with contextlib.closing(Repo(str(root))) as repo, repo.config.edit("local") as config:
        config["cache"]["dir"] = str(cache)
    return root


def run(root: Path, lines: list[str] | None = None) -> RunReport:
    def observe(event: Event) -> None:
        if isinstance(event, StageLine) and lines is not None:
            lines.append(event.line)

    return run_pipeline(RunOptions(repo=root, jobs=2), observe=observe)


def assert_ends_as_serial(root: Path, tmp_path: Path) -> None:
    serial = make(tmp_path / "serial", SHAPE, tmp_path)
    assert serial_repro(serial)
    for name in ("dvc.lock", ".gitignore", "small.txt", "big.bin", "last.txt"):
        assert (root / name).read_bytes() == (serial / name).read_bytes()


@pytest.mark.slow
def test_a_cache_that_runs_full_loses_no_result(tmp_path: Path, disk: Disk) -> None:
    root = with_cache(tmp_path / "r", disk.path / "cache", tmp_path)
    report = run(root)
    assert report.outcomes() == {"small": "ran", "big": "failed", "last": "blocked"}
    (error,) = report.errors
    assert error.startswith("big: its outs are not in DVC's cache yet: ")
    assert f"{disk.path}/cache/files/md5: No space left on device; free some space there" in error
    assert "big:\n" not in (root / "dvc.lock").read_text()
    disk.grow()
    report = run(root)
    assert report.outcomes() == {"small": "skipped", "big": "ran", "last": "ran"}
    assert report.stages["big"].reasons == ("its outs lay there finished, and are kept now",)
    assert (tmp_path / "made").read_text() == "\n"  # executed once
    assert_ends_as_serial(root, tmp_path)


@pytest.mark.slow
def test_what_a_full_cache_left_is_made_anew_where_it_is_no_longer_that(tmp_path: Path, disk: Disk) -> None:
    root = with_cache(tmp_path / "r", disk.path / "cache", tmp_path)
    run(root)
    disk.grow()
    with (root / "big.bin").open("r+b") as file:
        file.write(b"edited")
    assert run(root).well
    assert (tmp_path / "made").read_text() == "\n\n"
    assert_ends_as_serial(root, tmp_path)


FULL = f"""\
stages:
  free:
    cmd: echo free >> {{outside}}/made; head -c {SIZE // 10} /dev/zero > free.bin
    outs: [free.bin]
  dep:
    cmd: |
      echo dep >> {{outside}}/made
      head -c {SIZE // 10} /dev/zero | tr '\\0' a > dep.bin
      mkdir folder && cp dep.bin folder && echo 2 > folder/2
    deps: [free.bin]
    outs: [dep.bin, folder]
"""


@pytest.mark.slow
@pytest.mark.parametrize("free", [200, 320, 400, 605, 640, 900, 1200, 1240, 1300])
def test_on_a_disk_that_runs_full_at_any_moment_what_is_said_comes_true(
    tmp_path: Path, disk: Disk, free: int
) -> None:
    """Repository and cache are on it, with so many kilobytes free."""
    disk.grow()
    root = make(disk.path / "r", Shape("full", {"dvc.yaml": FULL}), tmp_path)
    disk.fill(but=1000 * free)
    try:
        errors = run(root).errors
    except RepoError as error:
        errors = (str(error),)
    made = (tmp_path / "made").read_text().split() if (tmp_path / "made").exists() else []
    assert errors
    kept = {error.partition(":")[0] for error in errors if error.endswith("the next run keeps them")}
    assert not list(root.glob(".dvc/cache/**/*.tmp"))
    disk.empty()
    assert run(root).well
    again = (tmp_path / "made").read_text().split()[len(made) :]
    assert not kept & set(again), "it said that the next run keeps them"
    serial = make(tmp_path / "serial", Shape("full", {"dvc.yaml": FULL}), tmp_path)
    assert serial_repro(serial)
    assert contents(root) == contents(serial)


@pytest.mark.slow
def test_a_read_only_cache_is_said_before_anything_is_executed(tmp_path: Path, disk: Disk) -> None:
    root = with_cache(tmp_path / "r", disk.path / "cache", tmp_path)
    disk.grow()
    disk.remount("ro")
    report = run(root)
    assert report.outcomes() == {"small": "failed", "big": "blocked", "last": "blocked"}
    (error,) = report.errors
    assert error.startswith(f"small: DVC's cache {disk.path}/cache/files/md5 cannot be written; mount it")
    assert not (root / "small.txt").exists()
    disk.remount("rw")
    assert run(root).outcomes() == ALL_RAN
    assert_ends_as_serial(root, tmp_path)


@pytest.mark.slow
def test_a_workspace_that_runs_full_fails_the_stage_and_says_where(tmp_path: Path, disk: Disk) -> None:
    root = with_cache(disk.path / "r", tmp_path / "cache", tmp_path)
    report = run(root)
    assert report.outcomes() == {"small": "ran", "big": "failed", "last": "blocked"}
    (error,) = report.errors
    assert error == (
        "big: failed with exit code 1;"
        f" no space is left on the disk of the workspace ({disk.path}/r), free some"
    )
    disk.grow()
    assert run(root).outcomes() == {"small": "skipped", "big": "ran", "last": "ran"}
    assert_ends_as_serial(root, tmp_path)


@pytest.mark.slow
def test_a_workspace_that_is_full_from_the_start_is_one_line(tmp_path: Path, disk: Disk) -> None:
    root = with_cache(disk.path / "r", tmp_path / "cache", tmp_path)
    disk.fill()
    said = r"^\.darkroom/\.gitignore: No space left on device; free some"
    with pytest.raises(RepoError, match=said), contextlib.chdir(root):
        run(root)
    disk.empty()
    disk.grow()
    assert run(root).outcomes() == ALL_RAN
    assert_ends_as_serial(root, tmp_path)


@pytest.mark.slow
def test_a_full_disk_for_dvc_lock_ends_the_run_and_keeps_the_old_lock(tmp_path: Path, disk: Disk) -> None:
    root = with_cache(disk.path / "r", tmp_path / "cache", tmp_path)

    def fill(event: Event) -> None:
        if isinstance(event, StageLine) and event.line == "now":
            disk.fill()

    pipeline = PIPELINE.replace("head -c 3000000", "echo now; sleep 0.5; head -c 0")
    # A dvc.lock of several pages: one may become free, of a file that is no longer needed.
    pipeline = pipeline.replace("[big.bin]\n  last", "[{big.bin: {cache: false}}]\n  last")
    pipeline = pipeline.replace("cat in.txt", f"true {'x' * 100_000}; cat in.txt")
    (root / "dvc.yaml").write_text(pipeline.replace("{outside}", str(tmp_path)))
    with pytest.raises(RepoError, match=r"dvc\.lock: No space left on device"):
        run_pipeline(RunOptions(repo=root, jobs=2), observe=fill)
    assert "big:\n" not in (root / "dvc.lock").read_text()
    assert "small:\n" in (root / "dvc.lock").read_text()
    disk.empty()
    report = run(root)
    assert report.well
    assert report.outcomes()["small"] is Outcome.SKIPPED


@pytest.mark.slow
@pytest.mark.parametrize("at", ["logs", "."])
def test_a_full_disk_for_logs_stops_no_stage_and_is_said_once(tmp_path: Path, disk: Disk, at: str) -> None:
    root = with_cache(tmp_path / "r", tmp_path / "cache", tmp_path)
    text = PIPELINE.replace("echo said", "for n in 1 2 3; do echo said; done").format(outside=tmp_path)
    (root / "dvc.yaml").write_text(text)
    folder = root / ".darkroom"
    if at == ".":
        folder.symlink_to(disk.path)
        for ignores in (".gitignore", ".dvcignore"):
            (folder / ignores).write_text("*\n")
    else:
        folder.mkdir()
        (folder / "logs").symlink_to(disk.path)
    disk.fill()
    lines: list[str] = []
    assert run(root, lines).outcomes() == ALL_RAN
    said = [line for line in lines if line.startswith("darkroom: the rest of this output is not kept: ")]
    assert len(said) == 1
    assert lines.count("said") == 3
    disk.empty()
    assert run(root).well


@pytest.mark.slow
@pytest.mark.parametrize("free", [0, 4, 8])
def test_without_file_descriptors_it_says_so_and_goes_on_with_them(tmp_path: Path, free: int) -> None:
    assert run(make(tmp_path / "warm", SHAPE, tmp_path)).well  # what is imported on the way opens files too
    root = make(tmp_path / "r", SHAPE, tmp_path)
    try:
        with few_descriptors(free):
            errors = list(run(root).errors)
    except RepoError as error:
        errors = [str(error)]
    assert len(errors) == 1
    assert "Too many open files; raise `ulimit -n`" in errors[0] or "unable to open database" in errors[0]
    assert run(root).outcomes() == ALL_RAN
    assert_ends_as_serial(root, tmp_path)


@pytest.mark.slow
def test_a_missing_file_names_its_maker_or_says_that_there_is_none(tmp_path: Path) -> None:
    root = make(tmp_path / "r", SHAPE, tmp_path)
    (root / "in.txt").unlink()
    (error,) = run(root).errors
    assert (
        error
        == "small: in.txt: no such file, and no stage makes it; put it there, or mend the deps in dvc.yaml"
    )
    report = run_pipeline(RunOptions(repo=root, targets=("big",), single_item=True))
    assert report.errors == ("big: small.txt: no such file; run the stage that makes it first: small",)
    assert contents(root)
