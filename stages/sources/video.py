"""Videos in a folder for each class, as pictures: `class/.../name.mp4`, or `train/class/...`, `val/...`."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.intake.folders import open_file
from stages.intake.geometry import Pixels, fit_picture, place
from stages.sources.naming import splits_among
from stages.sources.params import VideoParams
from stages.sources.rows import Finding, Found, Row, existing_folder, files_below

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})
BEGINNINGS = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (8, b"AVI "), (0, b"\x1a\x45\xdf\xa3"))
"""What containers begin with, and where: FFmpeg takes a text of that name for a list of other files."""
LARGEST = 1 << 26  # px of a frame: it is decoded as a whole
NEARLY_ALL = 0.9  # of the frames that a container states, which some only estimate

# What FFmpeg and OpenCV say of a video names no file. FFmpeg asks once, when it is used first.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def read_videos(raw: Path, params: VideoParams) -> Found:
    """A row for each frame that is taken, in order of the paths; it is in its form already.

    Where `shape` is `auto`, the first frame of each video, of its own size.

    Raises:
        DataError: No such folder, no video in a folder of it, or it cannot be told what is a class and what a
            split.

    """
    folder = existing_folder(raw / params.folder)
    names = [name for name in files_below(folder) if PurePosixPath(name).suffix.lower() in SUFFIXES]
    if not any("/" in name for name in names):
        suffixes = ", ".join(sorted(SUFFIXES))
        raise DataError(f"{folder}: no video ({suffixes}) in a folder of it; make one for each class")
    tops = list(dict.fromkeys(name.split("/")[0] for name in names if "/" in name))
    splits = splits_among(folder, tops, params.classes or ())
    for name in files_below(folder):
        where, parts = (folder / name).as_posix(), PurePosixPath(name).parts
        if PurePosixPath(name).suffix.lower() not in SUFFIXES:
            yield Finding(kind="stray_file", where=where, what="not named as videos are")
        elif len(parts) < (3 if splits else 2):
            yield Finding(kind="unlabelled_picture", where=where, what="lies in no class's folder")
        else:
            yield from _rows(folder / name, parts[1 if splits else 0], splits.get(parts[0]), params)


def _rows(file: Path, label: str, split: Split | None, params: VideoParams) -> Found:
    where = file.as_posix()
    if not is_container(file):
        yield Finding(kind="unreadable", where=where, what="no video of a known container")
        return
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    video = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
    try:
        stated = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        width, height = (
            int(video.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if width * height > LARGEST:
            what = f"frames of {width} x {height} px are too large"
            yield Finding(kind="bomb", where=where, what=what)
            return
        number = -1
        for number, pixels in frames_of(video, params.every):
            if pixels is not None:
                yield Row(
                    where=f"{where}: frame {number}",
                    picture=_in_form(pixels, params),
                    labels=(label,),
                    split=split,
                    group=where,
                )
                if isinstance(params.shape, str):  # auto: one frame tells the size of all
                    return
    finally:
        video.release()
    if number < 0:
        yield Finding(kind="unreadable", where=where, what="no frame of it can be decoded")
    elif number + 1 < NEARLY_ALL * stated:
        yield Finding(kind="truncated", where=where, what=f"ends after {number + 1} of {stated} frames")


def is_container(file: Path) -> bool:
    """Whether the file begins as a container of videos does."""
    try:
        with open_file(file) as content:  # a pipe would be waited for
            head = content.read(16)
    except OSError:
        return False
    return any(head[at : at + len(sign)] == sign for at, sign in BEGINNINGS)


def frames_of(video: cv2.VideoCapture, every: int) -> Iterator[tuple[int, Pixels | None]]:
    """The number of each frame, and its pixels [H, W, 3], blue first, if it is one of each `every` frames."""
    number = 0
    while video.grab():
        pixels = None
        if number % every == 0:
            well, frame = video.retrieve()
            if not well:
                return
            pixels = np.asarray(frame, np.uint8)
        yield number, pixels
        number += 1


def _in_form(pixels: Pixels, params: VideoParams) -> Pixels:
    """Grey or RGB, and brought into the form at once: frames of full size would fill the memory."""
    colours = cv2.COLOR_BGR2RGB if params.channels == 3 else cv2.COLOR_BGR2GRAY
    image = np.asarray(cv2.cvtColor(pixels, colours), np.uint8).reshape(*pixels.shape[:2], params.channels)
    if isinstance(params.shape, str):
        return image
    height, width = params.shape
    placed = place((image.shape[1], image.shape[0]), (width, height), params.fit)
    return fit_picture(image, placed, (width, height), params.ground)
