"""Pretrained weights from a file, taken into a classifier whose heads are its own.

Which file is said by its content's hash, so that params.yaml tells which weights a result began with.
"""

from stages.classifier.network import Classifier
from stages.classifier.params import NetworkParams, ResNetParams, TimmParams
from stages.core.errors import ModelError
from stages.networks.weights import fitting, read_weights

RESNET = {"conv1": "stages.0.0", "bn1": "stages.0.1"} | {f"layer{n}": f"stages.{n}" for n in range(1, 5)}
"""Where torchvision's layers are in the classifier."""
HEADS = ("head.", "attribute_head.")


def load_pretrained(network: Classifier, params: NetworkParams) -> None:
    """Take over the weights that `params` name, if any; all but the heads must be there.

    First weights for three colours are summed for grey pictures: what they make of a grey picture in colour.

    Raises:
        ModelError: The file is missing, unreadable, of another hash or of another network.

    """
    if not isinstance(params, ResNetParams | TimmParams) or params.weights is None:
        return
    found = {_place(name, params): weight for name, weight in read_weights(params.weights).items()}
    own = {name: weight for name, weight in network.state_dict().items() if not name.startswith(HEADS)}
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


def _place(name: str, params: ResNetParams | TimmParams) -> str:
    """Where in the classifier what the file calls `name` belongs."""
    if isinstance(params, TimmParams):
        return f"stages.0.network.{name}"
    layer, _, rest = name.partition(".")
    return f"{RESNET.get(layer, layer)}.{rest}"
