"""Where the heads' proposals come from: a network trained with them, or what was given."""

import json
from collections.abc import Iterable
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.detector.anchors import Anchors
from stages.detector.float32 import in_float32
from stages.detector.params import FasterRcnnParams, FileProposalsParams
from stages.detector.regions import region_proposals
from stages.networks.weights import read_file

Boxes = npt.NDArray[np.float32]
Targets = list[dict[str, Tensor]]


class LearntProposals(RegionProposalNetwork):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's region proposal network, on the map of one stride."""

    def __init__(self, params: FasterRcnnParams) -> None:
        """`params` with anchors that are fitted already."""
        sizes, ratios = cast("list[float]", params.anchor_sizes), cast("list[float]", params.anchor_ratios)
        anchors = Anchors([sizes], ratios, [params.rpn_stride])
        super().__init__(
            anchors,
            in_float32(RPNHead(params.features, anchors.num_anchors_per_location()[0])),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=params.rpn_batch,
            positive_fraction=0.5,
            pre_nms_top_n={"training": params.proposal_candidates, "testing": params.proposal_candidates},
            post_nms_top_n={"training": params.proposals_train, "testing": params.proposals_test},
            nms_thresh=params.proposal_overlap_max,
        )
        self.stride = str(params.rpn_stride)

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: Targets | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals [P, 4] of each picture, and the losses in training."""
        found: tuple[list[Tensor], dict[str, Tensor]]
        found = super().forward(images, {self.stride: features[self.stride]}, targets)
        return found


class GivenProposals(nn.Module):
    """Replaces a region proposal network: gives the targets' own `proposals`, else those of a method."""

    def __init__(self, method: nn.Module) -> None:
        """`method` makes boxes [P, 4] for each of the pictures [N, C, H, W] with values from -2 to 2."""
        super().__init__()
        self.method = method

    def forward(
        self, images: ImageList, _features: dict[str, Tensor], targets: Targets | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals [P, 4] of each picture; there is nothing to learn."""
        if targets is not None and all("proposals" in target for target in targets):
            return [target["proposals"] for target in targets], {}
        found: list[Tensor] = self.method(images.tensors)
        return found, {}


class Regions(nn.Module):
    """Proposals by `region_proposals`."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, images: Tensor) -> list[Tensor]:
        """Boxes [count, 4] of each picture [N, C, H, W]."""
        grey_levels = ((images.detach() / 4 + 0.5) * 255).round().clamp(0, 255).to(torch.uint8)
        pictures = grey_levels.permute(0, 2, 3, 1).cpu().numpy()
        found = [region_proposals(np.ascontiguousarray(picture), self.count) for picture in pictures]
        return [torch.from_numpy(boxes).to(images.device) for boxes in found]


class TrainedProposals(nn.Module):
    """Proposals of a trained detector's network, which no longer learns."""

    def __init__(self, backbone: nn.Module, rpn: LearntProposals, count: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.rpn = rpn
        self.count = count
        self.requires_grad_(requires_grad=False).eval()

    def train(self, mode: bool = True) -> "TrainedProposals":  # noqa: ARG002 - torch's signature
        """Stay in evaluation mode, whatever `mode` says: the normalisations keep their statistics."""
        return super().train(mode=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Boxes [P, 4] of each picture [N, C, H, W], at most `count`."""
        sizes = [(images.shape[-2], images.shape[-1])] * len(images)
        found, _ = self.rpn(ImageList(images, sizes), self.backbone(images))
        return [boxes[: self.count].detach() for boxes in found]


def read_proposals(params: FileProposalsParams, split: Split, pictures: int) -> list[Boxes]:
    """Boxes [P, 4] (xyxy, pixels) of each of so many pictures of the split; none where none are listed.

    Raises:
        ModelError: The file is missing, or has another hash.
        DataError: The file is no JSON of proposals, or names pictures that the split lacks.

    """
    try:
        rows = json.loads(read_file(params))[split]
        listed = [(int(row["image_id"]), _corners(row["bbox"]), row.get("score", 0.0)) for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(
            f'{params.file}: no proposals of {split} ({reason}); {{"{split}": [{{"image_id": 0, "bbox": '
            f"[x, y, width, height]}}, ...], ...}} is wanted"
        ) from None
    if others := [number for number, _, _ in listed if not 0 <= number < pictures]:
        raise DataError(
            f"{params.file}: {split} has no picture {others[0]}, only 0 to {pictures - 1}; "
            "an image_id is a row of data/prepared/detection"
        )
    listed.sort(key=lambda row: -row[2])  # the order of the file where there are no scores
    boxes: list[list[list[float]]] = [[] for _ in range(pictures)]
    for number, box, _ in listed:
        if len(boxes[number]) < params.count:
            boxes[number].append(box)
    return [np.array(proposed, dtype=np.float32).reshape(-1, 4) for proposed in boxes]


def _corners(box: Iterable[float]) -> list[float]:
    x, y, width, height = map(float, box)
    if not (width > 0 and height > 0):
        raise ValueError(f"a box of {width} x {height} pixels")
    return [x, y, x + width, y + height]
