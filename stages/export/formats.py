"""The files of exported networks. The same network, metadata and library versions give the same bytes.

onnx: one file, with the metadata under the key `darkroom`
torch-export: a .pt2 archive, with the metadata as its extra file `darkroom.json`; loading needs torch and
    torchvision
openvino: an .xml file with a .bin file beside it, and the metadata in the .xml under `rt_info`
"""

from __future__ import annotations

import io
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from stages.core.files import write_atomically

Pictures = npt.NDArray[np.uint8]
Answers = list[npt.NDArray[Any]]
Ask = Callable[[Pictures], Answers]
"""Shows pictures [N, H, W, C] to an exported network; its outputs, in the order of their names."""

INPUT = "pictures"
METADATA = "darkroom"


def traced(module: nn.Module, size: tuple[int, int, int]) -> ExportedProgram:
    """The graph of a module that takes pictures [N, H, W, C] of one size, for any number N of them."""
    module.eval().requires_grad_(requires_grad=False)
    example = torch.zeros(2, *size, dtype=torch.uint8)  # two: a size of one would become part of the graph
    with _quietly():
        program = torch.export.export(module, (example,), dynamic_shapes=({0: Dim.DYNAMIC},))
        decomposed: ExportedProgram = program.run_decompositions()
    return decomposed


def onnx_bytes(program: ExportedProgram, outputs: Sequence[str], metadata: Mapping[str, Any]) -> bytes:
    """The graph as ONNX."""
    with _quietly():
        exported = torch.onnx.export(
            program, dynamo=True, input_names=[INPUT], output_names=list(outputs), verbose=False
        )
    assert exported is not None
    model = exported.model_proto
    for holder in _parts(model):
        holder.ClearField("metadata_props")  # among them the places of source files on this machine
        holder.ClearField("doc_string")
    return with_metadata(model, metadata)


def with_metadata(model: Any, metadata: Mapping[str, Any]) -> bytes:
    """An ONNX model as bytes, with the metadata in it."""
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA, value=_json(metadata))
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _parts(part: Any) -> Iterator[Any]:
    """The parts of an ONNX model that may have remarks: graphs, functions, nodes, values."""
    if {"metadata_props", "doc_string"} <= set(part.DESCRIPTOR.fields_by_name):
        yield part
    for _, value in part.ListFields():
        for one in value if hasattr(value, "__len__") and not isinstance(value, str | bytes) else [value]:
            if hasattr(one, "ListFields"):
                yield from _parts(one)


def torch_export_bytes(program: ExportedProgram, metadata: Mapping[str, Any]) -> bytes:
    """The graph as torch saves it."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # files of this machine
            node.meta.pop("from_node", None)  # addresses in memory
    buffer = io.BytesIO()
    with _quietly():
        torch.export.save(program, buffer, extra_files={f"{METADATA}.json": _json(metadata)})
    return buffer.getvalue()


def openvino_bytes(onnx: bytes, metadata: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """An ONNX model as OpenVINO's .xml and .bin."""
    openvino = _openvino()
    with tempfile.TemporaryDirectory(prefix="darkroom-") as scratch:
        model = openvino.Core().read_model(_written(Path(scratch, "model.onnx"), onnx))
        model.set_rt_info(_json(metadata), METADATA)
        path = Path(scratch, "model.xml")
        openvino.save_model(model, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def write_openvino(path: Path, content: tuple[bytes, bytes]) -> None:
    """Write both files; the .xml, which names no other, last."""
    write_atomically(path.with_suffix(".bin"), content[1])
    write_atomically(path, content[0])


def ask_onnx(content: bytes) -> Ask:
    """Ask an ONNX model by onnxruntime, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda pictures: list(session.run(None, {INPUT: pictures}))


def ask_torch_export(content: bytes) -> Ask:
    """Ask what torch has saved."""
    module = torch.export.load(io.BytesIO(content)).module()

    def ask(pictures: Pictures) -> Answers:
        found = module(torch.from_numpy(pictures))
        return [output.numpy() for output in (found if isinstance(found, tuple | list) else [found])]

    return ask


def ask_openvino(content: tuple[bytes, bytes]) -> Ask:
    """Ask OpenVINO on the CPU, in float32."""
    core = _openvino().Core()
    model = core.read_model(model=content[0], weights=content[1])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pictures: [np.asarray(compiled(pictures)[output]) for output in compiled.outputs]


def _openvino() -> Any:
    """OpenVINO, without the package by which it tells its makers of each import."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it then takes a stub
    import openvino

    return openvino


def _json(metadata: Mapping[str, Any]) -> str:
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporters' remarks on their own insides, of which a user can change nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
