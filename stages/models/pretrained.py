"""Pretrained weights from a file, taken into a classifier whose head is its own.

Which file is said by its content's hash, so that params.yaml tells which weights a result began with.
"""

import hashlib
import io
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from stages.errors import ModelError
from stages.models.classifier import Classifier
from stages.models.trunks import NetworkParams, ResNetParams, TimmParams, WeightsParams

RESNET = {"conv1": "stages.0.0", "bn1": "stages.0.1"} | {f"layer{n}": f"stages.{n}" for n in range(1, 5)}
"""Where torchvision's layers are in the classifier."""


def load_pretrained(network: Classifier, params: NetworkParams) -> None:
    """Take over the weights that `params` name, if any; all but the head must be there.

    First weights for three colours are summed for grey pictures: what they make of a grey picture in colour.

    Raises:
        ModelError: no such file, of another hash, unreadable, or of another network.

    """
    if not isinstance(params, ResNetParams | TimmParams) or params.weights is None:
        return
    found = {_place(name, params): weight for name, weight in read_weights(params.weights).items()}
    own = {name: weight for name, weight in network.state_dict().items() if not name.startswith("head.")}
    path = params.weights.file
    if absent := [name for name in own if name not in found]:
        raise ModelError(
            f"{path}: of another network: lacks {len(absent)} of its weights, such as {absent[0]}"
        )
    fit = {name: fitting(found[name], weight) for name, weight in own.items()}
    if others := [name for name in own if fit[name].shape != own[name].shape]:
        name = others[0]
        shapes = f"{list(found[name].shape)}, where this one has {list(own[name].shape)}"
        raise ModelError(f"{path}: of another network: {name} is {shapes}")
    network.load_state_dict(fit, strict=False)


def read_weights(params: WeightsParams) -> dict[str, Tensor]:
    """Tensors by name; reading runs no code.

    Raises:
        ModelError: no such file, of another hash, or no tensors by name.

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


def _place(name: str, params: ResNetParams | TimmParams) -> str:
    """Where in the classifier what the file calls `name` belongs."""
    if isinstance(params, TimmParams):
        return f"stages.0.network.{name}"
    layer, _, rest = name.partition(".")
    return f"{RESNET.get(layer, layer)}.{rest}"


def fitting(found: Tensor, own: Tensor) -> Tensor:
    """`found`; of first kernels [W, 3, h, w] for colour, where `own` are for grey, the sum over colours."""
    grey = found.ndim == own.ndim == 4 and found.shape[1] == 3 and own.shape[1] == 1
    return found.sum(dim=1, keepdim=True) if grey else found


def read_file(params: WeightsParams) -> bytes:
    """The file's content, which is what params.yaml says it is.

    Raises:
        ModelError: no such file, or of another hash.

    """
    try:
        content = Path(params.file).read_bytes()
    except OSError as error:
        raise ModelError(f"{params.file}: {error.strerror}; params.yaml names it with its hash") from None
    if (digest := hashlib.sha256(content).hexdigest()) != params.sha256:
        raise ModelError(f"{params.file}: its sha256 is {digest}, params.yaml asks for {params.sha256}")
    return content
