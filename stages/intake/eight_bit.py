"""Pixels of any depth, palette or transparency as 8 bits a channel, grey or RGB and opaque."""

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.intake.form import Form
from stages.intake.geometry import Pixels

BAND = 1 << 20  # pixels converted at once: of what a decoder gives no whole copy is made


def in_bands(whole: "Image.Image | npt.NDArray[np.generic]", form: Form) -> Pixels:
    """[H, W, C] of 8 bits, grey or RGB and opaque, made in bands: a copy of a whole picture takes memory."""
    width, height = whole.size if isinstance(whole, Image.Image) else whole.shape[1::-1]
    pixels = np.empty((height, width, form.channels), np.uint8)
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        if isinstance(whole, Image.Image):
            band = _opaque(whole.crop((0, top, width, min(top + rows, height))), form.ground)
        else:
            band = _eight_bit(whole[top : top + rows], form.ground)
        pixels[top : top + rows] = _to_channels(band, form.channels)
    return pixels


def _opaque(picture: Image.Image, ground: int) -> Pixels:
    """[H, W, 1 or 3] of a picture of any mode."""
    if picture.mode == "1":
        picture = picture.convert("L")
    if picture.mode not in ("L", "RGB") or "transparency" in picture.info:
        picture = picture.convert("RGB") if picture.mode in ("CMYK", "RGBX") else picture
        below = Image.new("RGBA", picture.size, (ground,) * 3 + (255,))
        picture = Image.alpha_composite(below, picture.convert("RGBA")).convert("RGB")
    pixels = np.asarray(picture)
    return pixels.reshape(*pixels.shape[:2], -1)


def _eight_bit(pixels: npt.NDArray[np.generic], ground: int) -> Pixels:
    """[H, W, 1 or 3] of pixels of 16 bits a channel, their range scaled to 8; blue stands before red."""
    if pixels.dtype != np.uint8:
        pixels = (pixels.astype(np.uint32) + 128) // 257
    scaled = np.asarray(pixels.reshape(*pixels.shape[:2], -1), dtype=np.uint8)
    if scaled.shape[2] in (2, 4):
        share = scaled[..., -1:].astype(np.float32) / 255
        scaled = np.rint(scaled[..., :-1] * share + ground * (1 - share)).astype(np.uint8)
    return scaled[..., ::-1]


def _to_channels(pixels: Pixels, channels: int) -> Pixels:
    """[H, W, C] as grey or as RGB."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, np.uint8)[..., np.newaxis]
