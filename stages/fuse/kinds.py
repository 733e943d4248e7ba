"""The kinds of groups that the stage fuses: made of test pictures and scenes, and the user's own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.packed import DetectionSplit
from stages.fuse.params import FuseParams, OwnParams
from stages.fusion.groups import groups_by_manifest, groups_by_pattern
from stages.fusion.methods import Method, Settings, fuse
from stages.fusion.sets import FusedSet, FusionSet, exposed, half_sharp, own_set

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """Groups that are measured together, as sets of one size, and what they show, where that is known."""

    sets: list[FusionSet]
    labels: Labels | None = None
    """[N]: what the pictures of the only set show, for the classifier."""
    scenes: DetectionSplit | None = None
    """What the pictures of the only set show, for the detector: they are the first ones of this split."""

    @property
    def is_known(self) -> bool:
        """Whether a network can be asked."""
        return self.labels is not None or self.scenes is not None


def made_kinds(
    images: Bytes,
    labels: Labels,
    generated: Bytes,
    names: list[str],
    scenes: DetectionSplit,
    params: FuseParams,
) -> dict[str, Kind]:
    """Kinds made of test pictures [N, H, W, C], of generated ones of the same labels [N], and of scenes."""
    truths = np.asarray(scenes.images[: params.scenes])
    numbers = [f"scene {number}" for number in range(len(truths))]
    sharp, lit = half_sharp(images, params.blur_sigma), exposed(images, params.stops)
    both = np.stack([images, generated], axis=1)
    halves = half_sharp(truths, params.blur_sigma)
    return {
        "focus": Kind(sets=[FusionSet(names=names, sources=sharp, truth=images)], labels=labels),
        "exposure": Kind(sets=[FusionSet(names=names, sources=lit, truth=images)], labels=labels),
        "generated": Kind(sets=[FusionSet(names=names, sources=both, truth=None)], labels=labels),
        "scenes": Kind(sets=[FusionSet(names=numbers, sources=halves, truth=truths)], scenes=scenes),
    }


def own_kind(folder: Path, params: OwnParams) -> dict[str, Kind]:
    """The user's own groups in `folder` as kind `own`; nothing where there are none.

    Raises:
        DataError: see `groups_by_manifest`, `groups_by_pattern` and `own_set`.

    """
    if params.manifest is not None:
        groups = groups_by_manifest(folder / params.manifest)
    else:
        assert params.pattern is not None  # the params' own check
        groups = groups_by_pattern(folder, params.pattern)
    return {"own": Kind(sets=[own_set(group, params.registration) for group in groups])} if groups else {}


def fuse_set(one: FusionSet, methods: list[Method], settings: Settings) -> FusedSet:
    """What every method makes of every group of the set.

    Raises:
        ValueError: see `fuse`.

    """
    fused = {method: np.stack([fuse(group, method, settings) for group in one.sources]) for method in methods}
    return FusedSet(of=one, fused=fused)
