"""The machine that a figure was measured on, in one line."""

import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil


def describe() -> str:
    """Processor, cores, memory, system, Python and the libraries that count, with today's date."""
    cores = f"{os.cpu_count()} cores"
    if hasattr(os, "sched_getaffinity") and (usable := len(os.sched_getaffinity(0))) != os.cpu_count():
        cores = f"{usable} of {cores}"
    gigabytes = round(psutil.virtual_memory().total / 2**30)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "dvc", "prefect"))
    return (
        f"{_processor()}, {cores}, {gigabytes} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, {libraries}; {datetime.datetime.now(tz=datetime.UTC).date()}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    fields = [line.partition(":") for line in cpuinfo.read_text().splitlines()]
    values = {key.strip(): value.strip() for key, _, value in fields}
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    features = [name for name in wanted if name in values.get("flags", "").split()]
    family = f"family {values.get('cpu family')} model {values.get('model')}"
    return f"{values.get('model name', platform.machine())} ({family}; {' '.join(features)})"
