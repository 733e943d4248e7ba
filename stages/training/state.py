"""The state of a training: everything that its next step reads, in parts that a checkpoint stores."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np
import torch


class Part(Protocol):
    """A part of the state; networks, optimizers and schedules are parts as they are."""

    def state_dict(self) -> Mapping[str, Any]:
        """The part's state as tensors and what JSON has."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Take over the state that `state_dict` gave."""
        ...


@dataclass(kw_only=True, slots=True)
class TrainingState:
    """How far a training has come, and its figures on the way."""

    epoch: int = 1
    """The epoch under way; the first is 1."""
    step: int = 0
    """Steps done in this epoch."""
    figures: list[dict[str, float]] = field(default_factory=list)
    """The figures of each of these steps."""
    history: list[dict[str, float]] = field(default_factory=list)
    """The rows of the epochs before."""
    best: dict[str, Any] = field(default_factory=dict)
    """Score, weights and details of the best epoch so far, where training chooses one."""

    def end_epoch(self, row: dict[str, float]) -> None:
        """Turn to the next epoch; `row` has the figures of this one."""
        self.history.append(row)
        self.epoch, self.step, self.figures = self.epoch + 1, 0, []

    def state_dict(self) -> dict[str, Any]:
        """The state as a checkpoint stores it."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Continue from the state that a checkpoint stored."""
        for name, value in state.items():
            setattr(self, name, value)


class Generators:
    """The random generators that belong to no object: torch's on every device, numpy's, Python's."""

    def state_dict(self) -> dict[str, Any]:
        """The state as a checkpoint stores it."""
        of_numpy: dict[str, Any] = np.random.get_state(legacy=False)
        of_numpy["state"] = of_numpy["state"] | {"key": of_numpy["state"]["key"].tolist()}
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": of_numpy,
            "python": random.getstate(),
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Continue each generator from the state that a checkpoint stored."""
        torch.set_rng_state(state["torch"])
        if state["cuda"]:
            torch.cuda.set_rng_state_all(state["cuda"])
        np.random.set_state(state["numpy"])
        random.setstate(state["python"])
