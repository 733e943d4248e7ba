"""Pictures with 8 or 16 bits a channel, grey or colour, and how different ones are brought to one form."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.uint8 | np.uint16]
"""[..., H, W, C]: one picture or several of one size; C is 1 (grey), 3 (RGB) or, of a cut-out, 4 (RGBA)."""
Floats = npt.NDArray[np.float32]

EIGHT_TO_SIXTEEN = 257
"""65535 / 255: white stays white."""


def peak(pictures: Pictures) -> int:
    """The value of white."""
    return int(np.iinfo(pictures.dtype).max)


def rounded(values: npt.NDArray[np.floating], like: Pictures) -> Pictures:
    """A picture of values [H, W(, C)], cut off at black and white, of the form of `like` [S, H, W, C]."""
    cut = np.rint(values).clip(0, peak(like)).astype(like.dtype)
    picture: Pictures = cut.reshape(like.shape[1:])
    return picture


def in_one_form(pictures: Sequence[Pictures]) -> list[Pictures]:
    """Pictures [H, W, 1 or 3], grey or in colour, of 8 bits or 16, with as many channels and bits each.

    Grey becomes colour where another is in colour, 8 bits become 16 where another has them: nothing is lost.
    """
    channels = max(picture.shape[2] for picture in pictures)
    sixteen = any(picture.dtype == np.uint16 for picture in pictures)
    deep = [sixteen_bits(picture) if sixteen else picture for picture in pictures]
    return [np.broadcast_to(picture, (*picture.shape[:2], channels)) for picture in deep]


def sixteen_bits(pictures: Pictures) -> Pictures:
    """Pictures in 16 bits, with white at 65535."""
    return pictures if pictures.dtype == np.uint16 else pictures.astype(np.uint16) * EIGHT_TO_SIXTEEN


def eight_bits(pictures: Pictures) -> npt.NDArray[np.uint8]:
    """Pictures in 8 bits, with white at 255, to be looked at."""
    if pictures.dtype == np.uint8:
        return pictures.astype(np.uint8, copy=False)
    return np.rint(pictures / EIGHT_TO_SIXTEEN).astype(np.uint8)


def grey(pictures: Pictures) -> npt.NDArray[np.uint8]:
    """The mean of the channels, 8 bits: [..., H, W, C] -> [..., H, W]."""
    mean: npt.NDArray[np.uint8] = eight_bits(pictures).mean(axis=-1).round().astype(np.uint8)
    return mean


def in_channels(pictures: Pictures, channels: int) -> npt.NDArray[np.uint8]:
    """Pictures [N, H, W, C] in 8 bits and in so many channels: 1 is grey, 3 is colour."""
    if pictures.shape[-1] == channels:
        return eight_bits(pictures)
    return np.repeat(grey(pictures)[..., np.newaxis], channels, axis=-1)
