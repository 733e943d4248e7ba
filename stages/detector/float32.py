"""What keeps boxes exact where autocast multiplies in bfloat16, which has eight bits."""

from typing import Any, TypeVar

from torch import Tensor, nn

from stages.core.errors import ModelError

Layer = TypeVar("Layer", bound=nn.Module)


def in_float32(layer: Layer) -> Layer:
    """The layer, whose outputs (tensors in lists, tuples and dictionaries) are float32 from now on.

    torchvision decodes and matches boxes in the type of what its heads predict. In bfloat16 their coordinates
    would lie on a grid: of a quarter of a pixel at 32 pixels, and of 4 pixels above 512.

    In evaluation mode it raises a `ModelError` where one of them is not finite: torchvision drops such boxes.
    """
    layer.register_forward_hook(lambda layer, _inputs, outputs: _cast(outputs, checked=not layer.training))
    return layer


def _cast(outputs: Any, *, checked: bool) -> Any:
    match outputs:
        case Tensor():
            if checked and not outputs.isfinite().all():
                raise ModelError(
                    "the detector predicts scores or boxes that are not finite; train it again, or set "
                    "compute.precision to float32"
                )
            return outputs.float()
        case dict():
            return {name: _cast(output, checked=checked) for name, output in outputs.items()}
        case _:
            return type(outputs)(_cast(output, checked=checked) for output in outputs)
