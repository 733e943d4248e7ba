"""A file of weights in the form of torchvision's inception_v3, for tests that have not the trained ones."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torchvision.models import inception_v3

from stages.core.params import WeightsParams


def random_weights(folder: Path) -> WeightsParams:
    torch.manual_seed(0)
    path = folder / "inception_v3.safetensors"
    save_file(inception_v3(weights=None, init_weights=False, aux_logits=True).state_dict(), path)
    return named(path)


def named(path: Path) -> WeightsParams:
    return WeightsParams(file=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
