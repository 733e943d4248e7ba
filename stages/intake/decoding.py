"""One picture file as upright 8-bit pixels of a given form, and what is odd about it.

Imports little: it is what worker processes load.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image
from simplejpeg import decode_jpeg  # type: ignore[import-untyped]

from stages.core.files import PICTURE_FORMATS
from stages.intake.geometry import Fit, Pixels, fit_picture, place

Oddity = Literal[
    "unreadable",
    "truncated",
    "damaged",
    "animated",
    "cmyk",
    "sixteen_bit",
    "alpha",
    "rotated",
    "bomb",
    "missing_picture",
]
ODDITIES: frozenset[str] = frozenset(get_args(Oddity))

Crop = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels of the upright picture, which it may reach beyond."""

ORIENTATION = 0x0112  # EXIF's number for it
PNG_DEPTH = 24  # the byte of a PNG file that tells the bits of a channel
REDUCTIONS = (1, 2, 4, 8)
"""How many times smaller a JPEG can be decoded at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """The form that pictures are brought to, and which oddities are refused or left as they are."""

    height: int
    width: int
    channels: int
    fit: Fit
    ground: int
    max_pixels: int
    refused: frozenset[str]
    """Oddities for which a picture is refused: its pixels are not decoded."""
    kept: frozenset[str]
    """Oddities that are left as they are: "rotated" and "damaged" can be."""

    @property
    def frame(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def row_bytes(self) -> int:
        """Bytes that the pixels of one picture take."""
        return self.height * self.width * self.channels


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """The outcome of decoding one picture."""

    pixels: Pixels | None
    """[h, w, C], or None where an oddity is refused."""
    width: int
    """Width of the upright original in pixels."""
    height: int
    """Height of the upright original in pixels."""
    oddities: tuple[Oddity, ...]
    what: str
    """The picture and its oddities in words, for people who look for the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    picture: Image.Image
    oddities: tuple[Oddity, ...]
    orientation: int

    @property
    def kind(self) -> str | None:
        """The file's format. MPO, as phones write it, is a JPEG with more behind it: the first one counts."""
        return "JPEG" if self.picture.format == "MPO" else self.picture.format

    @property
    def plain(self) -> bool:
        """Whether it is read as it is meant by what is faster than Pillow, but knows of no oddities."""
        odd = set(self.oddities) - {"rotated"}
        return not odd and self.kind in ("JPEG", "PNG") and self.picture.mode in ("L", "RGB")


def decode(content: bytes, form: Form, crop: Crop | None = None) -> Decoded:
    """Decode the picture in the bytes of a file, all of it or the part `crop`, and bring it into `form`."""
    whole = _upright_picture(content, form, full=False) if crop is None else _last_picture(content, form)
    if whole.pixels is None:
        return whole
    pixels, part = whole.pixels, (whole.width, whole.height)
    if crop is not None:
        x1, y1, x2, y2 = crop
        pixels = pixels[max(0, y1) : y2, max(0, x1) : x2]
        if not pixels.size:
            return _refused(("unreadable",), *part, f"nothing of it lies in {crop}")
        part = pixels.shape[1], pixels.shape[0]
    placed = place(part, form.frame, form.fit)  # by the original's size: a JPEG may be decoded smaller
    fitted = fit_picture(np.ascontiguousarray(pixels), placed, form.frame, form.ground)
    return replace(whole, pixels=fitted)


def _upright_picture(content: bytes, form: Form, *, full: bool) -> Decoded:
    """All of the picture, not yet in its frame; of its `full` size, or smaller where that is enough."""
    try:
        header = _inspect(content)
    except Image.DecompressionBombError as error:
        return _refused(("bomb",), what=str(error))
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:
        return _refused(("unreadable",), what=_in_a_line(error))
    width, height = header.picture.size
    if width * height > form.max_pixels:
        return _refused(
            ("bomb",), width, height, f"{width} x {height} pixels, max_pixels is {form.max_pixels}"
        )
    odd = tuple(kind for kind in header.oddities if kind in form.refused)
    if odd:
        return _refused(header.oddities, width, height, _describe(header))
    try:
        pixels, damage = _pixels(content, header, form, full=full)
    except (OSError, SyntaxError, ValueError, EOFError, cv2.error) as error:
        kind: Oddity = "truncated" if "truncated" in str(error) else "unreadable"
        return _refused((kind,), width, height, _in_a_line(error))
    if damage and "damaged" in form.refused:
        return _refused((*header.oddities, "damaged"), width, height, damage)
    if "rotated" not in form.kept:
        pixels = _upright(pixels, header.orientation)
        width, height = (height, width) if header.orientation > 4 else (width, height)
    oddities: tuple[Oddity, ...] = (*header.oddities, "damaged") if damage else header.oddities
    what = f"{_describe(header)}; {damage}" if damage else _describe(header)
    return Decoded(pixels=pixels, width=width, height=height, oddities=oddities, what=what)


@lru_cache(maxsize=1)
def _last_picture(content: bytes, form: Form) -> Decoded:
    """Of its full size; kept until the next one comes, since a picture's crops follow each other."""
    return _upright_picture(content, form, full=True)


def size_of(path: Path, *, upright: bool) -> tuple[int, int] | None:
    """Read the size of a file's picture, as stored or `upright` as its EXIF says; None: no picture.

    The size is width and height in pixels.
    """
    try:
        header = _inspect(path.read_bytes())
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError, Image.DecompressionBombError):
        return None
    width, height = header.picture.size
    return (height, width) if upright and header.orientation > 4 else (width, height)


def _inspect(content: bytes) -> _Header:
    with _own_bounds():
        picture = Image.open(io.BytesIO(content), formats=PICTURE_FORMATS)
        orientation = picture.getexif().get(ORIENTATION, 1)
    sixteen = picture.mode.startswith("I;16") or (picture.format == "PNG" and content[PNG_DEPTH] == 16)
    seen: dict[Oddity, bool] = {
        "animated": bool(getattr(picture, "is_animated", False)) and picture.format != "MPO",
        "cmyk": picture.mode == "CMYK",
        "sixteen_bit": sixteen,
        "alpha": picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info,
        "rotated": orientation in range(2, 9),
    }
    oddities = tuple(kind for kind, there in seen.items() if there)
    return _Header(
        picture=picture, oddities=oddities, orientation=orientation if "rotated" in oddities else 1
    )


@contextlib.contextmanager
def _own_bounds() -> Iterator[None]:
    """Without Pillow's warnings: of size, where `max_pixels` decides, and of what it mends in metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _pixels(content: bytes, header: _Header, form: Form, *, full: bool) -> tuple[Pixels, str]:
    """[H, W, C] as stored, or smaller already where that is enough; in words what is damaged, or nothing."""
    if "sixteen_bit" in header.oddities:
        return _to_channels(_sixteen_bit(content, form.ground), form.channels), ""
    if header.plain and _complete(content, header.kind):
        if header.kind == "JPEG":
            return _jpeg(content, header, form.channels, 1 if full else _reduction(header, form))
        return _png(content, form.channels), ""
    with _own_bounds():
        return _by_pillow(header.picture, form), ""


def _jpeg(content: bytes, header: _Header, channels: int, factor: int) -> tuple[Pixels, str]:
    """`factor` times smaller, which is faster so; OpenCV, of the same library, says nothing of damage."""
    width, height = (-(-side // factor) for side in header.picture.size)
    colours = "RGB" if channels == 3 else "GRAY"
    try:
        return decode_jpeg(content, colours, min_height=height, min_width=width), ""
    except ValueError as error:
        mended = decode_jpeg(content, colours, min_height=height, min_width=width, strict=False)
        return mended, _in_a_line(error)


def _png(content: bytes, channels: int) -> Pixels:
    colours = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), colours | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ValueError("its pixels cannot be decoded")
    return np.asarray(pixels, np.uint8).reshape(*pixels.shape[:2], channels)


def _by_pillow(picture: Image.Image, form: Form) -> Pixels:
    """By Pillow, which refuses a file that ends early and knows of alpha, palettes and CMYK."""
    picture.seek(0)
    picture.load()
    if picture.mode in ("I", "F"):
        raise ValueError(f"mode {picture.mode}: 32 bits a pixel, of unknown range")
    if picture.mode == "1":
        picture = picture.convert("L")
    if picture.mode != "L" and picture.mode != "RGB":
        seen_through = picture.convert("RGBA" if picture.mode != "CMYK" else "RGB").convert("RGBA")
        ground = Image.new("RGBA", picture.size, (form.ground,) * 3 + (255,))
        picture = Image.alpha_composite(ground, seen_through).convert("RGB")
    elif "transparency" in picture.info:
        ground = Image.new("RGBA", picture.size, (form.ground,) * 3 + (255,))
        picture = Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")
    pixels = np.asarray(picture)
    return _to_channels(pixels.reshape(*pixels.shape[:2], -1), form.channels)


def _sixteen_bit(content: bytes, ground: int) -> Pixels:
    """[H, W, 1 or 3] of a picture of 16 bits a channel, its range scaled to 8."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("its pixels cannot be decoded")
    if pixels.dtype != np.uint8:
        pixels = (pixels.astype(np.uint32) + 128) // 257
    scaled = np.asarray(pixels.reshape(*pixels.shape[:2], -1), dtype=np.uint8)
    if scaled.shape[2] in (2, 4):
        share = scaled[..., -1:].astype(np.float32) / 255
        scaled = np.rint(scaled[..., :-1] * share + ground * (1 - share)).astype(np.uint8)
    return scaled[..., ::-1] if scaled.shape[2] == 3 else scaled  # OpenCV has blue first


def _to_channels(pixels: Pixels, channels: int) -> Pixels:
    """[H, W, C] as grey or as RGB."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, np.uint8)[..., np.newaxis]


def _reduction(header: _Header, form: Form) -> int:
    """How many times smaller a JPEG may be decoded and still be no smaller than its frame."""
    turned = header.orientation > 4 and "rotated" not in form.kept
    width, height = header.picture.size[::-1] if turned else header.picture.size
    placed = place((width, height), form.frame, form.fit)
    ratio = min(width / placed.width, height / placed.height)
    return max(factor for factor in REDUCTIONS if factor == 1 or factor <= ratio)


def _complete(content: bytes, kind: str | None) -> bool:
    """Whether a file ends as its format says: OpenCV decodes one cut short without a word."""
    return content.endswith(b"\xff\xd9") if kind == "JPEG" else content[-8:-4] == b"IEND"


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turned and mirrored as EXIF's `orientation` 1 to 8 asks for."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _describe(header: _Header) -> str:
    width, height = header.picture.size
    turned = f", EXIF orientation {header.orientation}" if header.orientation != 1 else ""
    return f"{header.picture.format} of {width} x {height}, mode {header.picture.mode}{turned}"


def _refused(oddities: tuple[Oddity, ...], width: int = 0, height: int = 0, what: str = "") -> Decoded:
    return Decoded(pixels=None, width=width, height=height, oddities=oddities, what=what)


def _in_a_line(error: Exception) -> str:
    words = re.sub(r"<_io\.BytesIO[^>]*>", "", str(error))  # an address, another in every run
    return " ".join(words.split()) or type(error).__name__
