"""Files and folders that are written completely or not at all."""

import glob
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.core.errors import DataError

PICTURE_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI"),
    *("DIB", "ICO", "CUR", "ICNS", "PSD", "DDS", "BLP", "FTEX", "PCX", "DCX", "SGI", "SUN", "PIXAR"),
    *("FLI", "MSP", "XBM", "XPM", "GBR", "FITS", "XVTHUMB", "PCD", "TGA"),
)
"""What Pillow may open, by its own names and in this order, whatever a file is called: all that it decodes by
itself, the usual ones first and those without a signature last.

Left out are the ones that it hands to others: EPS (a program, for Ghostscript to run), WMF (Windows), IPTC
(opens what is in it as any format, EPS too), BUFR, GRIB and HDF5 (whatever has been installed for them), MPEG
(only its size). So are SPIDER, MCIDAS and IMT, measurements without a known range or a suffix, and IM, which
Pillow gives up.
"""

PICTURE_SUFFIXES = frozenset(
    {
        *(".apng", ".avif", ".avifs", ".blp", ".bmp", ".bw", ".cur", ".dcx", ".dds", ".dib", ".fit"),
        *(".fits", ".flc", ".fli", ".ftc", ".ftu", ".gbr", ".gif", ".icb", ".icns", ".ico", ".j2c"),
        *(".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".msp", ".pbm"),
        *(".pcd", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".pxr", ".qoi", ".ras", ".rgb"),
        *(".rgba", ".sgi", ".tga", ".tif", ".tiff", ".vda", ".vst", ".webp", ".xbm", ".xpm"),
    }
)
"""Endings of the names of such files."""

FOREIGN_SUFFIXES = frozenset(
    {
        *(".3fr", ".ai", ".arw", ".cr2", ".cr3", ".dcm", ".dng", ".emf", ".eps", ".erf", ".exr", ".hdr"),
        *(".heic", ".heics", ".heif", ".hif", ".jls", ".jxl", ".jxr", ".kdc", ".mrw", ".nef", ".nrw"),
        *(".orf", ".pef", ".ps", ".raf", ".rw2", ".sr2", ".srw", ".svg", ".svgz", ".wdp", ".wmf", ".x3f"),
        ".xcf",
    }
)
"""Endings of the names of pictures that are not read here: of phones, cameras, drawing programs."""


def write_atomically(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write `content` to `path`: either all of it stands there afterwards, or what stood there before.

    `mode` are its permissions, of which the process's umask takes some away; at no moment it has more.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(partial, flags, mode), "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def write_folder_atomically(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which replaces `path` once the block has ended without error."""
    remove_leftovers(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left beside it; a path has one writer at a time."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, keys in the order given.

    Raises:
        DataError: A number is NaN or infinite, which tells nothing, and which JSON cannot express.

    """
    if (place := _not_finite(value)) is not None:
        raise DataError(f"{path}: {place or 'the number'} is NaN or infinite: nothing is written")
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def _not_finite(value: Any) -> str | None:
    """Where the first number that is NaN or infinite stands in dictionaries and lists, as `a.b.0`."""
    if isinstance(value, float):
        return None if math.isfinite(value) else ""
    if isinstance(value, Mapping):
        entries: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list | tuple):
        entries = enumerate(value)
    else:
        return None
    for key, entry in entries:
        if (place := _not_finite(entry)) is not None:
            return f"{key}.{place}".rstrip(".")
    return None
