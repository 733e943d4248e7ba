"""Whether a stage ended for lack of memory: by the kernel's count of its kills, or CUDA's messages."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

KILLED_BY_KERNEL = "killed by the kernel's out-of-memory killer"
CUDA = "the GPU's memory did not suffice (CUDA out of memory)"

# PyTorch's allocator, the CUDA runtime's error 2, cuBLAS and cuDNN where they allocate, JAX.
_CUDA_WORDS = re.compile(
    r"CUDA out of memory|CUDA error: out of memory|cudaErrorMemoryAllocation"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED: Out of memory"
)
# A shell, and PyTorch's DataLoader, of a child that got SIGKILL.
_CHILD_KILLED = re.compile(r"^Killed$|killed by signal: Killed", re.MULTILINE)
_CGROUPS = Path("/sys/fs/cgroup")


def out_of_memory(code: int, last_lines: Sequence[str], kills: int) -> str | None:
    """What memory the command that ended with `code` lacked, in words; None: it ended for another reason.

    `kills` is by how much `oom_kills` rose while the command ran.
    """
    said = "\n".join(last_lines)
    if code == 0:
        return None
    killed = code in (-signal.SIGKILL, 128 + signal.SIGKILL) or _CHILD_KILLED.search(said)
    if kills > 0 and killed:
        return KILLED_BY_KERNEL
    return CUDA if code > 0 and _CUDA_WORDS.search(said) else None


def oom_kills() -> int:
    """How many processes the kernel has killed so far for want of memory.

    Counted in this process's cgroup, where stages run too; on the whole host where the cgroup does not tell.
    """
    for path in (*_cgroup_files(), Path("/proc/vmstat")):
        try:
            found = re.search(r"^oom_kill (\d+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0


def _cgroup_files() -> Iterator[Path]:
    """The files in which version 2 and version 1 of the kernel's control groups count, in that order."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    groups = {
        controllers: path.lstrip("/") for _, controllers, path in (line.split(":", 2) for line in lines)
    }
    if "" in groups:
        yield _CGROUPS / groups[""] / "memory.events"
    if "memory" in groups:
        yield _CGROUPS / "memory" / groups["memory"] / "memory.oom_control"
