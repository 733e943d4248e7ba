"""An out-of-memory is told from a stage's own error: the kernel's really, CUDA's by its words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from darkroom.processes.out_of_memory import CUDA, KILLED_BY_KERNEL, oom_kills, out_of_memory
from darkroom.processes.stage_process import Ending, StageJob, execute
from tests.places import ROOT

TORCH = (
    "    return F.conv2d(input, weight, bias)",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of",
    "If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF",
)


@pytest.mark.parametrize(
    ("code", "lines", "kills", "expected"),
    [
        (-9, (), 1, KILLED_BY_KERNEL),
        (137, (), 1, KILLED_BY_KERNEL),
        (137, (), 0, None),
        (-15, (), 1, None),
        (1, ("Traceback", "ValueError: 3"), 1, None),
        (1, ("RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed.",), 1, KILLED_BY_KERNEL),
        (1, ("RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed.",), 0, None),
        (1, TORCH, 0, CUDA),
        (1, ("RuntimeError: CUDA error: out of memory",), 0, CUDA),
        (0, TORCH, 1, None),
        (-9, TORCH, 0, None),
    ],
)
def test_by_code_words_and_the_kernels_count(
    code: int, lines: tuple[str, ...], kills: int, expected: str | None
) -> None:
    assert out_of_memory(code, lines, kills) == expected


def test_a_stage_that_cuda_had_no_memory_for(tmp_path: Path) -> None:
    script = f"echo '{TORCH[1]}' >&2; exit 1"
    job = StageJob(name="s", commands=(("/bin/sh", "-c", script),), cwd=tmp_path, env=dict(os.environ))
    result = execute(job)
    assert result.ending is Ending.OUT_OF_MEMORY
    assert result.describe() == f"out of memory: {CUDA}"


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A group of processes with 200 MB of memory, below the one of the tests."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    mine = {kind: path.lstrip("/") for _, kind, path in (line.split(":", 2) for line in lines)}
    version_1 = "memory" in mine
    parent = Path("/sys/fs/cgroup") / ("memory" if version_1 else "") / mine.get("memory", mine.get("", ""))
    folder = parent / f"darkroom-test-{os.getpid()}"
    try:
        folder.mkdir()
        limit = folder / ("memory.limit_in_bytes" if version_1 else "memory.max")
        limit.write_text(str(200 << 20))
    except OSError as error:
        if folder.exists():
            folder.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    yield folder
    folder.rmdir()


OWNER = """
import os, sys
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from darkroom.processes.stage_process import StageJob, execute
code = "held = []\\nwhile True: held.append(bytearray(b'x') * (8 << 20))"
job = StageJob(name="s", commands=((sys.executable, "-c", code),), cwd=Path("/"), env=dict(os.environ))
print(execute(job).describe())
"""


@pytest.mark.slow
def test_a_stage_that_the_kernel_killed_for_its_memory(cgroup: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(cgroup)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == f"out of memory: {KILLED_BY_KERNEL}\n", done.stderr


def test_the_count_is_there() -> None:
    assert oom_kills() >= 0
