"""Frames of a video as pictures for a model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stages.intake.geometry import Pixels
from stages.sources.video import LARGEST, SUFFIXES, frames_of, is_container


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a video."""

    name: str
    """The video's path, and the frame's number from 0 on: `film.mp4/000012`."""
    pixels: Pixels
    """[H, W, 3] in uint8, red first."""


def is_video(path: str | Path) -> bool:
    """Whether the file is named as videos are."""
    return Path(path).suffix.lower() in SUFFIXES


def read_frames(path: Path, every: int) -> Iterator[Frame]:
    """Each `every`-th frame from the first on; none where the file is no video that can be decoded."""
    if not is_container(path):
        return
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT) > LARGEST:
            return
        for number, pixels in frames_of(video, every):
            if pixels is not None:
                rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
                yield Frame(f"{path}/{number:06d}", rgb)
    finally:
        video.release()
