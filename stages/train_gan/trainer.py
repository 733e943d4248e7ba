"""What the generator and its discriminator add to the common training loop."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from stages.core.packed import ClassificationSplit
from stages.generator.network import Generator, draw_fixed, generate
from stages.networks.compute import Compute
from stages.train_gan.failures import fail, recall, troubles
from stages.train_gan.frames import Frames
from stages.train_gan.material import Material, draw_batch
from stages.train_gan.params import TrainGanParams, WassersteinParams
from stages.train_gan.steps import Adversaries, make_fakes, train_discriminator_step, train_generator_step
from stages.training.batches import shuffled_batches
from stages.training.budget import batch_count
from stages.training.loop import Judgement, Trainer, finite
from stages.training.state import Part, TrainingState

SAMPLE = 1000  # pictures, for spread and recall: enough for two digits, a second of work


@dataclass(frozen=True, kw_only=True, slots=True)
class GanTrainer(Trainer[Tensor]):
    """Batches are rows [B] of the training pictures."""

    networks: Adversaries
    material: Material
    split: ClassificationSplit
    params: TrainGanParams
    compute: Compute
    seed: int
    film_steps: frozenset[int]
    """The steps after which a frame of the film is drawn."""
    epochs: Frames = field(default_factory=Frames)
    """Pictures of the same latents after some of the epochs."""
    film: Frames = field(default_factory=Frames)
    """Pictures of the same latents after each of the `film_steps`."""

    @property
    def judged(self) -> Generator:
        """The averaged generator."""
        return self.networks.generator.judged

    @property
    def steps(self) -> int:
        """The number of steps in an epoch."""
        return batch_count(len(self.split.images), self.params.batch_size)

    def parts(self) -> dict[str, Part]:
        """The parts of both networks, and the pictures that were kept."""
        return {**self.networks.parts(), "epochs": self.epochs, "film": self.film}

    def batches(self, epoch: int, *, done: int) -> Iterable[Tensor]:
        """Batches of all rows in another order, without those that fill no batch."""
        return shuffled_batches(
            len(self.split.images), self.params.batch_size, seed=self.seed, epoch=epoch, done=done
        )

    def step(self, batch: Tensor, state: TrainingState) -> dict[str, float]:
        """A step of the discriminator and, if it is due, of the generator; what they tell of themselves."""
        step = (state.epoch - 1) * self.steps + state.step + 1
        drawn = draw_batch(self.material, batch, self.params, self.compute)
        fakes = make_fakes(self.networks.generator.network, drawn, self.compute)
        figures = train_discriminator_step(self.networks, drawn, fakes, self.params, self.compute, step=step)
        if step % self.params.discriminator_steps == 0:
            figures |= train_generator_step(self.networks, drawn, fakes, self.params, self.compute)
        numbers = {name: finite(value, state) for name, value in figures.items()}
        if step in self.film_steps:
            self.film.add(step, self._draw_fixed())
        return numbers

    def judge(self, state: TrainingState) -> Judgement:
        """Means of the steps' figures; spread and recall of the generator's pictures; what is wrong."""
        figures, warnings = judge_epoch(
            self.judged, self.split, state, self.params, self.compute, seed=self.seed
        )
        # What fills no batch waits its turn.
        seen = min(len(self.split.images), self.steps * self.params.batch_size)
        return Judgement(
            row={"pictures_seen": state.epoch * seen, **figures, "troubles": len(warnings)},
            shown=figures,
            warnings=warnings,
            details=self._draw_fixed(),
        )

    def after_epoch(self, judgement: Judgement, state: TrainingState) -> None:
        """Keep the pictures of every few epochs; end training that has failed."""
        epoch = len(state.history)
        if epoch % self.params.sheet_every == 0:
            self.epochs.add(epoch, judgement.details)
        fail(state.history, judgement.warnings, self.params.failure, epochs=self.params.epochs)

    def _draw_fixed(self) -> npt.NDArray[np.uint8]:
        return draw_fixed(self.judged, self.compute, columns=self.params.sheet_columns, seed=self.seed)


def judge_epoch(
    network: Generator,
    split: ClassificationSplit,
    state: TrainingState,
    params: TrainGanParams,
    compute: Compute,
    *,
    seed: int,
) -> tuple[dict[str, float], list[str]]:
    """The means of the epoch's figures, spread and recall of the generator; what is wrong, in words."""
    figures = {str(name): float(mean) for name, mean in pd.DataFrame(state.figures).mean().items()}
    # Evenly from all of the split, which may be sorted by class.
    sample = np.linspace(0, len(split.images) - 1, min(SAMPLE, len(split.images))).astype(np.int64)
    real, labels = split.images[sample], split.labels[sample]
    generated = generate(network, labels, seed=seed, compute=compute, batch_size=SAMPLE)
    figures["spread"] = relative_spread(real, generated, labels)
    figures["recall"] = recall(real, generated)
    wins = not isinstance(params.loss, WassersteinParams)  # a critic may tell all apart: its slope is bounded
    young = state.epoch <= min(params.failure.grace, params.epochs - 1)
    warnings = list(troubles(state.figures, figures["recall"], params.failure, wins=wins, young=young))
    return figures, warnings


def relative_spread(
    real: npt.NDArray[np.uint8], generated: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]
) -> float:
    """Mean distance between two pictures of a class, generated ones' over real ones'."""
    # Real pictures that are all alike would divide by nought: one grey level at the least.
    return _spread(generated, labels) / max(_spread(real, labels), 1.0)


def _spread(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> float:
    flat = torch.tensor(images).flatten(1).float()  # [N, H * W * C]
    distances = torch.cat([F.pdist(flat[labels == label]) for label in np.unique(labels)])
    return float(distances.sum() / max(len(distances), 1))
