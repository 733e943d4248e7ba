"""The kinds of groups that the stage fuses: groups of test pictures and scenes, and the user's own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.packed import ClassificationSplit, DetectionSplit
from stages.fuse.params import FuseParams, OwnParams
from stages.fusion.groups import groups_by_manifest, groups_by_pattern
from stages.fusion.methods import Settings, fuse
from stages.fusion.params import Method
from stages.fusion.sets import FusedSet, FusionSet, exposed, half_sharp, own_set

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionKind:
    """Groups that are measured together, in sets of one size, and what they show where it is known."""

    sets: list[FusionSet]
    labels: Labels | None = None
    """[N]: classes of what the only set's pictures show, for the classifier; None: not known."""
    scenes: DetectionSplit | None = None
    """The split whose first scenes are the only set's pictures, for the detector; None: not known."""

    @property
    def is_known(self) -> bool:
        """Whether it is known what the pictures show, so that a network can be judged by it."""
        return self.labels is not None or self.scenes is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenPictures:
    """Pictures of the test split that groups are made of."""

    images: Bytes
    """[N, H, W, C]."""
    labels: Labels
    """[N]."""
    names: list[str]
    """[N]: the class and the number in the test split of each."""


def choose_pictures(test: ClassificationSplit, number: int, *, seed: int) -> ChosenPictures:
    """Draw pictures of the test split by the seed, in the split's order; all where there are fewer."""
    number = min(number, len(test.images))
    rows = np.sort(np.random.default_rng(seed).choice(len(test.images), number, replace=False))
    labels = test.labels[rows]
    return ChosenPictures(
        images=np.asarray(test.images[rows]),
        labels=labels,
        names=[f"{test.classes[label]} {row}" for label, row in zip(labels, rows, strict=True)],
    )


def made_kinds(
    chosen: ChosenPictures | None, generated: Bytes | None, scenes: DetectionSplit | None, params: FuseParams
) -> dict[str, FusionKind]:
    """Make groups of test pictures, of generated pictures [N, H, W, C] of the same labels, and of scenes.

    There are none of what is None.
    """
    kinds: dict[str, FusionKind] = {}

    def add(kind: str, made: FusionSet, known: ChosenPictures | DetectionSplit) -> None:
        shown = {"labels": known.labels} if isinstance(known, ChosenPictures) else {"scenes": known}
        kinds[kind] = FusionKind(sets=[made], **shown)

    if chosen is not None:
        images, names = chosen.images, chosen.names
        sharp, lit = half_sharp(images, params.blur_sigma), exposed(images, params.stops)
        add("focus", FusionSet(names=names, sources=sharp, truth=images), chosen)
        add("exposure", FusionSet(names=names, sources=lit, truth=images), chosen)
        if generated is not None:
            both = np.stack([images, generated], axis=1)
            add("generated", FusionSet(names=names, sources=both, truth=None), chosen)
    if scenes is not None:
        truths = np.asarray(scenes.images[: params.scenes])
        numbers = [f"scene {number}" for number in range(len(truths))]
        add(
            "scenes",
            FusionSet(names=numbers, sources=half_sharp(truths, params.blur_sigma), truth=truths),
            scenes,
        )
    return kinds


def own_kind(folder: Path, params: OwnParams) -> dict[str, FusionKind]:
    """The user's own groups in `folder` as kind `own`; nothing where there are none.

    Raises:
        DataError: See `groups_by_manifest`, `groups_by_pattern` and `own_set`.

    """
    if params.manifest is not None:
        groups = groups_by_manifest(folder / params.manifest)
    else:
        assert params.pattern is not None  # the params' own check
        groups = groups_by_pattern(folder, params.pattern)
    if not groups:
        return {}
    return {"own": FusionKind(sets=[own_set(group, params.registration) for group in groups])}


def fuse_set(inputs: FusionSet, methods: list[Method], settings: Settings) -> FusedSet:
    """Fuse every group of a set by every method.

    Raises:
        ValueError: See `fuse`.

    """
    return FusedSet(
        inputs=inputs,
        fused={
            method: np.stack([fuse(group, method, settings) for group in inputs.sources])
            for method in methods
        },
    )
