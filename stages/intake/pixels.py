"""The pixels of a picture file as they are stored: by simplejpeg, OpenCV or Pillow, whichever fits."""

import re

import cv2
import numpy as np
import numpy.typing as npt
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile
from simplejpeg import decode_jpeg  # type: ignore[import-untyped]

from stages.core.texts import in_a_line
from stages.intake.eight_bit import in_bands
from stages.intake.form import Form
from stages.intake.geometry import Pixels, place
from stages.intake.header import Header

TURNED_BACK = {6: 8, 8: 6}  # the orientation that undoes one; the others undo themselves
LONGEST = 300  # characters of what a library says
PNG_END = b"IEND\xae\x42\x60\x82"
REDUCTIONS = (1, 2, 4, 8)
"""How many times smaller a JPEG can be decoded at once."""


def stored_pixels(content: bytes, header: Header, form: Form, *, full: bool) -> tuple[Pixels, str]:
    """[H, W, C] as stored, or smaller already where that is enough; in words what is damaged, or nothing."""
    whole = _complete(content, header.kind)
    if header.plain and whole and header.kind == "JPEG":
        return _jpeg(content, header, form.channels, 1 if full else _reduction(header, form))
    if header.plain and whole and (pixels := _png(content, form.channels)) is not None:
        return pixels, ""
    if "sixteen_bit" in header.oddities and header.kind in ("PNG", "TIFF") and whole:
        pixels = in_bands(_by_opencv(content), form)
    else:
        pixels = _by_pillow(header, form)
    if header.kind == "TIFF":  # OpenCV and Pillow turn it by themselves
        pixels = upright(pixels, TURNED_BACK.get(header.orientation, header.orientation))
    return pixels, ""


def _jpeg(content: bytes, header: Header, channels: int, factor: int) -> tuple[Pixels, str]:
    """`factor` times smaller, which is faster so; OpenCV, of the same library, says nothing of damage."""
    width, height = (-(-side // factor) for side in header.size)
    colours = "RGB" if channels == 3 else "GRAY"
    try:
        return decode_jpeg(content, colours, min_height=height, min_width=width), ""
    except ValueError as error:
        mended = decode_jpeg(content, colours, min_height=height, min_width=width, strict=False)
        return mended, said_by(error)


def _png(content: bytes, channels: int) -> Pixels | None:
    """The pixels of a PNG; None: it is damaged, and Pillow can say how."""
    colours = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), colours | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if pixels is None else np.asarray(pixels, np.uint8).reshape(*pixels.shape[:2], channels)


def _by_pillow(header: Header, form: Form) -> Pixels:
    """Decode by Pillow, which refuses a file that ends early and knows of alpha, palettes and CMYK."""
    picture = header.picture
    if isinstance(picture, TiffImageFile):
        _require_bounded_tiles(picture, form.max_pixels)
    picture.load()
    if "sixteen_bit" in header.oddities and picture.mode.startswith("I"):
        return in_bands(np.asarray(picture), form)
    if picture.mode in ("I", "F"):
        raise ValueError(f"mode {picture.mode}: 32 bits a pixel, of unknown range")
    return in_bands(picture, form)


def _require_bounded_tiles(picture: TiffImageFile, max_pixels: int) -> None:
    """A tile is held as a whole, however small the picture in it is.

    Raises:
        ValueError: A tile has more than `max_pixels`.

    """
    width, height = (picture.tag_v2.get(tag, 1) for tag in (TILEWIDTH, TILELENGTH))
    if width * height > max_pixels:
        raise ValueError(f"tiles of {width} x {height} pixels, max_pixels is {max_pixels}")


def _by_opencv(content: bytes) -> npt.NDArray[np.generic]:
    """[H, W] or [H, W, C], of the 16 bits that Pillow brings to 8; blue stands before red."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("its pixels cannot be decoded")
    return pixels


def _reduction(header: Header, form: Form) -> int:
    """How many times smaller a JPEG may be decoded and still be no smaller than its frame."""
    turned = header.orientation > 4 and "rotated" not in form.kept
    width, height = header.size[::-1] if turned else header.size
    placed = place((width, height), form.frame, form.fit)
    ratio = min(width / placed.width, height / placed.height)
    return max(factor for factor in REDUCTIONS if factor == 1 or factor <= ratio)


def _complete(content: bytes, kind: str | None) -> bool:
    """Whether a file ends as its format says: OpenCV decodes one cut short without a word."""
    return content.endswith({"JPEG": b"\xff\xd9", "PNG": PNG_END}.get(kind or "", b""))


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror the picture as EXIF's `orientation` 1 to 8 asks for."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def said_by(error: Exception) -> str:
    """The error in words: those of its library, without what is another in every run."""
    words = re.sub(r"<_io\.BytesIO[^>]*>|0x[0-9a-f]+", "", str(error))
    return in_a_line(" ".join(words.split())[:LONGEST] or type(error).__name__)
