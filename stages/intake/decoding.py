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
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile
from simplejpeg import decode_jpeg  # type: ignore[import-untyped]

from stages.core.files import PICTURE_FORMATS
from stages.core.texts import in_a_line
from stages.intake.folders import read_file
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
TURNED_BACK = {6: 8, 8: 6}  # the orientation that undoes one; the others undo themselves
ONE_PICTURE = ("MPO", "PSD")  # formats whose first picture is the one that is meant
LONGEST = 300  # characters of what a library says
PNG_END = b"IEND\xae\x42\x60\x82"
SPEAKING_CHUNKS = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")  # of a PNG file, which may hold EXIF
BAND = 1 << 20  # pixels converted at once: of what a decoder gives no whole copy is made
BESIDE_PIXELS = 64 << 20  # bytes of a file that its pixels need not account for
PIXELS_MOST = 178_956_970  # Pillow's own bound
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
    def size(self) -> tuple[int, int]:
        """Width and height as stored; Pillow turns a TIFF upright by itself."""
        width, height = self.picture.size
        return (height, width) if self.kind == "TIFF" and self.orientation > 4 else (width, height)

    @property
    def plain(self) -> bool:
        """Whether it is read as it is meant by what is faster than Pillow, but knows of no oddities."""
        odd = set(self.oddities) - {"rotated"}
        return not odd and self.kind in ("JPEG", "PNG") and self.picture.mode in ("L", "RGB")


def file_bytes_most(max_pixels: int) -> int:
    """The size in bytes up to which files are read: that of so many pixels uncompressed, of 4 x 16 bits."""
    return 8 * max_pixels + BESIDE_PIXELS


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
        return _refused(("unreadable",), whole.width, whole.height, _said_by(error))
    return replace(whole, pixels=fitted)


def _upright_picture(content: bytes, form: Form, *, full: bool) -> Decoded:
    """All of the picture, not yet in its frame; of its `full` size, or smaller where that is enough."""
    width = height = 0
    try:
        with _bounds(None):
            picture = _opened(content)
        width, height = picture.size
        if width * height > form.max_pixels:
            what = f"{width} x {height} pixels, max_pixels is {form.max_pixels}"
            return _refused(("bomb",), width, height, what)
        with _bounds(form.max_pixels):
            header = _inspect(picture, content)
            width, height = header.size
            if form.refused & set(header.oddities):
                return _refused(header.oddities, width, height, _describe(header))
            pixels, damage = _pixels(content, header, form, full=full)
    except Exception as error:  # of a file that is damaged, whatever the decoder's code runs into
        return _refused((_kind_of(error),), width, height, _said_by(error))
    if header.kind != "JPEG":  # which may be smaller; an icon's size is not what its file declares
        height, width = pixels.shape[:2]
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
        content = read_file(path, file_bytes_most(PIXELS_MOST))
        with _bounds(PIXELS_MOST):
            header = _inspect(_opened(content), content)
    except Exception:  # it is told of when the picture is decoded
        return None
    width, height = header.size
    return (height, width) if upright and header.orientation > 4 else (width, height)


def _kind_of(error: Exception) -> Oddity:
    """What is odd about a file whose decoder raises this."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "bomb"
    return "truncated" if "truncated" in str(error) else "unreadable"


def _said_by(error: Exception) -> str:
    """The error in words: those of its library, without what is another in every run."""
    words = re.sub(r"<_io\.BytesIO[^>]*>|0x[0-9a-f]+", "", str(error))
    return in_a_line(" ".join(words.split())[:LONGEST] or type(error).__name__)


def _opened(content: bytes) -> Image.Image:
    """The file's picture, of which nothing is decoded yet."""
    return Image.open(io.BytesIO(content), formats=PICTURE_FORMATS)


def _inspect(picture: Image.Image, content: bytes) -> _Header:
    orientation = _exif(picture, content).get(ORIENTATION, 1)
    deep = picture.mode.startswith("I;16") or (picture.format == "PNG" and content[PNG_DEPTH] == 16)
    seen: dict[Oddity, bool] = {
        "animated": bool(getattr(picture, "is_animated", False)) and picture.format not in ONE_PICTURE,
        "cmyk": picture.mode == "CMYK",
        "sixteen_bit": deep or (picture.format == "PPM" and picture.mode == "I"),
        "alpha": picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info,
        "rotated": orientation in range(2, 9),
    }
    oddities = tuple(kind for kind, there in seen.items() if there)
    return _Header(
        picture=picture, oddities=oddities, orientation=orientation if "rotated" in oddities else 1
    )


def _exif(picture: Image.Image, content: bytes) -> Image.Exif:
    """Pillow decodes a PNG to look for EXIF behind its pixels; here only if there may be some."""
    if picture.format == "PNG":
        pixels = content.find(b"IDAT")
        if all(content.find(kind, pixels) < 0 for kind in SPEAKING_CHUNKS):
            return Image.Image.getexif(picture)
    return picture.getexif()


@contextlib.contextmanager
def _bounds(max_pixels: int | None) -> Iterator[None]:
    """Let Pillow refuse what holds more pixels, as in an icon, and say nothing of metadata that it mends."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _pixels(content: bytes, header: _Header, form: Form, *, full: bool) -> tuple[Pixels, str]:
    """[H, W, C] as stored, or smaller already where that is enough; in words what is damaged, or nothing."""
    whole = _complete(content, header.kind)
    if header.plain and whole and header.kind == "JPEG":
        return _jpeg(content, header, form.channels, 1 if full else _reduction(header, form))
    if header.plain and whole and (pixels := _png(content, form.channels)) is not None:
        return pixels, ""
    if "sixteen_bit" in header.oddities and header.kind in ("PNG", "TIFF") and whole:
        pixels = _in_bands(_by_opencv(content), form)
    else:
        pixels = _by_pillow(header, form)
    if header.kind == "TIFF":  # OpenCV and Pillow turn it by themselves
        pixels = _upright(pixels, TURNED_BACK.get(header.orientation, header.orientation))
    return pixels, ""


def _jpeg(content: bytes, header: _Header, channels: int, factor: int) -> tuple[Pixels, str]:
    """`factor` times smaller, which is faster so; OpenCV, of the same library, says nothing of damage."""
    width, height = (-(-side // factor) for side in header.size)
    colours = "RGB" if channels == 3 else "GRAY"
    try:
        return decode_jpeg(content, colours, min_height=height, min_width=width), ""
    except ValueError as error:
        mended = decode_jpeg(content, colours, min_height=height, min_width=width, strict=False)
        return mended, _said_by(error)


def _png(content: bytes, channels: int) -> Pixels | None:
    """None: it is damaged, and Pillow can say how."""
    colours = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), colours | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if pixels is None else np.asarray(pixels, np.uint8).reshape(*pixels.shape[:2], channels)


def _by_pillow(header: _Header, form: Form) -> Pixels:
    """By Pillow, which refuses a file that ends early and knows of alpha, palettes and CMYK."""
    picture = header.picture
    if isinstance(picture, TiffImageFile):
        _require_bounded_tiles(picture, form.max_pixels)
    picture.load()
    if "sixteen_bit" in header.oddities and picture.mode.startswith("I"):
        return _in_bands(np.asarray(picture), form)
    if picture.mode in ("I", "F"):
        raise ValueError(f"mode {picture.mode}: 32 bits a pixel, of unknown range")
    return _in_bands(picture, form)


def _require_bounded_tiles(picture: TiffImageFile, max_pixels: int) -> None:
    """A tile is held as a whole, however small the picture in it is.

    Raises:
        ValueError: a tile has more than `max_pixels`.

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


def _in_bands(whole: "Image.Image | npt.NDArray[np.generic]", form: Form) -> Pixels:
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


def _reduction(header: _Header, form: Form) -> int:
    """How many times smaller a JPEG may be decoded and still be no smaller than its frame."""
    turned = header.orientation > 4 and "rotated" not in form.kept
    width, height = header.size[::-1] if turned else header.size
    placed = place((width, height), form.frame, form.fit)
    ratio = min(width / placed.width, height / placed.height)
    return max(factor for factor in REDUCTIONS if factor == 1 or factor <= ratio)


def _complete(content: bytes, kind: str | None) -> bool:
    """Whether a file ends as its format says: OpenCV decodes one cut short without a word."""
    return content.endswith({"JPEG": b"\xff\xd9", "PNG": PNG_END}.get(kind or "", b""))


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
    width, height = header.size
    turned = f", EXIF orientation {header.orientation}" if header.orientation != 1 else ""
    return f"{header.picture.format} of {width} x {height}, mode {header.picture.mode}{turned}"


def _refused(oddities: tuple[Oddity, ...], width: int = 0, height: int = 0, what: str = "") -> Decoded:
    return Decoded(pixels=None, width=width, height=height, oddities=oddities, what=what)
