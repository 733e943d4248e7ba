"""Trained models for new pictures, with the form of the pictures on which they were trained.

The model file must agree with section `preprocess` of the params.yaml with which the model was trained.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from stages.classifier.network import attributes_of, build_classifier
from stages.core.errors import LibraryError, ModelError, ParamsError
from stages.core.libraries import check_libraries
from stages.core.params import AUTO, ComputeParams, load_params
from stages.detector.network import build_detector
from stages.intake.form import Form
from stages.networks.compute import Compute, prepare
from stages.networks.model_files import load_model, why_no_model
from stages.sources.composed import ComposedParams
from stages.sources.params import CropsParams
from stages.sources.preparation import BoxSource, PreprocessParams, form_of


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A trained network and the form of the pictures that it was trained on."""

    network: nn.Module
    config: dict[str, Any]
    form: Form


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModels:
    """The trained models that pictures are shown to."""

    classifier: TrainedModel | None
    detector: TrainedModel | None
    compute: Compute
    release: str

    @property
    def about(self) -> dict[str, Any]:
        """The release and the classes of the models, which stand beside their predictions."""
        labels = [model.config["classes"] if model else [] for model in (self.classifier, self.detector)]
        about = {"release": self.release, "labels": labels[0], "box_labels": labels[1]}
        names = attributes_of(self.classifier.config) if self.classifier else []
        return about | ({"attributes": names} if names else {})


def load_models(params: Path, classifier: Path | None, detector: Path | None, release: str) -> TrainedModels:
    """Load the models that are given, with the form that their pictures are brought to.

    A file that stands for a model that was not wanted is as good as none.

    Raises:
        ParamsError: Neither is given, or params.yaml does not fit.
        ModelError: A file that is no such model, or was trained on pictures of another form.

    """
    if classifier is None and detector is None:
        raise ParamsError("--classifier, --detector: give at least one of them")
    classifier, detector = wanted(classifier), wanted(detector)
    preprocess = load_params(params, "preprocess", PreprocessParams)
    compute = prepare(load_params(params, "compute", ComputeParams))
    try:
        check_libraries(params)
    except LibraryError as error:  # no reason to let pictures wait
        print(f"warning: predictions may differ in their last digits: {error}", file=sys.stderr)
    classified = preprocess.classification
    by_whole = classifier is not None and not isinstance(classified, CropsParams)
    if detector is None and classifier is None:
        raise ParamsError("--classifier, --detector: neither file holds a model; train one of them")
    if detector is None and not by_whole:
        raise ParamsError(
            "--classifier: it was trained on crops of boxes; give a --detector, which finds them"
        )
    return TrainedModels(
        classifier=classifier_of(classifier, preprocess, compute) if classifier and by_whole else None,
        detector=detector_of(detector, preprocess, compute) if detector else None,
        compute=compute,
        release=release,
    )


def wanted(path: Path | None) -> Path | None:
    """The model file that is given, unless it stands for a model that was not wanted.

    Raises:
        ModelError: The file cannot be read, or is no model file.

    """
    return None if path is None or why_no_model(path) else path


def classifier_of(path: Path, preprocess: PreprocessParams, compute: Compute) -> TrainedModel:
    """The classifier in a model file, for whole pictures.

    Raises:
        ModelError: The file is no classifier's, or was trained on pictures of another form.

    """
    network, config = _load(path, "classifier", build_classifier, compute)
    trained = (*config["size"], len(config["mean"]))
    params = preprocess.classification
    if isinstance(params, CropsParams):
        raise ModelError(
            f"{path}: was trained on crops of boxes, so it says nothing of whole pictures; detect"
        )
    if params is None:
        raise ModelError(
            f"{path}: holds a classifier, but preprocess.classification is null; give its params.yaml"
        )
    form = form_of(params, preprocess.policy, trained)
    _require_form(path, form, trained)
    return TrainedModel(network=network, config=config, form=form)


def detector_of(path: Path, preprocess: PreprocessParams, compute: Compute) -> TrainedModel:
    """The detector in a model file.

    Raises:
        ModelError: The file is no detector's, or was trained on pictures of another form.

    """
    network, config = _load(path, "detector", build_detector, compute)
    params = preprocess.detection
    if params is None:
        raise ModelError(f"{path}: holds a detector, but preprocess.detection is null; give its params.yaml")
    size = config.get("size", _stated_size(params))  # models that older versions wrote do not have theirs
    if size == AUTO:
        raise ModelError(
            f"{path}: neither it nor section preprocess says of which size its pictures were; train it again"
        )
    trained = (*size, config["channels"])
    form = form_of(params, preprocess.policy, trained)
    _require_form(path, form, trained)
    return TrainedModel(network=network, config=config, form=form)


def _stated_size(params: ComposedParams | BoxSource) -> list[int] | str:
    """Height and width, or auto."""
    if not isinstance(params, ComposedParams):
        return params.shape
    return params.side if isinstance(params.side, str) else [params.side, params.side]


def _load(
    path: Path, kind: str, build: Callable[[dict[str, Any]], nn.Module], compute: Compute
) -> tuple[nn.Module, dict[str, Any]]:
    """The network on its device, and the config that it was built from."""
    held: dict[str, Any] = {}

    def build_and_keep(config: dict[str, Any]) -> nn.Module:
        held.update(config)
        return build(config)

    network = load_model(path, kind=kind, build=build_and_keep)
    return compute.network(network), held


def _require_form(path: Path, form: Form, trained: tuple[int, int, int]) -> None:
    asked = (form.height, form.width, form.channels)
    if asked != trained:
        raise ModelError(
            f"{path}: was trained on pictures of {' x '.join(map(str, trained))}, section preprocess says"
            f" {' x '.join(map(str, asked))}; run the pipeline and release again"
        )
