"""What a picture file says of itself before its pixels are decoded: format, size, EXIF, what is odd."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from stages.core.files import PICTURE_FORMATS
from stages.intake.folders import read_file
from stages.intake.form import Oddity

ORIENTATION = 0x0112  # EXIF's number for it
PNG_DEPTH = 24  # the byte of a PNG file that tells the bits of a channel
ONE_PICTURE = ("MPO", "PSD")  # formats whose first picture is the one that is meant
SPEAKING_CHUNKS = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")  # of a PNG file, which may hold EXIF
BESIDE_PIXELS = 64 << 20  # bytes of a file that its pixels need not account for
PIXELS_MOST = 178_956_970  # Pillow's own bound


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What is known of a picture before its pixels are decoded."""

    picture: Image.Image
    oddities: tuple[Oddity, ...]
    orientation: int
    """EXIF's, from 1 to 8; 1 is upright."""

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


def size_of(path: Path, *, upright: bool) -> tuple[int, int] | None:
    """Read the size of a file's picture, as stored or `upright` as its EXIF says; None: no picture.

    The size is width and height in pixels.
    """
    try:
        content = read_file(path, file_bytes_most(PIXELS_MOST))
        with pillow_bounds(PIXELS_MOST):
            header = read_header(opened(content), content)
    except Exception:  # it is told of when the picture is decoded
        return None
    width, height = header.size
    return (height, width) if upright and header.orientation > 4 else (width, height)


def opened(content: bytes) -> Image.Image:
    """The file's picture, of which nothing is decoded yet."""
    return Image.open(io.BytesIO(content), formats=PICTURE_FORMATS)


def read_header(picture: Image.Image, content: bytes) -> Header:
    """The header of a picture that was `opened` from these bytes of a file."""
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
    return Header(picture=picture, oddities=oddities, orientation=orientation if "rotated" in oddities else 1)


def _exif(picture: Image.Image, content: bytes) -> Image.Exif:
    """Pillow decodes a PNG to look for EXIF behind its pixels; here only if there may be some."""
    if picture.format == "PNG":
        pixels = content.find(b"IDAT")
        if all(content.find(kind, pixels) < 0 for kind in SPEAKING_CHUNKS):
            return Image.Image.getexif(picture)
    return picture.getexif()


@contextlib.contextmanager
def pillow_bounds(max_pixels: int | None) -> Iterator[None]:
    """Let Pillow refuse what holds more pixels, as in an icon, and say nothing of metadata that it mends."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def describe(header: Header) -> str:
    """Format, size and mode in words."""
    width, height = header.size
    turned = f", EXIF orientation {header.orientation}" if header.orientation != 1 else ""
    return f"{header.picture.format} of {width} x {height}, mode {header.picture.mode}{turned}"
