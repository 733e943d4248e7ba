"""Which devices a request gets, given the requests before it. A pure function without clock, file or lock.

A request takes all of its devices at once or none, those with the most free memory first. With `gpu_memory`
it shares a device that has that much free. Without, it wants the device to itself.

A waiting request has a claim on devices, which later requests may not take. It claims the devices that it
could take now. If these are too few, it also claims enough of those that only leases keep from it. A device
that a program outside darkroom occupies is never claimed, since nobody knows for how long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from darkroom.base.meta import Resources
from darkroom.gpus.devices import Device
from darkroom.schedule.pool import Lease

WHOLE_FREE_SHARE = 0.5
"""The share of a device wanted whole that must be free. A desktop's windows take less than the other half;
what takes more, and cannot be seen as a process from within a container, is somebody's work."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for so many devices, each with so much memory, among those that the run may use."""

    count: int
    memory: int | None
    """Bytes; None: the whole device."""
    names: tuple[str, ...]

    @classmethod
    def for_stage(cls, resources: Resources, devices: Iterable[Device]) -> Request:
        """What a stage asks for of the devices that its run may use."""
        return cls(resources.gpu, resources.gpu_memory, tuple(device.name for device in devices))


@dataclass(frozen=True, slots=True)
class Load:
    """A device and what is in use of it. All in bytes."""

    device: Device
    leased: int = 0
    outside: int = 0
    """The memory in use by others than the stages that hold leases."""
    strangers: tuple[int, ...] = ()
    """The pids of others that compute on it, as far as they can be seen."""
    claimed: int = 0
    """Kept for those who wait."""

    @property
    def free(self) -> int:
        """Neither leased nor in use nor claimed."""
        return max(0, self.device.memory - self.leased - self.outside - self.claimed)


def device_share(request: Request, device: Device) -> int:
    """The bytes that a request takes of a device."""
    return device.memory if request.memory is None or device.exclusive else request.memory


def is_suitable(request: Request, device: Device) -> bool:
    """Whether the request could use the device if nobody else did."""
    enough = request.memory is None or request.memory <= device.memory
    return enough and device.name in request.names and not (device.is_slice and request.count > 1)


def is_possible(request: Request, devices: Iterable[Device]) -> bool:
    """Whether the devices would be enough if nobody else used them."""
    return sum(is_suitable(request, device) for device in devices) >= request.count


def refusal_by_devices(resources: Resources, devices: Sequence[Device]) -> str | None:
    """Why a stage can never be executed with these devices: the key below `meta`, what is wrong, the mend."""
    if not devices:
        if resources.gpu_required:
            return "resources.gpu_required: there is no GPU here, see `darkroom doctor`"
        return None  # on the CPU
    usable = [device for device in devices if resources.gpu == 1 or not device.is_slice]
    if len(usable) < resources.gpu:
        slices = "" if len(usable) == len(devices) else ", MIG slices apart (one stage can have one of them)"
        return f"resources.gpu: {resources.gpu} GPUs asked for, there are {len(usable)} here{slices}"
    if not is_possible(Request.for_stage(resources, devices), devices):
        largest = sorted((device.memory for device in usable), reverse=True)[resources.gpu - 1]
        each = " each" if resources.gpu > 1 else ""
        return f"resources.gpu_memory: {resources.gpu_memory} bytes{each} asked for, there are {largest} here"
    return None


def has_room(request: Request, load: Load) -> bool:
    """Whether the request can have its share of the device now."""
    if not is_suitable(request, load.device):
        return False
    if request.memory is not None and not load.device.exclusive:
        return request.memory <= load.free
    unused = not load.leased and not load.claimed and not load.strangers
    enough = request.memory is None or request.memory <= load.free
    return unused and enough and int(load.device.memory * WHOLE_FREE_SHARE) <= load.free


def choose_devices(request: Request, loads: Iterable[Load]) -> list[Device] | None:
    """The devices that the request gets now, all that it asked for; None: it has to wait."""
    best = _freest(load for load in loads if has_room(request, load))
    return [load.device for load in best[: request.count]] if len(best) >= request.count else None


def left_over(waiting: Iterable[Request], loads: Sequence[Load]) -> list[Load]:
    """The loads that later requests see, after the claims of the waiting requests in their order."""
    left = list(loads)
    for request in waiting:
        claimed = {
            device.name: device_share(request, device) for device in choose_devices(request, left) or ()
        }
        if not claimed:
            claimed = {device.name: device.memory for device in _awaited(request, left)}
        left = [replace(load, claimed=load.claimed + claimed.get(load.device.name, 0)) for load in left]
    return left


def blocking_devices(request: Request, loads: Iterable[Load]) -> list[Load]:
    """The devices that a request waits for: suitable ones without enough free memory."""
    return [load for load in loads if is_suitable(request, load.device) and not has_room(request, load)]


def _awaited(request: Request, loads: Iterable[Load]) -> list[Device]:
    """The devices that a request gets once leases end; none if the end of leases is not enough."""
    could = _freest(load for load in loads if has_room(request, replace(load, leased=0)))
    return [load.device for load in could[: request.count]] if len(could) >= request.count else []


def _freest(loads: Iterable[Load]) -> list[Load]:
    return sorted(loads, key=lambda load: -load.free)  # stable: as the devices are counted


class CountedDevices:
    """Devices that are only counted: for the estimate of how long a run takes."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = devices
        self._leased = dict.fromkeys(devices, 0)

    def take(self, resources: Resources, stage: str) -> Lease | None:  # noqa: ARG002
        """Count all requested devices or none. A request that can never be met counts as no devices."""
        request = Request.for_stage(resources, self._devices)
        if not is_possible(request, self._devices):
            return Lease(resources)
        chosen = choose_devices(request, [Load(device, leased) for device, leased in self._leased.items()])
        if chosen is None:
            return None
        self._count(1, request, {device.name for device in chosen})
        return Lease(resources, devices=tuple(device.name for device in chosen))

    def give(self, lease: Lease) -> None:
        """Count it back."""
        self._count(-1, Request.for_stage(lease.resources, self._devices), lease.devices)

    def waits(self, resources: Resources | None, stage: str) -> None:
        """Nobody else is there to wait for."""

    def close(self) -> None:
        """Nothing is held."""

    def _count(self, sign: int, request: Request, names: Collection[str]) -> None:
        for device in self._leased:
            if device.name in names:
                self._leased[device] += sign * device_share(request, device)
