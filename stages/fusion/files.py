"""Reads and writes picture files with 8 or 16 bits a channel, without loss."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from stages.core.errors import DataError
from stages.core.files import PICTURE_FORMATS, write_atomically
from stages.fusion.pixels import Pictures

SIXTEEN_BITS = (".png", ".tif", ".tiff")
"""Kinds of file that hold them."""
ENDINGS = (*SIXTEEN_BITS, ".bmp", ".jpeg", ".jpg", ".webp")
"""Kinds that hold a grey or colour picture of 8 bits. OpenCV writes others with fewer values (GIF) or as
floats."""

SIDES = {".jpeg": 65_500, ".jpg": 65_500, ".webp": 16_383}
"""Pixels that a side has at most."""


def read_picture(path: Path) -> Pictures:
    """The upright picture in a file: [H, W, C], C 1 (grey), 3 (RGB) or 4 (RGBA), uint8 or uint16.

    Raises:
        DataError: No such file, no picture, one cut short, or one of neither 8 nor 16 bits a channel.

    """
    return _read(path)[0]


def read_opaque(path: Path) -> Pictures:
    """Read a picture that is nowhere transparent: [H, W, 1 or 3].

    Raises:
        DataError: See `read_picture`; or some of it may be transparent.

    """
    picture, transparent = _read(path)
    if transparent:
        raise DataError(f"{path}: has transparency, which only cut-outs may have; save it without")
    return picture


def write_picture(path: Path, picture: Pictures) -> None:
    """Write [H, W, 1 or 3] in the format that the name ends in, atomically.

    Raises:
        DataError: An unknown ending, or one whose format has no 16 bits or not so many pixels.

    """
    check_ending(path, picture)
    encoded = cv2.imencode(path.suffix, _swap_red_and_blue(picture))[1]
    write_atomically(path, encoded.tobytes())


def check_ending(path: Path, picture: Pictures) -> None:
    """Refuse a name whose format could not hold the picture (see `write_picture`)."""
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"{path}: no format that holds every picture; end the name in .png, .tif or .jpg")
    if picture.dtype == np.uint16 and path.suffix.lower() not in SIXTEEN_BITS:
        raise DataError(
            f"{path}: {path.suffix} holds 8 bits a channel, the picture has 16; write .png or .tif"
        )
    height, width = picture.shape[:2]
    if max(height, width) > (most := SIDES.get(path.suffix.lower(), max(height, width))):
        raise DataError(f"{path}: {width} x {height} pixels, {path.suffix} holds {most} a side; write .png")


def _read(path: Path) -> tuple[Pictures, bool]:
    """The picture, and whether some of it may be transparent."""
    transparent = _look(path)
    # With IMREAD_UNCHANGED alone there is alpha; without it EXIF's orientation is followed.
    flags = cv2.IMREAD_UNCHANGED if transparent else cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path}: no picture of 8 or 16 bits a channel; save it as PNG")
    depth = np.uint8 if pixels.dtype == np.uint8 else np.uint16
    return _swap_red_and_blue(pixels.reshape(*pixels.shape[:2], -1).astype(depth, copy=False)), transparent


def _look(path: Path) -> bool:
    """Whether some of the file's picture may be transparent, by a channel or by one value of its palette.

    Pillow, unlike OpenCV, notices a file cut short.
    """
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as picture:
            picture.load()
            return picture.has_transparency_data
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Exception as error:  # of a file that is damaged, whatever the decoder's code runs into
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: no picture that can be read ({reason})") from None


def _swap_red_and_blue(pixels: Pictures) -> Pictures:
    """Between RGB(A) and OpenCV's order."""
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[2]]
    return np.ascontiguousarray(pixels[..., order])
