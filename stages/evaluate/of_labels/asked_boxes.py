"""What a detector says is in boxes that it is given, such as those that people drew."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from stages.detector.network import Detector
from stages.networks.compute import Compute, to_unit

Boxes = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@torch.inference_mode()
def class_probabilities(
    network: Detector,
    images: npt.NDArray[np.uint8],
    boxes: Sequence[Boxes],
    compute: Compute,
    batch_size: int,
) -> list[Floats] | None:
    """Probabilities [M, 1 + K] of nothing and of each of the K classes in each picture's boxes [M, 4].

    Boxes are xyxy in pixels of the pictures [N, H, W, C]. None: the network has no heads that boxes could be
    put before, as an ssd, which knows its own anchors alone.
    """
    if not isinstance(network, GeneralizedRCNN):
        return None
    network.eval()
    found: list[Floats] = []
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        asked = [torch.from_numpy(one).to(compute.device) for one in boxes[rows]]
        counts = [len(one) for one in asked]
        if not sum(counts):
            found += [np.empty((0, len(cast("Any", network).config["classes"]) + 1))] * len(counts)
            continue
        heads = network.roi_heads
        with compute.autocast():
            batch, _ = network.transform(list(compute.images(to_unit(images[rows]))), None)
            maps = network.backbone(batch.tensors)
            pooled = heads.box_roi_pool(maps, asked, batch.image_sizes)
            logits, _ = heads.box_predictor(heads.box_head(pooled))
        probabilities = torch.softmax(logits.float(), dim=1).double().cpu().numpy()
        found += np.split(probabilities, np.cumsum(counts)[:-1])
    return found
