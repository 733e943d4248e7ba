"""Device, precision, threads and seeds, which together make a run reproducible to the bit."""

import os
import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from stages.core.params import ComputeParams
from stages.core.seeds import pin_threads, seed_generators

Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compute:
    """The device and the precision that a stage computes with."""

    device: torch.device
    dtype: torch.dtype
    """What autocast multiplies in: torch.float32 or torch.bfloat16."""

    def autocast(self) -> AbstractContextManager[None]:
        """Mixed precision where `dtype` is bfloat16, nothing otherwise."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def images(self, images: torch.Tensor) -> torch.Tensor:
        """Move images [N, C, H, W] to the device, with channels last in memory, which convolutions prefer."""
        return images.to(self.device, memory_format=torch.channels_last, non_blocking=True)

    def network(self, network: Network) -> Network:
        """Move a network to the device, its weights with channels last in memory."""
        # torch's stubs lack this overload of Module.to
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def describe(self) -> str:
        """Name what decides the bits of results on this machine: processor, device and precision."""
        capability = torch.backends.cpu.get_cpu_capability()
        device = "cpu" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        return f"{platform.machine()} {capability} {device} {self.dtype}"


def prepare(params: ComputeParams) -> Compute:
    """Seed every generator, pin the threads, choose device and precision. Call first, after all imports.

    The device is the first that can be seen: whoever shares them out sets CUDA_VISIBLE_DEVICES.
    """
    seed_generators(params.seed)
    torch.manual_seed(params.seed)
    pin_threads(params.threads)
    torch.set_num_threads(params.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        _repeat_on_cuda(params.deterministic)
    return Compute(device=device, dtype=_dtype(params.precision, device))


def _repeat_on_cuda(deterministic: bool) -> None:
    # cuBLAS repeats itself only with a workspace of fixed size; read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False  # it would choose kernels by their times
    torch.backends.cudnn.deterministic = deterministic
    torch.use_deterministic_algorithms(deterministic)
    # Filling fresh memory finds reads of what was never written; it costs a pass over it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # Without native instructions bfloat16 is emulated, far slower than float32.
    native: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def to_unit(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Pictures uint8 [N, H, W, C] as float32 [N, C, H, W] in 0..1."""
    # A view of the same memory, so that channels stay last there: convolutions want it so.
    return torch.tensor(images).permute(0, 3, 1, 2).float().div_(255)
