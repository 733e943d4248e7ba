"""The formats of exported networks, and what each format needs."""

from enum import StrEnum
from importlib.util import find_spec

from stages.core.errors import LibraryError


class Format(StrEnum):
    """The formats by the names of `--to`."""

    ONNX = "onnx"
    TORCH_EXPORT = "torch-export"
    OPENVINO = "openvino"

    @property
    def suffix(self) -> str:
        """The suffix of its file."""
        return {Format.ONNX: ".onnx", Format.TORCH_EXPORT: ".pt2", Format.OPENVINO: ".xml"}[self]

    @property
    def libraries(self) -> tuple[str, ...]:
        """What must be installed to write it and to ask it."""
        onnx = ("onnx", "onnxscript", "onnxruntime")
        return {Format.ONNX: onnx, Format.TORCH_EXPORT: (), Format.OPENVINO: (*onnx[:2], "openvino")}[self]


def require_libraries(form: Format) -> None:
    """Look whether what the format needs is installed.

    Raises:
        LibraryError: It is not.

    """
    missing = [name for name in form.libraries if find_spec(name) is None]
    if missing:
        extra = "openvino" if form is Format.OPENVINO else "export"
        raise LibraryError(
            f"--to {form}: {', '.join(missing)} not installed; pip install 'darkroom[{extra}]'"
        )
