"""All pictures of a source, decoded side by side into one file of rows, and what is known of each.

Memory stays flat: pixels go to the file by plain writes, what is kept of a picture is a few numbers.
Imports little: it is what worker processes load.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from stages import picture_cache
from stages.decoding import Decoded, Form, decode
from stages.geometry import Pixels, fit_picture, place
from stages.side_by_side import in_order

SAMPLES = 72  # pixels a side that a look is taken at, 8 for each of its places
CHUNK = 64  # pictures a task, so that handing them over costs little

Crop = tuple[int, int, int, int] | None
Task = tuple[Path | Pixels, Crop]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is kept of one picture."""

    width: int
    height: int
    oddities: tuple[str, ...]
    what: str
    packed: bool
    """Whether its pixels stand in the file."""
    digest: tuple[int, int] = (0, 0)
    """Of the pixels as packed: equal pictures have equal ones."""
    look: tuple[int, int] = (0, 0)
    """Difference hash of 128 bits: pictures that look alike differ in few."""


def take_in(
    tasks: Iterable[Task], form: Form, file: Path, *, processes: int, cache: Path | None
) -> Iterator[Facts]:
    """Bring pictures into `form` and write them to `file`, a row each; their facts, in order.

    A picture that is refused leaves its row empty.
    """
    file.touch()
    work = partial(_take_in_chunk, form=form, file=file, cache=cache)
    return chain.from_iterable(in_order(work, _chunks(iter(tasks)), processes))


def _chunks(tasks: Iterator[Task]) -> Iterator[tuple[int, list[Task]]]:
    """Some tasks at a time, with the row of the first."""
    row = 0
    while chunk := list(islice(tasks, CHUNK)):
        yield row, chunk
        row += len(chunk)


def _take_in_chunk(
    numbered: tuple[int, list[Task]], *, form: Form, file: Path, cache: Path | None
) -> list[Facts]:
    cv2.setNumThreads(1)  # the processes are the parallel part
    first, tasks = numbered
    size = form.height * form.width * form.channels
    facts = []
    with file.open("r+b") as rows:
        for row, (picture, crop) in enumerate(tasks, start=first):
            decoded, digest = _bring_into(form, picture, crop, cache)
            facts.append(_facts(decoded, digest))
            if decoded.pixels is not None:
                os.pwrite(rows.fileno(), decoded.pixels.data, row * size)
    return facts


def _bring_into(form: Form, picture: Path | Pixels, crop: Crop, cache: Path | None) -> tuple[Decoded, bytes]:
    """The picture and the digest of its pixels."""
    if not isinstance(picture, Path):
        return _with_digest(_from_pixels(picture, form))
    try:
        content = picture.read_bytes()
    except OSError as error:
        what = f"{picture}: {error.strerror}"
        missing = Decoded(pixels=None, width=0, height=0, oddities=("missing_picture",), what=what)
        return _with_digest(missing)
    if cache is None:
        return _with_digest(decode(content, form, crop))
    key = picture_cache.cache_key(content, form, crop)
    known = picture_cache.load(cache, key, form)
    if known is None:
        known = _with_digest(decode(content, form, crop))
        picture_cache.store(cache, key, *known)
    return known


def _with_digest(decoded: Decoded) -> tuple[Decoded, bytes]:
    return decoded, picture_cache.digest_of(decoded)


def _from_pixels(picture: Pixels, form: Form) -> Decoded:
    height, width, _ = picture.shape
    picture = np.ascontiguousarray(picture)
    fitted = fit_picture(picture, place((width, height), form.frame, form.fit), form.frame, form.ground)
    return Decoded(pixels=fitted, width=width, height=height, oddities=(), what="")


def _facts(decoded: Decoded, digest: bytes) -> Facts:
    known = decoded.width, decoded.height, decoded.oddities, decoded.what
    if decoded.pixels is None:
        return Facts(*known, packed=False)
    halves = int.from_bytes(digest[:8]), int.from_bytes(digest[8:16])
    return Facts(*known, packed=True, digest=halves, look=difference_hash(decoded.pixels))


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
