"""Makes a file for another runtime from a model file, and compares both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from stages.core.errors import DataError, ParamsError
from stages.core.files import write_atomically
from stages.core.packed import Split
from stages.core.params import ComputeParams, load_params
from stages.export.comparison import AnswerComparison
from stages.export.formats import (
    Answers,
    Ask,
    Pictures,
    ask_onnx,
    ask_openvino,
    ask_torch_export,
    onnx_bytes,
    openvino_bytes,
    torch_export_bytes,
    traced,
    write_openvino,
)
from stages.export.quantising import CALIBRATION_PICTURES, in_eight_bits
from stages.export.targets import Format, require_libraries
from stages.export.tasks import Task, task_of
from stages.networks.compute import prepare
from stages.prediction.models import TrainedModel, classifier_of, detector_of
from stages.sources.preparation import PreprocessParams

COMPARED_PICTURES = 100
_BATCH = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantised:
    """What eight bits cost, on the pictures that were compared."""

    figure: str
    """The figure's name: accuracy or mAP."""
    exact: float
    """The figure in float32."""
    quantised: float
    """The figure in eight bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What has been written."""

    path: Path
    size: int
    """The size in bytes, with OpenVINO's .bin."""
    comparison: AnswerComparison | None
    """The comparison with the model; None: the packed test split is not here."""
    quantised: Quantised | None = None


def export_model(
    kind: str,
    model: Path,
    *,
    params: Path,
    to: Format,
    out: Path,
    data: Path,
    int8: bool = False,
    about: Mapping[str, Any] | None = None,
) -> Exported:
    """Write a trained classifier or detector (`kind`) for another runtime, if it answers there as here.

    `data` is the folder that preprocess has packed for the task: its test split is what the answers are
    compared on, its validation split sets the ranges of eight-bit numbers. `about` joins the metadata.

    Raises:
        LibraryError: What the format needs is not installed.
        ParamsError: `int8` is asked for in a format that has none.
        ModelError: The model cannot be exported, or answers otherwise there.
        DataError: What preprocess packed is needed and not here.

    """
    require_libraries(to)
    if int8 and to is not Format.ONNX:
        raise ParamsError(f"--int8: is for --to onnx alone; {to} has no eight-bit numbers here")
    preprocess = load_params(params, "preprocess", PreprocessParams)
    compute = prepare(load_params(params, "compute", ComputeParams))
    trained = (classifier_of if kind == "classifier" else detector_of)(model, preprocess, compute)
    metadata = {**_metadata(kind, model, trained), **(about or {})}
    task = task_of(kind, trained)
    test = task.load(data, "test") if _is_packed(data, "test") else None
    program = traced(task.graph(), (trained.form.height, trained.form.width, trained.form.channels))
    content: Any
    if to is Format.TORCH_EXPORT:
        content = torch_export_bytes(program, metadata)
        ask = ask_torch_export(content)
    else:
        content = onnx_bytes(program, task.outputs, metadata)
        if to is Format.OPENVINO:
            content = openvino_bytes(content, metadata)
        ask = ask_onnx(content) if to is Format.ONNX else ask_openvino(content)
    comparison, quantised = None, None
    if test is not None:
        pictures = test.images[:COMPARED_PICTURES]
        exact = _asked(ask, pictures)
        comparison = task.compare(pictures, exact)
        comparison.require()
    if int8:
        content = in_eight_bits(content, _ranges(task, data), metadata)
        if test is not None:
            coarse = _asked(ask_onnx(content), pictures)
            quantised = Quantised(
                figure=task.figure, exact=task.judge(exact, test), quantised=task.judge(coarse, test)
            )
    size = sum(map(len, content)) if isinstance(content, tuple) else len(content)
    if isinstance(content, tuple):
        write_openvino(out, content)
    else:
        write_atomically(out, content)
    return Exported(path=out, size=size, comparison=comparison, quantised=quantised)


def _metadata(kind: str, model: Path, trained: TrainedModel) -> dict[str, Any]:
    """What who uses the file must know: what goes in, what comes out, and where it is from."""
    form, config = trained.form, trained.config
    return {
        "kind": kind,
        "classes": config["classes"],
        **({key: config[key] for key in ("attributes", "thresholds") if key in config}),
        "input": {
            "pictures": ["N", form.height, form.width, form.channels],
            "type": "uint8",
            "colours": "RGB" if form.channels == 3 else "grey",
            "fit": form.fit,
            "ground": form.ground,
        },
        "network": config["network"],
        "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "libraries": {"torch": torch.__version__, "torchvision": torchvision.__version__},
    }


def _is_packed(data: Path, split: Split) -> bool:
    return (data / split).is_dir()


def _ranges(task: Task, data: Path) -> Pictures:
    """The pictures on which the ranges of eight-bit numbers are measured.

    Raises:
        DataError: There are none here.

    """
    if not _is_packed(data, "val"):
        mend = "`darkroom run preprocess` or `dvc pull` brings it"
        raise DataError(f"--int8: {data / 'val'} is not here; {mend}")
    pictures: Pictures = task.load(data, "val").images[:CALIBRATION_PICTURES]
    return pictures


def _asked(ask: Ask, pictures: Pictures) -> Answers:
    """The answers for all pictures, which go in a few at a time."""
    parts = [ask(np.array(pictures[start : start + _BATCH])) for start in range(0, len(pictures), _BATCH)]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
