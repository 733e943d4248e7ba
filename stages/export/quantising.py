"""An exported network in eight bits: smaller, and faster if the processor multiplies eight-bit numbers.

Static quantisation by onnxruntime (B. Jacob et al. 2017, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", https://arxiv.org/abs/1712.05877). The ranges of activations are
measured on pictures of the validation split.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.export.formats import INPUT, Pictures, with_metadata

OPERATORS = ("Conv", "Gemm", "MatMul")
"""What is multiplied in eight bits; boxes and probabilities stay exact."""

CALIBRATION_PICTURES = 100
_BATCH = 10


class _Shown:
    """The pictures, batch by batch, as onnxruntime asks for them."""

    def __init__(self, pictures: Pictures) -> None:
        self._batches: Iterator[Pictures] = (
            pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)
        )

    def get_next(self) -> dict[str, Pictures] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def in_eight_bits(content: bytes, pictures: Pictures, metadata: Mapping[str, Any]) -> bytes:
    """An ONNX model whose layers are quantised; `pictures` [N, H, W, C] are those that set the ranges."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory(prefix="darkroom-") as scratch:
        given, made = Path(scratch, "given.onnx"), Path(scratch, "made.onnx")
        given.write_bytes(content)
        quantize_static(
            given,
            made,
            _Shown(pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return with_metadata(onnx.load(made), metadata)
