"""Who changed a file: told by the kernel of a real one, and never guessed."""

from __future__ import annotations

import contextlib
import mmap
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from darkroom.processes.witness import Witness, Writers
from tests.descriptors import few_descriptors, open_descriptors


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f"
    path.write_text("1\n")
    return path


@pytest.fixture
def witness(file: Path) -> Iterator[Witness]:
    try:
        opened = Witness([file])
    except OSError as error:
        pytest.skip(f"the kernel tells root alone: {error}")
    with contextlib.closing(opened):
        yield opened


def command(witness: Witness, script: str, cwd: Path) -> int:
    with subprocess.Popen(["bash", "-c", script], cwd=cwd) as process:
        witness.began(process.pid)
        process.wait()
        witness.look()
    return process.pid


@pytest.mark.parametrize(
    "script",
    [
        "echo 2 >> f; true",
        "sed -i s/1/2/ f; true",
        "(setsid sh -c 'echo 2 > f' &); until grep 2 f; do sleep .02; done",
        "rm f; true",
        "mv f g; cp g f; true",
        "truncate -s 0 f; true",
    ],
)
def test_a_command_and_what_descends_from_it_are_told(witness: Witness, file: Path, script: str) -> None:
    pid = command(witness, script, file.parent)
    assert witness.writers(file) == Writers(commands=frozenset({pid}))


def test_nobody_is_told_where_nothing_changed(witness: Witness, file: Path) -> None:
    command(witness, "cat f; echo 2 > other", file.parent)
    assert witness.writers(file) == Writers()


def test_who_was_there_before_is_a_stranger(tmp_path: Path, file: Path) -> None:
    script = 'while read -r line; do bash -c "echo $line >> f; true"; echo done; done'
    with subprocess.Popen(
        ["bash", "-c", script], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as stranger:
        assert stranger.stdin
        assert stranger.stdout
        try:
            witness = Witness([file])
        except OSError as error:
            stranger.stdin.close()
            pytest.skip(f"the kernel tells root alone: {error}")
        with contextlib.closing(witness):
            stranger.stdin.write("3\n")
            stranger.stdin.flush()
            assert stranger.stdout.readline() == "done\n"
            pid = command(witness, "echo 2 >> f; true", tmp_path)
            told = witness.writers(file)
            stranger.stdin.close()
    assert told.commands == {pid}
    assert len(told.strangers) == 1


def test_a_file_that_may_be_written_unseen_is_told_of_nobody(witness: Witness, file: Path) -> None:
    """Held open to be written, mapped, or under a second name: not all that is written there is told."""
    with file.open("r+"):
        command(witness, "echo 2 >> f; true", file.parent)
        assert witness.writers(file) == Writers()
    with file.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 0)
    with contextlib.closing(mapped):
        assert witness.writers(file) == Writers()
    other = file.with_name("second")
    other.hardlink_to(file)
    assert witness.writers(file) == Writers()


def test_a_folder_that_came_in_its_place_is_told_of_nobody(tmp_path: Path, witness: Witness) -> None:
    del witness  # for its skip
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x").write_text("1\n")
    with contextlib.closing(Witness([tmp_path / "d"])) as watching:
        command(watching, "mv d e; mkdir d; echo 2 > d/x", tmp_path)
        assert watching.writers(tmp_path / "d", ("x",)) == Writers()


def test_more_changes_than_the_kernel_keeps_are_told_of_nobody(witness: Witness, file: Path) -> None:
    command(witness, "echo 2 >> f; true", file.parent)
    limit = int(Path("/proc/sys/fs/fanotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("this host keeps too many")
    for number in range(limit + 10):
        (file.parent / str(number)).touch()
    assert witness.writers(file) == Writers()


@pytest.mark.parametrize("free", range(8))
def test_a_witness_that_cannot_be_opened_leaves_nothing_open(file: Path, free: int) -> None:
    before = open_descriptors()
    with contextlib.suppress(OSError), few_descriptors(free):
        Witness([file]).close()
    assert open_descriptors() == before
