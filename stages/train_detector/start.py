"""What a detector starts from: fitted anchors, trained parts, pretrained weights and frozen layers."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans
from torch import nn

from stages.classifier.network import Classifier, load_classifier
from stages.core.errors import DataError, ModelError
from stages.core.packed import DetectionSplit
from stages.core.params import WeightsParams
from stages.detector.network import Detector, load_detector
from stages.detector.params import (
    AnyDetectorParams,
    FasterRcnnParams,
    FastRcnnParams,
    FittedParams,
    RCnnParams,
    ResNetBackboneParams,
    SsdParams,
    TrainedClassifierParams,
    TrainedProposalsParams,
)
from stages.networks.weights import fitting, read_file, read_weights

TORCHVISION = {"conv1": "backbone.stem.0", "bn1": "backbone.stem.1"} | {
    f"layer{number + 1}": f"backbone.stages.{number}" for number in range(4)
}
"""Where the layers of torchvision's ResNet are in a detector."""

OF_CLASSES = ("roi_heads.box_predictor.", "head.classification_head.")
"""Layers whose shape depends on the classes; those of other detectors are never taken over."""


def detector_config(params: AnyDetectorParams, train: DetectionSplit) -> dict[str, Any]:
    """What `build_detector` builds the network from.

    Raises:
        DataError: There is no box to fit anchors to.
        ModelError: A trained part cannot be read, or is of another kind.

    """
    part: dict[str, Any] = {}
    if isinstance(params, FastRcnnParams | RCnnParams) and isinstance(
        params.proposals, TrainedProposalsParams
    ):
        part["proposals"] = trained_proposals(params.proposals).config
    if isinstance(params, RCnnParams) and isinstance(params.classifier, TrainedClassifierParams):
        part["classifier"] = trained_classifier(params.classifier).config
    return {
        "classes": train.classes,
        "size": list(train.images.shape[1:3]),
        "channels": train.images.shape[3],
        "network": with_fitted_anchors(params, train.boxes).model_dump(),
        "part": part,
    }


def with_fitted_anchors(params: AnyDetectorParams, boxes: list[npt.NDArray[np.float32]]) -> AnyDetectorParams:
    """`params` with lists where values were to be fitted to the boxes.

    Raises:
        DataError: There is no box.

    """
    if not isinstance(params, FasterRcnnParams | SsdParams):
        return params
    changed = {}
    sides = np.concatenate([np.zeros((0, 2)), *(box[:, 2:] - box[:, :2] for box in boxes)])  # width, height
    if isinstance(params.anchor_sizes, FittedParams):
        changed["anchor_sizes"] = clusters(np.sqrt(sides.prod(axis=1)), params.anchor_sizes.fitted)
    if isinstance(params.anchor_ratios, FittedParams):
        changed["anchor_ratios"] = clusters(sides[:, 1] / sides[:, 0], params.anchor_ratios.fitted)
    return params.model_copy(update=changed)


def clusters(values: npt.NDArray[np.floating], count: int) -> list[float]:
    """Find at most `count` centres of positive values by k-means, in rising order.

    J. Redmon, A. Farhadi 2017, "YOLO9000: Better, Faster, Stronger", section 2. Here of their logarithms: how
    far boxes overlap depends on the ratio of their sides, not on the difference.

    Raises:
        DataError: There is no value.

    """
    if not len(values):
        raise DataError("no training picture has a box to fit anchors to; add annotations, or name the sizes")
    logarithms = np.log(values.astype(np.float64))
    first = np.unique(np.quantile(logarithms, (np.arange(count) + 0.5) / count))
    if len(first) == 1:  # which scipy would take for a number of clusters
        return [round(float(np.exp(logarithms.mean())), 3)]
    centres, _ = kmeans(logarithms[:, None], first[:, None])
    return [round(float(centre), 3) for centre in np.sort(np.exp(centres[:, 0]))]


def begin(network: Detector, params: AnyDetectorParams, weights: WeightsParams | None) -> None:
    """Take over the weights of trained parts, and those of a file.

    Raises:
        ModelError: A file cannot be read, has another hash, or is of another network.

    """
    if isinstance(params, FastRcnnParams | RCnnParams) and isinstance(
        params.proposals, TrainedProposalsParams
    ):
        trained = trained_proposals(params.proposals)
        network.rpn.method.backbone.load_state_dict(trained.backbone.state_dict())
        network.rpn.method.rpn.load_state_dict(trained.rpn.state_dict())
    if isinstance(params, RCnnParams) and isinstance(params.classifier, TrainedClassifierParams):
        state = trained_classifier(params.classifier).state_dict()
        without_head = {name: weight for name, weight in state.items() if not name.startswith("head.")}
        network.roi_heads.box_head.classifier.load_state_dict(without_head)
    if weights is not None:
        load_weights(network, params, weights)


def load_weights(network: Detector, params: AnyDetectorParams, weights: WeightsParams) -> None:
    """Take over a detector's weights but those of its classes, or a torchvision ResNet's into the backbone.

    Raises:
        ModelError: A weight is missing, or has another shape.

    """
    found, state = read_weights(weights), network.state_dict()
    own = {name: weight for name, weight in state.items() if not name.startswith(OF_CLASSES)}
    if _is_resnet(params) and "conv1.weight" in found:
        found = {_place(name): weight for name, weight in found.items()}
        body = ("backbone.stem.", "backbone.stages.")
        own = {name: weight for name, weight in own.items() if name.startswith(body)}
    if absent := [name for name in own if name not in found]:
        raise ModelError(
            f"{weights.file}: of another network: lacks {len(absent)} of its weights, such as {absent[0]}"
        )
    fit = {name: fitting(found[name], weight) for name, weight in own.items()}
    if others := [name for name in own if fit[name].shape != own[name].shape]:
        shapes = f"{list(fit[others[0]].shape)}, where this one has {list(own[others[0]].shape)}"
        raise ModelError(f"{weights.file}: of another network: {others[0]} is {shapes}")
    network.load_state_dict(fit, strict=False)


def frozen_parts(network: Detector, count: int) -> list[nn.Module]:
    """The first `count` parts, which shall not learn.

    Of a backbone they are its stem and stages, of r-cnn the classifier's stages and its neck.
    """
    if hasattr(network.backbone, "stages"):
        parts = [network.backbone.stem, *network.backbone.stages]
    else:
        classifier = network.roi_heads.box_head.classifier
        parts = [*classifier.stages, classifier.features_of]
    return parts[:count]


def set_training(network: Detector, frozen: int) -> None:
    """Training mode but for the frozen parts, whose weights and normalisations stay what they are."""
    network.train()
    for part in frozen_parts(network, frozen):
        part.requires_grad_(requires_grad=False).eval()


def trained_proposals(params: TrainedProposalsParams) -> Detector:
    """The faster-rcnn in the file.

    Raises:
        ModelError: The file cannot be read, has another hash, or holds no faster-rcnn.

    """
    read_file(params)
    detector = load_detector(Path(params.file))
    if (model := detector.config["network"]["model"]) != "faster-rcnn":
        raise ModelError(f"{params.file}: holds a detector of model {model}, proposals need a faster-rcnn")
    return detector


def trained_classifier(params: TrainedClassifierParams) -> Classifier:
    """The classifier in the file.

    Raises:
        ModelError: The file cannot be read, has another hash, or holds no classifier.

    """
    read_file(params)
    return load_classifier(Path(params.file))


def _is_resnet(params: AnyDetectorParams) -> bool:
    return isinstance(getattr(params, "backbone", None), ResNetBackboneParams)


def _place(name: str) -> str:
    """Where in the detector what torchvision calls `name` belongs."""
    layer, _, rest = name.partition(".")
    return f"{TORCHVISION.get(layer, layer)}.{rest}"
