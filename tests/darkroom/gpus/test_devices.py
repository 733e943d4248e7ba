"""Which devices there are: declared, read through NVML, and left visible from outside.

NVML itself cannot be had without a GPU: a stand-in with its functions' names and errors takes its place, for
the reading alone.
"""

# ruff: noqa: N801, N802, N815, N818, ARG002  (names and arguments are NVML's)
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from darkroom.base.errors import DarkroomError
from darkroom.gpus.devices import Device, Use, declared_devices, host_gpus, read_nvml, visible_devices

GB = 1000**3


def test_declared_by_number_or_by_name() -> None:
    assert [(d.name, d.memory, d.index) for d in declared_devices("2 x 16GB")] == [
        ("gpu-0", 16 * GB, 0),
        ("gpu-1", 16 * GB, 1),
    ]
    assert [(d.name, d.memory, d.index) for d in declared_devices("a:16GB, b:500MB")] == [
        ("a", 16 * GB, 0),
        ("b", GB // 2, 1),
    ]
    assert host_gpus({"DARKROOM_GPUS": ""}).devices == ()
    assert host_gpus({"DARKROOM_GPUS": "a:1GB"}).use(Device("a", GB)) == Use()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("16GB", "DARKROOM_GPUS: '16GB' is no device; write 4x16GB, or a:16GB,b:8GB"),
        ("a:16GB,a:8GB", "DARKROOM_GPUS: 'a:16GB,a:8GB' names a device twice"),
        ("2xmuch", "DARKROOM_GPUS: 'much' is not a size; write it as 500MB, 8GB or 8GiB"),
        ("../a:1GB", "DARKROOM_GPUS: '../a:1GB' is no device; write 4x16GB, or a:16GB,b:8GB"),
    ],
)
def test_a_declaration_that_cannot_be_read_says_so(text: str, error: str) -> None:
    with pytest.raises(DarkroomError) as caught:
        declared_devices(text)
    assert str(caught.value) == error


FOUR = (
    Device("GPU-aa10", GB, 0),
    Device("GPU-aa20", GB, 1),
    Device("MIG-b1", GB, 2, is_slice=True),
    Device("MIG-b2", GB, 2, is_slice=True),
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, ["GPU-aa10", "GPU-aa20", "MIG-b1", "MIG-b2"]),
        ("", []),
        ("-1", []),
        ("1,0", ["GPU-aa20", "GPU-aa10"]),
        (" 1 , 7, 0", ["GPU-aa20"]),  # an invalid entry ends the list
        ("0,-1,1", ["GPU-aa10"]),
        ("0,0", []),  # a device named twice: none
        ("1gpu", ["GPU-aa20"]),
        ("2", ["MIG-b1"]),
        ("MIG-b2", ["MIG-b2"]),
        ("GPU-aa2,0", ["GPU-aa20", "GPU-aa10"]),
        ("GPU-aa", []),  # fits two
        ("GPU-aa10,GPU-zz,GPU-aa20", ["GPU-aa10"]),
    ],
)
def test_cuda_visible_devices_from_outside(text: str | None, names: list[str]) -> None:
    assert [device.name for device in visible_devices(FOUR, text)] == names


def test_a_name_that_begins_another_is_itself() -> None:
    devices = declared_devices("a:1GB,ab:1GB")
    assert [device.name for device in visible_devices(devices, "a,ab")] == ["a", "ab"]


class NvmlError(Exception):
    """The base of NVML's errors."""


class Nvml:
    """Stands in for the module pynvml. A handle is a mapping of what the driver would say of the device."""

    NVMLError = NvmlError
    NVML_COMPUTEMODE_PROHIBITED, NVML_COMPUTEMODE_EXCLUSIVE_PROCESS, NVML_DEVICE_MIG_ENABLE = 2, 3, 1
    nvmlMemory_v2 = 2

    class NVMLError_LibraryNotFound(NvmlError): ...

    class NVMLError_NotSupported(NvmlError): ...

    class NVMLError_NotFound(NvmlError): ...

    class NVMLError_FunctionNotFound(NvmlError): ...

    class NVMLError_ArgumentVersionMismatch(NvmlError): ...

    class NVMLLibraryMismatchError(Exception): ...

    def __init__(self, *gpus: dict[str, Any], init: type[Exception] | None = None) -> None:
        self._gpus, self._init = gpus, init

    def nvmlInit(self) -> None:
        if self._init:
            raise self._init("broken")

    def nvmlSystemGetDriverVersion(self) -> str:
        return "999.1"

    def nvmlDeviceGetCount(self) -> int:
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        if self._gpus[index].get("lost"):
            raise self.NVMLError("GPU is lost")
        return self._gpus[index]

    def nvmlDeviceGetUUID(self, handle: dict[str, Any]) -> str:
        return str(handle["uuid"])

    def nvmlDeviceGetName(self, handle: dict[str, Any]) -> str:
        return "H"

    def nvmlDeviceGetComputeMode(self, handle: dict[str, Any]) -> int:
        return int(handle.get("mode", 0))

    def nvmlDeviceGetMigMode(self, handle: dict[str, Any]) -> list[int]:
        if "slices" not in handle:
            raise self.NVMLError_NotSupported
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: dict[str, Any]) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: dict[str, Any], index: int) -> Any:
        if index not in handle["slices"]:
            raise self.NVMLError_NotFound
        return handle["slices"][index]

    def nvmlDeviceGetMemoryInfo(self, handle: dict[str, Any], version: int | None = None) -> Any:
        if handle.get("lost"):
            raise self.NVMLError("GPU is lost")
        if version and handle.get("old"):
            raise self.NVMLError_FunctionNotFound
        return SimpleNamespace(total=16 * GB, reserved=GB, used=handle.get("used", 0))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: dict[str, Any]) -> list[Any]:
        if handle.get("old"):
            raise self.NVMLLibraryMismatchError
        return [SimpleNamespace(pid=p, usedGpuMemory=used) for p, used in handle.get("processes", {}).items()]


def test_gpus_slices_and_what_is_in_use() -> None:
    plain = {"uuid": "GPU-1", "used": 3 * GB, "processes": {41: 2 * GB, 42: None}}
    sliced = {"uuid": "GPU-2", "slices": {0: {"uuid": "MIG-1"}, 3: {"uuid": "MIG-2"}}}
    alone = {"uuid": "GPU-3", "mode": 3, "old": True, "used": GB}
    gpus = read_nvml(Nvml(plain, sliced, alone))
    assert gpus.devices == (
        Device("GPU-1", 15 * GB, 0, "H"),
        Device("MIG-1", 15 * GB, 1, "H", is_slice=True),
        Device("MIG-2", 15 * GB, 1, "H", is_slice=True),
        Device("GPU-3", 16 * GB, 2, "H", exclusive=True),
    )
    assert (gpus.driver, gpus.problems) == ("999.1", ())
    assert gpus.use(gpus.devices[0]) == Use(3 * GB, {41: 2 * GB, 42: 0})
    assert gpus.use(gpus.devices[3]) == Use(GB, {})
    plain["lost"] = True
    assert gpus.use(gpus.devices[0]) is None


def test_what_cannot_be_used_is_left_out_and_said() -> None:
    gpus = read_nvml(
        Nvml(
            {"uuid": "GPU-1", "mode": 2},
            {"uuid": "GPU-2", "slices": {}},
            {"uuid": "GPU-3", "lost": True},
            {"uuid": "GPU-4"},
        )
    )
    assert [(device.name, device.index) for device in gpus.devices] == [("GPU-4", 3)]
    assert gpus.problems == (
        "GPU-1 is in compute mode `prohibited` and is left out",
        "GPU-2 is in MIG mode without a slice: `nvidia-smi mig -cgi 0 -C` makes one",
        "GPU 2 does not answer and is left out: GPU is lost",
    )


def test_a_host_without_the_driver_has_no_devices_and_a_broken_one_says_so() -> None:
    assert read_nvml(Nvml(init=Nvml.NVMLError_LibraryNotFound)).problems == ()
    (problem,) = read_nvml(Nvml(init=Nvml.NVMLError)).problems
    assert problem == "NVIDIA's driver does not answer: broken; `nvidia-smi` should say the same"


def test_nvml_itself_is_asked_and_never_raises() -> None:
    gpus = host_gpus({})
    assert (gpus.driver is None) == (gpus.reader is None)
