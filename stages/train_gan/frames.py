"""What a generator draws from the same latents at several points of its training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.training.samples import GeneratorSamples, Pictures


class Frames:
    """Pictures of the same latents at several times of training; a part of the checkpoint."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, Tensor]] = []

    def add(self, time: int, pictures: Pictures) -> None:
        """Keep pictures [N, H, W, C] of time `time`, an epoch or a step."""
        self._kept.append((time, torch.from_numpy(pictures)))

    def times(self) -> list[int]:
        """The times at which pictures were kept, in order."""
        return [time for time, _ in self._kept]

    def pictures(self) -> list[Pictures]:
        """The pictures [N, H, W, C] of each of these times."""
        return [pictures.numpy() for _, pictures in self._kept]

    def state_dict(self) -> dict[str, Any]:
        """The kept pictures, as a checkpoint stores them."""
        return {"kept": [[time, pictures] for time, pictures in self._kept]}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Take over the pictures that a checkpoint stored."""
        self._kept = [(time, pictures) for time, pictures in state["kept"]]


def samples_of(epochs: Frames, film: Frames) -> GeneratorSamples:
    """Join the pictures of epochs and film to arrays; the film has a frame at least, epochs may have none."""
    moving = np.stack(film.pictures())
    still = np.stack(epochs.pictures()) if epochs.times() else moving[:0]
    return GeneratorSamples(
        epochs=np.array(epochs.times(), dtype=np.int64),
        epoch_pictures=still,
        steps=np.array(film.times(), dtype=np.int64),
        step_pictures=moving,
    )


def frame_steps(steps: int, frames: int) -> frozenset[int]:
    """The steps, of all from 1 to `steps`, after which a frame of the film is drawn: evenly, and the last."""
    return frozenset(max(1, round(frame * steps / frames)) for frame in range(1, frames + 1))
