"""Checks which parameters in section `fuse` cannot fit the given pictures and networks."""

from pathlib import Path

from stages.classifier.network import Classifier
from stages.core.errors import ParamsError
from stages.core.packed import ClassificationSplit
from stages.fuse.params import FuseParams
from stages.fusion.methods import most_levels


def check_fit(
    path: Path, params: FuseParams, test: ClassificationSplit | None, network: Classifier | None
) -> None:
    """Refuse params that ask for more than pictures and classifier have, of those that there are.

    Raises:
        ParamsError: More levels than the pictures can be halved, or more stages than the classifier has.

    """
    limits: dict[str, tuple[int, int, str]] = {}
    if test is not None:
        height, width = test.images.shape[1:3]
        most = most_levels(height, width)
        why = f"pictures of {height} x {width} pixels allow at most {most}"
        limits["levels"] = (params.levels or 0, most, why)
    if network is not None:
        most = len(network.stages)
        limits["feature_stages"] = (params.feature_stages, most, f"the classifier has {most} stages")
    for key, (asked, limit, why) in limits.items():
        if asked > limit:
            raise ParamsError(f"{path}: fuse.{key}: {asked}, but {why}")
