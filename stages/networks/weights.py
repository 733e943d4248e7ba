"""Weights of networks from files of other libraries, identified by the hash of their content."""

import hashlib
import io
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from stages.core.errors import ModelError
from stages.core.params import WeightsParams


def read_weights(params: WeightsParams) -> dict[str, Tensor]:
    """Read tensors by name; reading runs no code.

    Raises:
        ModelError: No such file, of another hash, or no tensors by name.

    """
    content = read_file(params)
    try:
        if params.file.endswith(".safetensors"):
            return safetensors.torch.load(content)
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file: what torch raises then is any class
        raise ModelError(f"{params.file}: no weights ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(weights, dict) or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise ModelError(f"{params.file}: no weights: a table of tensors by name is wanted (a state_dict)")
    return weights


def fitting(found: Tensor, own: Tensor) -> Tensor:
    """Adapt a weight from a file to the network's `own` of the same name.

    First kernels [W, 3, h, w] for colour are summed over colours where the network's are for grey; every
    other weight stays as it is.
    """
    grey = found.ndim == own.ndim == 4 and found.shape[1] == 3 and own.shape[1] == 1
    return found.sum(dim=1, keepdim=True) if grey else found


def read_file(params: WeightsParams) -> bytes:
    """Read the content of the file, whose hash is the one that params.yaml states.

    Raises:
        ModelError: No such file, or of another hash.

    """
    try:
        content = Path(params.file).read_bytes()
    except OSError as error:
        raise ModelError(f"{params.file}: {error.strerror}; params.yaml names it with its hash") from None
    if (digest := hashlib.sha256(content).hexdigest()) != params.sha256:
        raise ModelError(f"{params.file}: its sha256 is {digest}, params.yaml asks for {params.sha256}")
    return content
