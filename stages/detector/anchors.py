"""The boxes that a detector begins from, one set at each cell of its maps."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList


class Anchors(AnchorGenerator):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's anchors at the maps' own strides, always in float32.

    torchvision takes the maps' type, and bfloat16 has no odd numbers above 256. It also divides the picture's
    size by the map's: 13 cells of 8 pixels in a picture of 100 would be 7 pixels apart.
    """

    def __init__(
        self, sizes: Sequence[Sequence[float]], ratios: Sequence[float], strides: Sequence[int]
    ) -> None:
        """`sizes` of each map's anchors and the maps' `strides` are in pixels; all maps have all `ratios`."""
        super().__init__(tuple(map(tuple, sizes)), (tuple(ratios),) * len(sizes))
        self.strides = strides

    def forward(self, images: ImageList, maps: list[Tensor]) -> list[Tensor]:
        """The anchors [A, 4] (xyxy, pixels) of each picture, map by map."""
        device = maps[0].device
        self.set_cell_anchors(torch.float32, device)
        strides = [[torch.tensor(stride, device=device)] * 2 for stride in self.strides]
        anchors = torch.cat(self.grid_anchors([each.shape[-2:] for each in maps], strides))
        return [anchors] * len(images.image_sizes)
