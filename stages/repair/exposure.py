"""Light where a picture is too dark, shade where it is too bright: fused from versions of itself."""

import numpy as np
import numpy.typing as npt

from stages.fusion.methods import exposure

Picture = npt.NDArray[np.uint8]


def well_exposed(picture: Picture, stops: float) -> Picture:
    """The picture [H, W, C] fused from itself, a version `stops` brighter, and one as much darker.

    Each place is taken from the version in which it is well exposed (T. Mertens et al. 2007, "Exposure
    fusion"). A stop doubles the light, as sRGB codes it; what was cut off at black or white stays lost.
    """
    light = linear(picture)
    versions = [coded(light * 2.0**stop) for stop in (-stops, 0.0, stops)]
    fused = exposure(np.stack(versions))
    return np.asarray(fused, dtype=np.uint8)


def linear(picture: Picture) -> npt.NDArray[np.float64]:
    """Amounts of light, 0 to 1, of grey levels: IEC 61966-2-1, sRGB."""
    level = picture / 255.0
    light: npt.NDArray[np.float64] = np.where(
        level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4
    )
    return light


def coded(light: npt.NDArray[np.float64]) -> Picture:
    """The grey levels of amounts of light, cut off at white."""
    light = light.clip(0, 1)
    level = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    levels: Picture = np.rint(level * 255).astype(np.uint8)
    return levels
