"""The losses of a detector on val, and its precision there."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stages.core.packed import DetectionSplit
from stages.detector.average_precision import AveragePrecision, Precision, average_precision, precision
from stages.detector.network import detect, to_targets
from stages.networks.calibration import LogisticCalibration, fitted_logistic
from stages.networks.compute import Compute, to_unit
from stages.train_detector.batches import Boxes, Shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The val split, with its proposals where they are given."""

    split: DetectionSplit
    proposals: list[Boxes] | None


def losses_of(network: nn.Module, shown: Shown, compute: Compute) -> dict[str, Tensor]:
    """The losses of a network in training mode, by name."""
    targets = to_targets(shown.boxes, shown.labels, compute, shown.proposals)
    with compute.autocast():
        losses: dict[str, Tensor] = network(list(compute.images(shown.images)), targets)
    return losses


@torch.no_grad()
def validation_loss(network: nn.Module, held: Held, compute: Compute, batch_size: int) -> float:
    """The mean, over the pictures of val, of the sum of the losses.

    The networks tell losses in training mode alone; normalisations are kept as they are in use. Which anchors
    and proposals count is drawn at random: the same ones at every validation, so that no draw of training
    depends on when it is validated.
    """
    network.train()
    for layer in network.modules():
        if not list(layer.children()):  # normalisation, dropout
            layer.eval()
    total = 0.0
    split = held.split
    devices = [compute.device] if compute.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        for start in range(0, len(split.images), batch_size):
            rows = slice(start, start + batch_size)
            shown = Shown(
                images=to_unit(split.images[rows]),
                boxes=split.boxes[rows],
                labels=split.labels[rows],
                proposals=None if held.proposals is None else held.proposals[rows],
            )
            losses = losses_of(network, shown, compute)
            total += sum(loss.item() for loss in losses.values()) * len(shown.boxes)
    return total / len(split.images)


def calibration_on(network: nn.Module, held: Held, compute: Compute, batch_size: int) -> LogisticCalibration:
    """What turns the network's scores into how likely its boxes of val are right, at an IoU of .50."""
    found = _precision(network, held, compute, batch_size).found
    scores = np.concatenate([detections.scores for detections in found])
    right = np.concatenate([detections.right[0] for detections in found])
    return fitted_logistic(scores, right)


def evaluate(network: nn.Module, held: Held, compute: Compute, batch_size: int) -> AveragePrecision:
    """COCO's average precision of the network on val."""
    return average_precision(_precision(network, held, compute, batch_size))


def _precision(network: nn.Module, held: Held, compute: Compute, batch_size: int) -> Precision:
    split = held.split
    detections = detect(network, split.images, compute, batch_size, held.proposals)
    return precision(detections, split.boxes, split.labels, split.classes)
