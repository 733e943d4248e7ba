"""What the detector adds to the common training loop."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import torch
from torch import nn

from stages.augmentation.pipeline import TransformGenerators
from stages.networks.compute import Compute
from stages.train_detector.batches import DetectorBatches, Shown
from stages.train_detector.params import TrainDetectorParams
from stages.train_detector.start import set_training
from stages.train_detector.validation import Held, evaluate, losses_of, validation_loss
from stages.training.loop import Judgement, Trainer, finite
from stages.training.optimization import Learner
from stages.training.state import Part, TrainingState


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorTrainer(Trainer[Shown]):
    """Validates every few epochs; `details` of a validation is its `AveragePrecision`."""

    learner: Learner[nn.Module]
    train: DetectorBatches
    val: Held
    params: TrainDetectorParams
    compute: Compute

    @property
    def judged(self) -> nn.Module:
        """The network with the average of its weights."""
        return self.learner.judged

    def parts(self) -> dict[str, Part]:
        """The learner's parts, and the generators of the augmentation."""
        return {"augmentation": TransformGenerators(self.train.pipeline), **self.learner.parts()}

    def batches(self, epoch: int, *, done: int) -> Iterable[Shown]:
        """The training pictures as they are shown in this epoch."""
        return self.train.epoch(epoch, done=done)

    def begin_epoch(self) -> None:
        """Put all but the frozen parts into training mode."""
        set_training(self.learner.network, self.params.frozen)

    def step(self, batch: Shown, state: TrainingState) -> dict[str, float]:
        """One step down the sum of the losses; each of them, and the learning rate."""
        losses = losses_of(self.learner.network, batch, self.compute)
        loss = torch.stack(list(losses.values())).sum()
        finite(loss, state)
        rate = self.learner.learning_rate
        self.learner.step(loss)
        return {str(name): value.item() for name, value in losses.items()} | {"learning_rate": rate}

    def judge(self, state: TrainingState) -> Judgement:
        """The means of the steps' losses, the last step's learning rate and, if it is due, validation."""
        last = state.figures[-1]
        means = {name: sum(step[name] for step in state.figures) / len(state.figures) for name in last}
        row = means | {"learning_rate": last["learning_rate"]}
        if state.epoch % self.params.validate_every and state.epoch != self.params.epochs:
            return Judgement(row=row, shown=row)
        row["val_loss"] = validation_loss(self.judged, self.val, self.compute, self.params.batch_size)
        scores = evaluate(self.judged, self.val, self.compute, self.params.batch_size)
        row |= {"val_map50": scores.map50, "val_map": scores.map}
        return Judgement(row=row, shown=row, details=asdict(scores))
