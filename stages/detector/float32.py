"""What keeps boxes exact where autocast multiplies in bfloat16, which has eight bits."""

from typing import Any, TypeVar

from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)


def in_float32(layer: Layer) -> Layer:
    """The layer, whose outputs (tensors in lists, tuples and dictionaries) are float32 from now on.

    torchvision decodes and matches boxes in the type of what its heads predict. In bfloat16 their coordinates
    would lie on a grid: of a quarter of a pixel at 32 pixels, and of 4 pixels above 512.
    """
    layer.register_forward_hook(lambda _layer, _inputs, outputs: _cast(outputs))
    return layer


def _cast(outputs: Any) -> Any:
    match outputs:
        case Tensor():
            return outputs.float()
        case dict():
            return {name: _cast(output) for name, output in outputs.items()}
        case _:
            return type(outputs)(map(_cast, outputs))
