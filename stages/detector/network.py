"""The detectors: torchvision's parts, lean enough for a CPU; one way to build, load and ask them.

Built from a config alone, so that a model file needs no other:
    classes   ["T-shirt/top", ...]: a label is an index into them
    channels  of the pictures
    network   section `network` of the params, anchors fitted
    calibration  slope and offset of the scores' `LogisticCalibration`, if there is one
    part      configs of the trained networks in it, if any: under `proposals` the detector that makes them,
              under `classifier` that which crops go through
"""

from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

from stages.core.packed import Split
from stages.detector.backbones import Backbone
from stages.detector.params import (
    FasterRcnnParams,
    FastRcnnParams,
    FileProposalsParams,
    FreshClassifierParams,
    ProposalsParams,
    RCnnParams,
    SsdParams,
    TrainedProposalsParams,
    network_params,
)
from stages.detector.proposals import (
    Boxes,
    GivenProposals,
    LearntProposals,
    Regions,
    Targets,
    TrainedProposals,
    read_proposals,
)
from stages.detector.roi_heads import crop_heads, pooled_heads
from stages.detector.ssd import build_ssd
from stages.networks.calibration import LogisticCalibration
from stages.networks.compute import Compute, to_unit
from stages.networks.model_files import load_model

Detector: TypeAlias = "GeneralizedRCNN | SSD"
"""A detector has an attribute `config`, from which `build_detector` builds it again."""
Detection = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]


class _Stack(nn.Module):
    """Replaces torchvision's transform, which resizes picture by picture: all here are of one size.

    Pictures [C, H, W] with values from 0 to 1 become one batch with values from -2 to 2.
    """

    def forward(self, images: list[Tensor], targets: Targets | None) -> tuple[ImageList, Targets | None]:
        batch = torch.stack(images).sub(0.5).mul(4).contiguous(memory_format=torch.channels_last)
        return ImageList(batch, [(batch.shape[-2], batch.shape[-1])] * len(images)), targets

    def postprocess(self, detections: Targets, _sizes: object, _original_sizes: object) -> Targets:
        """Boxes are in the pictures' own pixels already."""
        return detections


class _WholePicture(nn.Module):
    """Replaces the backbone where the pictures themselves are cropped."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"picture": images}


def build_detector(config: dict[str, Any]) -> Detector:
    """A detector with fresh weights; the module's docstring names the config's keys.

    torchvision counts the background as class 0, so inside the network labels are one higher; `detect` and
    `to_targets` translate.

    Raises:
        ParamsError: Strides or anchors do not go with each other.

    """
    params, channels, classes = network_params(config["network"]), config["channels"], len(config["classes"])
    part = config.get("part", {})
    match params:
        case FasterRcnnParams():
            strides = {params.rpn_stride, params.roi_stride}
            backbone = Backbone(channels, params.backbone, params.features, sorted(strides))
            network = GeneralizedRCNN(
                backbone, LearntProposals(params), pooled_heads(classes, params), _Stack()
            )
        case FastRcnnParams():
            backbone = Backbone(channels, params.backbone, params.features, [params.roi_stride])
            given = _given(params.proposals, part)
            network = GeneralizedRCNN(backbone, given, pooled_heads(classes, params), _Stack())
        case RCnnParams():
            given = _given(params.proposals, part)
            heads = crop_heads(classes, params, _classifier_config(params, channels, part))
            network = GeneralizedRCNN(_WholePicture(), given, heads, _Stack())
        case SsdParams():
            network = build_ssd(channels, classes, params, _Stack())
    network.config = config
    return network


def _given(params: ProposalsParams, part: dict[str, Any]) -> GivenProposals:
    if not isinstance(params, TrainedProposalsParams):
        return GivenProposals(Regions(params.count))
    trained = build_detector(part["proposals"])
    return GivenProposals(TrainedProposals(trained.backbone, trained.rpn, params.count))


def _classifier_config(params: RCnnParams, channels: int, part: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(params.classifier, FreshClassifierParams):
        config: dict[str, Any] = part["classifier"]
        return config
    return {
        "classes": [""],  # its head is left out
        "mean": [0.5] * channels,
        "std": [0.25] * channels,
        "size": params.classifier.crop,
        "network": params.classifier.network.model_dump(),
        "views": 1,
    }


def load_detector(path: Path) -> Detector:
    """The detector that train-detector wrote, in evaluation mode, on the CPU.

    Raises:
        ModelError: The file is missing, or holds no detector.

    """
    return load_model(path, kind="detector", build=build_detector)


def given_proposals(config: dict[str, Any], split: Split, pictures: int) -> list[Boxes] | None:
    """The split's proposals, where the detector of this config takes them from a file.

    Raises:
        ModelError: The file of proposals is missing, or has another hash.
        DataError: The file does not list proposals of so many pictures.

    """
    params = network_params(config["network"])
    if isinstance(params, FastRcnnParams | RCnnParams) and isinstance(params.proposals, FileProposalsParams):
        return read_proposals(params.proposals, split, pictures)
    return None


def to_targets(
    boxes: list[npt.NDArray[np.float32]],
    labels: list[npt.NDArray[np.int64]],
    compute: Compute,
    proposals: list[Boxes] | None = None,
) -> Targets:
    """Boxes [K, 4] (xyxy, pixels) and labels [K] of each picture as the network takes them.

    `proposals` [P, 4] of each picture, if they are given.
    """
    targets = [
        {
            "boxes": torch.from_numpy(picture_boxes).to(compute.device),
            "labels": torch.from_numpy(picture_labels).to(compute.device) + 1,
        }
        for picture_boxes, picture_labels in zip(boxes, labels, strict=True)
    ]
    for target, given in zip(targets, proposals or [], strict=proposals is not None):
        target["proposals"] = torch.from_numpy(given).to(compute.device)
    return targets


@torch.inference_mode()
def detect(
    network: nn.Module,
    images: npt.NDArray[np.uint8],
    compute: Compute,
    batch_size: int,
    proposals: list[Boxes] | None = None,
) -> list[Detection]:
    """Items found in each of the pictures [N, H, W, C], the surest first.

    A picture's detections are boxes [K, 4] (xyxy, pixels), labels [K] (indices into the classes) and
    scores [K], calibrated where the network is. `proposals` are `given_proposals`. The network is left in
    evaluation mode.

    Raises:
        ModelError: What the network predicts is not finite.

    """
    network.eval()
    calibration = LogisticCalibration(**cast("dict[str, Any]", network.config).get("calibration", {}))
    found: list[Detection] = []
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        batch = compute.images(to_unit(images[rows]))
        given = None if proposals is None else proposals_alone(proposals[rows], compute)
        with compute.autocast():
            results = network(list(batch), given)
        found += [_to_arrays(result, calibration) for result in results]
    return found


def proposals_alone(proposals: list[Boxes], compute: Compute) -> Targets:
    """Targets of pictures whose boxes are not known."""
    count = len(proposals)
    boxes, labels = [np.zeros((0, 4), np.float32)] * count, [np.zeros(0, np.int64)] * count
    return to_targets(boxes, labels, compute, proposals)


def _to_arrays(result: dict[str, Tensor], calibration: LogisticCalibration) -> Detection:
    return (
        result["boxes"].float().cpu().numpy(),
        (result["labels"] - 1).cpu().numpy(),
        calibration(result["scores"].float().cpu().numpy()),
    )
