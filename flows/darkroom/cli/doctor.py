"""What this host has for stages, who uses it, who waits for it, and what is wrong with it."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from darkroom.base.text import format_count
from darkroom.gpus.choice import Load, Request
from darkroom.gpus.devices import VISIBLE, Device, Gpus, host_gpus, visible_devices
from darkroom.gpus.lease_folder import LeaseError, lease_folder
from darkroom.gpus.lease_notes import HeldShare, HostLeases, LeaseHolder, Waiter, describe_holder
from darkroom.gpus.leases import load_of, outside_in_words
from darkroom.schedule.pool import host_cpus, host_memory
from darkroom.show.terminal import write_line

PACKAGES = ("darkroom", "dvc", "prefect")
ORDER = "CUDA_DEVICE_ORDER"


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device, what of it is in use, and by whom."""

    device: Device
    usable: bool
    """Whether CUDA_VISIBLE_DEVICES leaves it to runs that are started from here."""
    load: Load
    held: tuple[HeldShare, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values: sizes in bytes, `since` in seconds since the epoch; no holder where none is noted."""
        leases = [asdict(part) for part in self.held]
        return {
            **asdict(self.device),
            "usable": self.usable,
            "free": self.load.free,
            "outside": self.load.outside,
            "strangers": list(self.load.strangers),
            "leases": leases,
        }


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found on the host."""

    versions: Mapping[str, str | None]
    cpus: int
    memory: int
    folder: Path
    devices: tuple[DeviceState, ...]
    waiting: tuple[Waiter, ...]
    problems: tuple[str, ...]
    """What is wrong and what mends it, one line each."""

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        waiting = [
            {"gpu": w.request.count, "gpu_memory": w.request.memory, **asdict(w.holder)} for w in self.waiting
        ]
        return {
            "versions": dict(self.versions),
            "cpus": self.cpus,
            "memory": self.memory,
            "leases": str(self.folder),
            "devices": [device.to_json() for device in self.devices],
            "waiting": waiting,
            "problems": list(self.problems),
        }


def examine_host(environ: Mapping[str, str]) -> Examination:
    """Look at the host.

    Raises:
        UsageError: DARKROOM_GPUS cannot be read.

    """
    gpus, path = host_gpus(environ), lease_folder(environ)
    usable = visible_devices(gpus.devices, environ.get(VISIBLE))
    problems = [*gpus.problems, *_wrong_variables(gpus.devices, usable, environ)]
    if shutil.which("git") is None:
        problems.append("git is not found: experiments cannot be kept; install it")
    devices: tuple[DeviceState, ...] = ()
    waiting: tuple[Waiter, ...] = ()
    if gpus.devices:
        try:
            with HostLeases(path) as folder:
                devices = tuple(_state(device, gpus, folder, usable) for device in gpus.devices)
                waiting = tuple(folder.waiting())
                problems += _in_the_way(folder)
        except LeaseError as error:
            problems.append(str(error))
            devices = tuple(_state(device, gpus, None, usable) for device in gpus.devices)
    problems += _wrong_leases(devices)
    versions = {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "NVIDIA driver": gpus.driver,
    }
    return Examination(versions, host_cpus(), host_memory(), path, devices, waiting, tuple(problems))


def _state(device: Device, gpus: Gpus, folder: HostLeases | None, usable: Sequence[Device]) -> DeviceState:
    held = folder.held(device) if folder else []
    return DeviceState(device, device in usable, load_of(device, held, gpus), tuple(held))


def _wrong_variables(
    devices: Sequence[Device], usable: Sequence[Device], environ: Mapping[str, str]
) -> Iterator[str]:
    text = environ.get(VISIBLE)
    if not text or text == "-1" or not devices:
        return
    entries = text.split(",")
    if len(usable) < len(entries):
        yield (
            f"{VISIBLE}={text} shows {format_count(len(usable), 'device')} of {len(entries)} named: CUDA ends"
            " the list at the first that names none, and shows none where one is named twice"
        )
    models = {device.model for device in devices}
    by_number = any(entry.strip().isdigit() for entry in entries)
    if len(models) > 1 and by_number and environ.get(ORDER) != "PCI_BUS_ID":
        yield f"{VISIBLE}={text}: GPUs of several models; name them by UUID, or set {ORDER}=PCI_BUS_ID"


def _in_the_way(folder: HostLeases) -> Iterator[str]:
    """Who keeps runs from deciding on GPUs, found out as they do."""
    with folder.alone(LeaseHolder.this_process("doctor", Path.cwd())) as ahead:
        if ahead:
            yield f"runs that want GPUs wait for one that does not come to an end: {ahead}"


def _wrong_leases(devices: Iterable[DeviceState]) -> Iterator[str]:
    for state in devices:
        for part in state.held:
            if part.holder is None:
                yield f"{state.device.name}: held by {part.in_words}; is the disk full?"


def print_examination(console: Console, found: Examination) -> None:
    """Print the examination as text, what is wrong in red."""
    for line in examination_lines(found):
        write_line(console, line)
    for problem in found.problems:
        write_line(console, f"wrong: {problem}", "bold red")


def examination_lines(found: Examination) -> Iterator[str]:
    """The lines of what was found and is not wrong."""
    yield ", ".join(f"{name} {number or 'none'}" for name, number in found.versions.items())
    yield f"{format_count(found.cpus, 'core')}, {_size(found.memory)} of memory"
    if not found.devices:
        yield "no GPU: stages that ask for one run on the CPU"
    for state in found.devices:
        yield from _device_lines(state)
    for waiter in found.waiting:
        yield f"waits for {_asked(waiter.request)}: {describe_holder(waiter.holder)}"
    if found.devices:
        yield f"leases are in {found.folder}"
    if not found.problems:
        yield "nothing is wrong with this host"


def _device_lines(state: DeviceState) -> Iterator[str]:
    device, hidden = state.device, "" if state.usable else f", hidden by {VISIBLE}"
    yield f"{device.name} ({device.model}): {_size(device.memory)}, {_size(state.load.free)} free{hidden}"
    for part in state.held:
        yield f"  {_size(part.bytes)} held by {part.in_words}"
    if state.load.outside:
        yield f"  {outside_in_words(state.load)}"


def _asked(request: Request) -> str:
    each = "whole" if request.memory is None else f"{_size(request.memory)} each"
    return f"{format_count(request.count, 'device')} ({each})"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
