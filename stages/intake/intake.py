"""All pictures of a source, decoded side by side into rows of pixels, and what is known of each.

Memory stays flat: pixels go to files by plain writes, what is kept of a picture is a few numbers.
Imports little: it is what worker processes load.
"""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from stages.core.texts import in_a_line
from stages.intake.decoding import decode
from stages.intake.folders import read_file
from stages.intake.form import Crop, Decoded, Form, Oddity
from stages.intake.geometry import Pixels, fit_picture, place
from stages.intake.header import file_bytes_most
from stages.intake.picture_cache import LIMIT_BYTES, Facts, Known, digest_of, keep_within, key_of, note
from stages.intake.pixel_rows import ROWS, RowWriter
from stages.intake.side_by_side import in_order, one_by_one

SAMPLES = 72  # pixels a side that a look is taken at, 8 for each of its places
CHUNK = 64  # pictures a task, so that handing them over costs little
NOTED_EVERY = 1.0  # seconds: what is lost at most where the run is killed

Task = tuple[Path | Pixels, Crop | None]
Taken = tuple[Facts, bytes | None]
"""A picture, and the key by which it is to be noted."""


def take_in(
    tasks: Iterable[Task], form: Form, folder: Path, *, processes: int, remember: bool
) -> Iterator[Facts]:
    """Bring pictures into `form` and write those that are not refused to files in `folder`; facts in order.

    `remember`: pictures that the folder holds already are not decoded again, new ones are noted there. It is
    one of the folders of a cache, which is kept within its limit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = partial(_take_in_chunk, form=form, folder=folder, run=secrets.token_hex(8), remember=remember)
    new: list[tuple[bytes, Facts]] = []
    noted = time.monotonic()
    try:
        for chunk in in_order(work, _chunks(iter(tasks)), processes, crashed=partial(_carefully, work=work)):
            new += [(key, facts) for facts, key in chunk if key is not None]
            if time.monotonic() - noted > NOTED_EVERY:
                note(folder, new)
                new, noted = [], time.monotonic()
            yield from (facts for facts, _ in chunk)
    finally:
        if new:
            note(folder, new)
        if remember:
            keep_within(folder.parent, LIMIT_BYTES)


def _chunks(tasks: Iterator[Task]) -> Iterator[list[Task]]:
    """Some tasks at a time."""
    while chunk := list(islice(tasks, CHUNK)):
        yield chunk


def _carefully(tasks: list[Task], *, work: Callable[[list[Task]], list[Taken]]) -> list[Taken]:
    """Some pictures of which one may have crashed the process that decoded it: that one is unreadable."""
    found = one_by_one(work, ([task] for task in tasks))
    return [
        _unreadable(picture) if taken is None else taken[0]
        for (picture, _), taken in zip(tasks, found, strict=True)
    ]


def _unreadable(picture: Path | Pixels) -> Taken:
    named = picture if isinstance(picture, Path) else "pixels"
    what = in_a_line(f"{named}: the process that decodes it crashes; save it anew, or move it away")
    return Facts(0, 0, ("unreadable",), what, place=None), None


def _take_in_chunk(tasks: list[Task], *, form: Form, folder: Path, run: str, remember: bool) -> list[Taken]:
    cv2.setNumThreads(1)  # the processes are the parallel part
    rows = RowWriter(folder / f"{run}-{os.getpid()}{ROWS}", form.row_bytes)
    known = Known(folder, form.row_bytes) if remember else None
    with contextlib.closing(rows), contextlib.closing(known) if known else contextlib.nullcontext():
        return [_take_in(picture, crop, form, rows, known) for picture, crop in tasks]


def _take_in(
    picture: Path | Pixels, crop: Crop | None, form: Form, rows: RowWriter, known: Known | None
) -> Taken:
    if not isinstance(picture, Path):
        return _write(_from_pixels(picture, form), rows), None
    try:
        content = read_file(picture, file_bytes_most(form.max_pixels))
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        oddity: Oddity = "bomb" if getattr(error, "errno", None) == errno.EFBIG else "missing_picture"
        what = in_a_line(f"{picture}: {getattr(error, 'strerror', error)}")
        return _write(Decoded(pixels=None, width=0, height=0, oddities=(oddity,), what=what), rows), None
    if known is None:
        return _write(decode(content, form, crop), rows), None
    key = key_of(content, crop)
    facts = known.find(key)
    return (facts, None) if facts else (_write(decode(content, form, crop), rows), key)


def _from_pixels(picture: Pixels, form: Form) -> Decoded:
    height, width, _ = picture.shape
    picture = np.ascontiguousarray(picture)
    fitted = fit_picture(picture, place((width, height), form.frame, form.fit), form.frame, form.ground)
    return Decoded(pixels=fitted, width=width, height=height, oddities=(), what="")


def _write(decoded: Decoded, rows: RowWriter) -> Facts:
    known = decoded.width, decoded.height, decoded.oddities, decoded.what
    if decoded.pixels is None:
        return Facts(*known, place=None)
    digest, look = digest_of(decoded.pixels.data), difference_hash(decoded.pixels)
    return Facts(*known, place=rows.append(decoded.pixels), digest=digest, look=look)


def difference_hash(image: Pixels) -> tuple[int, int]:
    """Whether brightness rises to the right, and whether downwards, at 8 x 8 places each: 2 x 64 bits.

    N. Krawetz 2013, "Kind of Like That". Of a picture [H, W, C].
    """
    if min(image.shape[:2]) > 2 * SAMPLES:  # averaging all of a large picture takes longer than decoding it
        image = np.asarray(cv2.resize(image, (SAMPLES, SAMPLES), interpolation=cv2.INTER_NEAREST), np.uint8)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 and image.shape[2] == 3 else image
    small = np.asarray(cv2.resize(grey, (9, 9), interpolation=cv2.INTER_AREA), np.uint8).reshape(9, 9)
    right, down = small[:8, 1:] > small[:8, :8], small[1:, :8] > small[:8, :8]
    return _bits(right), _bits(down)


def _bits(flags: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> int:
    return int.from_bytes(np.packbits(flags).tobytes())
