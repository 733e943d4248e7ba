"""What the stage fuses: groups that it makes itself, with a known true picture, and the user's groups."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.core.errors import DataError
from stages.fusion.files import read_opaque
from stages.fusion.groups import Group, check_sizes, read_group
from stages.fusion.metrics import WINDOW
from stages.fusion.params import Method, Registration
from stages.fusion.pixels import Pictures, in_one_form

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionSet:
    """Groups of pictures of one size, each group to be fused to one picture."""

    names: list[str]
    """[N]: the name of each group."""
    sources: Pictures
    """[N, S, H, W, C]."""
    truth: Pictures | None
    """[N, H, W, C]: what perfect fusion would give, where that is known."""


def half_sharp(images: Bytes, sigma: float) -> Bytes:
    """Blur each picture [N, H, W, C] in its right half, and in its left: [N, 2, H, W, C]."""
    middle = images.shape[2] // 2
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape) for image in images])
    right = np.concatenate([images[:, :, :middle], blurred[:, :, middle:]], axis=2)
    left = np.concatenate([blurred[:, :, :middle], images[:, :, middle:]], axis=2)
    return np.stack([right, left], axis=1)


def exposed(images: Bytes, stops: Sequence[float]) -> Bytes:
    """Expose each picture [N, H, W, C] with 2 ** stop times the light, cut off at white: [N, S, H, W, C]."""
    exposures = [(images * 2.0**stop).round().clip(0, 255).astype(np.uint8) for stop in stops]
    return np.stack(exposures, axis=1)


def own_set(group: Group, registration: Registration) -> FusionSet:
    """Read one group of the user's own, with its truth where the manifest gives one.

    Raises:
        DataError: See `read_group`; a truth of another size; pictures too small to be measured.

    """
    sources = read_group(group.files, registration)
    if min(sources.shape[1:3]) < WINDOW:
        raise DataError(
            f"{group.files[0]}: a side is under {WINDOW} pixels, which is too small to be measured"
        )
    if group.truth is None:
        return FusionSet(names=[group.name], sources=sources[np.newaxis], truth=None)
    truth = read_opaque(group.truth)
    check_sizes([group.files[0], group.truth], [sources[0], truth])
    together = np.stack(in_one_form([*sources, truth]))[np.newaxis]  # [1, S + 1, H, W, C]
    return FusionSet(names=[group.name], sources=together[:, :-1], truth=together[:, -1])


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedGroup:
    """A group and what the methods made of it."""

    name: str
    sources: Pictures
    """[S, H, W, C]."""
    truth: Pictures | None
    """[H, W, C]."""
    fused: dict[Method, Pictures]
    """[H, W, C] each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedSet:
    """A set and what the methods made of it."""

    inputs: FusionSet
    fused: dict[Method, Pictures]
    """[N, H, W, C] each."""

    def groups(self) -> Iterator[FusedGroup]:
        """Yield the groups of the set one by one."""
        for row, name in enumerate(self.inputs.names):
            yield FusedGroup(
                name=name,
                sources=self.inputs.sources[row],
                truth=None if self.inputs.truth is None else self.inputs.truth[row],
                fused={method: pictures[row] for method, pictures in self.fused.items()},
            )
