"""One picture file as upright 8-bit pixels of a given form, and what is odd about it.

form: what is asked for and given; header: what the file says of itself; pixels, eight_bit: what is in it
Imports little: it is what worker processes load.
"""

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from stages.intake.form import Crop, Decoded, Form, Oddity
from stages.intake.geometry import fit_picture, place
from stages.intake.header import describe, opened, pillow_bounds, read_header
from stages.intake.pixels import said_by, stored_pixels, upright


def decode(content: bytes, form: Form, crop: Crop | None = None) -> Decoded:
    """Decode the picture in the bytes of a file, all of it or the part `crop`, and bring it into `form`.

    Whatever a decoder meets in a damaged file is an oddity of that file.
    """
    whole = _upright_picture(content, form, full=False) if crop is None else _last_picture(content, form)
    if whole.pixels is None:
        return whole
    pixels, part = whole.pixels, (whole.width, whole.height)
    if crop is not None:
        x1, y1, x2, y2 = crop
        pixels = pixels[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)]
        if not pixels.size:
            return _refused(("unreadable",), *part, f"nothing of it lies in {crop}")
        part = pixels.shape[1], pixels.shape[0]
    try:
        placed = place(part, form.frame, form.fit)  # by the original's size: a JPEG may be decoded smaller
        fitted = fit_picture(np.ascontiguousarray(pixels), placed, form.frame, form.ground)
    except cv2.error as error:  # a side that OpenCV cannot count
        return _refused(("unreadable",), whole.width, whole.height, said_by(error))
    return replace(whole, pixels=fitted)


def _upright_picture(content: bytes, form: Form, *, full: bool) -> Decoded:
    """All of the picture, not yet in its frame; of its `full` size, or smaller where that is enough."""
    width = height = 0
    try:
        with pillow_bounds(None):
            picture = opened(content)
        width, height = picture.size
        if width * height > form.max_pixels:
            what = f"{width} x {height} pixels, max_pixels is {form.max_pixels}"
            return _refused(("bomb",), width, height, what)
        with pillow_bounds(form.max_pixels):
            header = read_header(picture, content)
            width, height = header.size
            if form.refused & set(header.oddities):
                return _refused(header.oddities, width, height, describe(header))
            pixels, damage = stored_pixels(content, header, form, full=full)
    except Exception as error:  # of a file that is damaged, whatever the decoder's code runs into
        return _refused((_kind_of(error),), width, height, said_by(error))
    if header.kind != "JPEG":  # which may be smaller; an icon's size is not what its file declares
        height, width = pixels.shape[:2]
    if damage and "damaged" in form.refused:
        return _refused((*header.oddities, "damaged"), width, height, damage)
    if "rotated" not in form.kept:
        pixels = upright(pixels, header.orientation)
        width, height = (height, width) if header.orientation > 4 else (width, height)
    oddities: tuple[Oddity, ...] = (*header.oddities, "damaged") if damage else header.oddities
    what = f"{describe(header)}; {damage}" if damage else describe(header)
    return Decoded(pixels=pixels, width=width, height=height, oddities=oddities, what=what)


@lru_cache(maxsize=1)
def _last_picture(content: bytes, form: Form) -> Decoded:
    """The full picture, kept until the next one comes, since a picture's crops follow each other."""
    return _upright_picture(content, form, full=True)


def _kind_of(error: Exception) -> Oddity:
    """What is odd about a file whose decoder raises this."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "bomb"
    return "truncated" if "truncated" in str(error) else "unreadable"


def _refused(oddities: tuple[Oddity, ...], width: int = 0, height: int = 0, what: str = "") -> Decoded:
    return Decoded(pixels=None, width=width, height=height, oddities=oddities, what=what)
