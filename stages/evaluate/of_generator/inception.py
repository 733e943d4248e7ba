"""Inception's features, by weights from a file: ImageNet's, as torchvision has them (Szegedy et al. 2015).

Figures on them are near those of others who take torchvision's weights; the usual FID takes another port of
the network, whose figures differ a little.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception_v3

from stages.core.errors import ModelError
from stages.core.params import WeightsParams
from stages.networks.compute import Compute, to_unit
from stages.networks.weights import read_weights

SIDE = 299  # pixels that the network was trained on
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def load_inception(params: WeightsParams) -> nn.Module:
    """The network up to its pooled features, frozen.

    Raises:
        ModelError: No such file, of another hash, or of another network.

    """
    network = inception_v3(weights=None, init_weights=False, aux_logits=True, transform_input=False)
    try:
        network.load_state_dict(read_weights(params))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{Path(params.file)}: not of torchvision's inception_v3 ({reason})") from None
    network.fc = nn.Identity()
    frozen: nn.Module = network.eval().requires_grad_(False)
    return frozen


@torch.inference_mode()
def inception_features(
    network: nn.Module, images: npt.NDArray[np.uint8], compute: Compute, batch_size: int
) -> npt.NDArray[np.float32]:
    """Features [N, 2048] of pictures [N, H, W, C], grey or colour, enlarged to what the network knows."""
    compute.network(network)
    features: list[Tensor] = []
    for batch in torch.split(to_unit(images), batch_size):
        colours = batch.expand(-1, 3, -1, -1)
        large = F.interpolate(colours, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        scaled = (large - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
        with compute.autocast():
            features.append(network(compute.images(scaled)).float().cpu())
    stacked: npt.NDArray[np.float32] = torch.cat(features).numpy()
    return stacked
