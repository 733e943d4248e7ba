"""The GPUs of this host, with each MIG slice as a device, and how much of their memory is in use.

They are read through NVML, the library of NVIDIA's driver. It makes no CUDA context, so looking costs no
memory on the device. A host without the driver has no devices. For tests and for hosts without GPUs
DARKROOM_GPUS declares devices instead: `4x16GB`, or by name `a:16GB,b:8GB`; empty: none.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import psutil

from darkroom.base.errors import UsageError
from darkroom.base.meta import parse_bytes

DECLARED = "DARKROOM_GPUS"
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU or a MIG slice of one."""

    name: str
    """The device's UUID (`GPU-...`, `MIG-...`), or the name that it was declared by."""
    memory: int
    """Bytes that programs can have."""
    index: int = 0
    """The place of the GPU by PCI address; slices have that of their GPU."""
    model: str = "declared"
    is_slice: bool = False
    """CUDA shows a process one slice alone: several cannot be had together."""
    exclusive: bool = False
    """The driver lets one process at a time use it."""


@dataclass(frozen=True, slots=True)
class Use:
    """What is in use on a device by everybody."""

    memory: int = 0
    """Bytes."""
    processes: Mapping[int, int] = field(default_factory=dict)
    """Bytes by the pid of each process that computes on it; 0 where the driver does not tell."""


class Reader(Protocol):
    """What can be asked of devices while they are in use."""

    def use(self, device: Device) -> Use | None:
        """What is in use; None where the device no longer answers."""


@dataclass(frozen=True, slots=True)
class Gpus:
    """A host's devices, in the order of their PCI addresses."""

    devices: tuple[Device, ...] = ()
    reader: Reader | None = None
    """What tells how much is in use; None: nothing but the leases does."""
    driver: str | None = None
    problems: tuple[str, ...] = ()
    """One line each."""

    def use(self, device: Device) -> Use | None:
        """What is in use on a device; None where it no longer answers."""
        return Use() if self.reader is None else self.reader.use(device)


def host_gpus(environ: Mapping[str, str]) -> Gpus:
    """The devices of this host.

    Raises:
        UsageError: DARKROOM_GPUS cannot be read.

    """
    if (text := environ.get(DECLARED)) is not None:
        return Gpus(declared_devices(text))
    import pynvml

    return read_nvml(pynvml)


def declared_devices(text: str) -> tuple[Device, ...]:
    """The devices of `4x16GB` (named gpu-0 to gpu-3) or `a:16GB,b:8GB`."""
    if many := re.fullmatch(r"\s*(\d+)\s*x\s*(\S+)\s*", text):
        memory = parse_bytes(many[2], DECLARED)
        return tuple(Device(f"gpu-{number}", memory, number) for number in range(int(many[1])))
    devices: list[Device] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if not (one := re.fullmatch(r"([A-Za-z][\w-]*):(\S+)", part)):
            raise UsageError(f"{DECLARED}: {part!r} is no device; write 4x16GB, or a:16GB,b:8GB")
        devices.append(Device(one[1], parse_bytes(one[2], DECLARED), len(devices)))
    if len({device.name for device in devices}) < len(devices):
        raise UsageError(f"{DECLARED}: {text!r} names a device twice")
    return tuple(devices)


def visible_devices(devices: Sequence[Device], text: str | None) -> tuple[Device, ...]:
    """The devices that CUDA_VISIBLE_DEVICES lets a program see, by CUDA's rules; None: it is not set.

    Entries are indices, UUIDs or beginnings of UUIDs that fit one device alone. The first entry that fits
    none ends the list; a device named twice makes it empty. An index counts GPUs by PCI address (CUDA's order
    where all are of one model, or CUDA_DEVICE_ORDER is PCI_BUS_ID); that of a GPU in slices stands for its
    first.
    """
    if text is None:
        return tuple(devices)
    chosen: list[Device] = []
    for entry in text.split(","):
        device = _named(devices, entry.strip())
        if device is None:
            break
        if device in chosen:
            return ()
        chosen.append(device)
    return tuple(chosen)


def _named(devices: Sequence[Device], entry: str) -> Device | None:
    if index := re.match(r"\+?(\d+)", entry):  # as C's strtol: what follows the digits is ignored
        return next((device for device in devices if device.index == int(index[1])), None)
    fitting = [device for device in devices if entry and device.name.startswith(entry)]
    exact = [device for device in fitting if device.name == entry]
    return (exact or fitting)[0] if len(exact or fitting) == 1 else None


def read_nvml(nvml: Any) -> Gpus:
    """The devices as NVML (the module pynvml) tells them; none without the driver."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError_LibraryNotFound:
        return Gpus()
    except nvml.NVMLError as error:
        return Gpus(problems=(f"NVIDIA's driver does not answer: {error}; `nvidia-smi` should say the same",))
    reader = _Nvml(nvml)
    found = tuple(reader.devices())
    driver = str(nvml.nvmlSystemGetDriverVersion())
    return Gpus(found, reader, driver, tuple(reader.problems))


class _Nvml:
    """NVML's handles by the devices' names."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles: dict[str, Any] = {}
        self.problems: list[str] = []

    def devices(self) -> Iterator[Device]:
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                yield from self._gpu(self._nvml.nvmlDeviceGetHandleByIndex(index), index)
            except self._nvml.NVMLError as error:
                self.problems.append(f"GPU {index} does not answer and is left out: {error}")

    def use(self, device: Device) -> Use | None:
        handle = self._handles[device.name]
        try:
            return Use(self._memory(handle)[1], self._processes(handle))
        except self._nvml.NVMLError:
            return None  # fallen off the bus, or its slices were made anew

    def _processes(self, handle: Any) -> dict[int, int]:
        try:
            found = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except (self._nvml.NVMLError_NotSupported, self._nvml.NVMLLibraryMismatchError):
            return {}  # an older driver
        return {process.pid: process.usedGpuMemory or 0 for process in found}

    def _gpu(self, handle: Any, index: int) -> Iterator[Device]:
        """The GPU, or its slices where it is in slices."""
        nvml = self._nvml
        if not self._sliced(handle):
            mode = nvml.nvmlDeviceGetComputeMode(handle)
            if mode == nvml.NVML_COMPUTEMODE_PROHIBITED:
                name = nvml.nvmlDeviceGetUUID(handle)
                self.problems.append(f"{name} is in compute mode `prohibited` and is left out")
                return
            yield self._device(handle, index, exclusive=mode == nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS)
            return
        slices = list(self._slices(handle))
        if not slices:
            name = nvml.nvmlDeviceGetUUID(handle)
            self.problems.append(
                f"{name} is in MIG mode without a slice: `nvidia-smi mig -cgi 0 -C` makes one"
            )
        for slice_handle in slices:
            yield self._device(slice_handle, index, is_slice=True)

    def _sliced(self, handle: Any) -> bool:
        try:
            return bool(self._nvml.nvmlDeviceGetMigMode(handle)[0] == self._nvml.NVML_DEVICE_MIG_ENABLE)
        except (self._nvml.NVMLError_NotSupported, self._nvml.NVMLError_FunctionNotFound):
            return False

    def _slices(self, handle: Any) -> Iterator[Any]:
        for index in range(self._nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with contextlib.suppress(self._nvml.NVMLError_NotFound):
                yield self._nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)

    def _device(self, handle: Any, index: int, *, is_slice: bool = False, exclusive: bool = False) -> Device:
        name = str(self._nvml.nvmlDeviceGetUUID(handle))
        self._handles[name] = handle
        model = str(self._nvml.nvmlDeviceGetName(handle))
        return Device(name, self._memory(handle)[0], index, model, is_slice, exclusive)

    def _memory(self, handle: Any) -> tuple[int, int]:
        """Bytes that can be had, and of them in use. What the driver keeps for itself is in neither."""
        nvml = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
            return memory.total - memory.reserved, memory.used
        except nvml.NVMLError_NotSupported:  # one memory for processor and GPU
            host = psutil.virtual_memory()
            return host.total, host.total - host.available
        except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_ArgumentVersionMismatch):  # an older driver
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            return memory.total, memory.used
