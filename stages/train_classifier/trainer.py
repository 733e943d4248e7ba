"""What the classifier adds to the loop of training."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stages.augmentation.pipeline import TransformGenerators
from stages.classifier.loss import Loss
from stages.classifier.network import Classifier, predict
from stages.core.packed import ClassificationSplit
from stages.networks.compute import Compute
from stages.train_classifier.batches import Batches
from stages.training.loop import Judgement, Trainer, finite
from stages.training.optimization import Learner
from stages.training.state import Part, TrainingState


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierTrainer(Trainer[tuple[Tensor, Tensor]]):
    """Batches are images [B, C, H, W] in 0..1 and labels [B]."""

    learner: Learner[Classifier]
    train: Batches
    val: ClassificationSplit
    loss: Loss
    compute: Compute

    @property
    def judged(self) -> Classifier:
        """The network, or the average of its weights."""
        return self.learner.judged

    def parts(self) -> dict[str, Part]:
        """The learner's, and albumentations' generators."""
        return {"augmentation": TransformGenerators(self.train.pipeline), **self.learner.parts()}

    def batches(self, epoch: int, *, done: int) -> Iterable[tuple[Tensor, Tensor]]:
        """The training pictures as they are shown in this epoch."""
        return self.train.epoch(epoch, done=done)

    def begin_epoch(self) -> None:
        """Validation has left the network in evaluation mode."""
        self.learner.network.train()

    def step(self, batch: tuple[Tensor, Tensor], state: TrainingState) -> dict[str, float]:
        """One step down the loss, which is its one figure."""
        loss = self.loss(self.learner.network, *batch)
        figures = {"loss": finite(loss, state)}
        self.learner.step(loss)
        return figures

    def judge(self, state: TrainingState) -> Judgement:
        """The mean loss of the epoch's steps; loss and accuracy on val, from one view of each picture."""
        train_loss = sum(figures["loss"] for figures in state.figures) / len(state.figures)
        figures = validate(self.judged, self.val, compute=self.compute, views=1)
        return Judgement(
            row={"train_loss": train_loss, **figures, "learning_rate": self.learner.learning_rate},
            shown={"loss": train_loss, "val_accuracy": figures["val_accuracy"]},
        )


def validate(
    network: Classifier, split: ClassificationSplit, *, compute: Compute, views: int
) -> dict[str, float]:
    """Cross-entropy and accuracy of `network`'s predictions on the validation split, from so many views."""
    probabilities = predict(network.eval(), split.images, compute=compute, views=views)
    labels = torch.from_numpy(split.labels)
    return {
        # A probability that underflowed to zero would make the loss infinite, which JSON cannot hold.
        "val_loss": F.nll_loss(probabilities.clamp_min(torch.finfo(torch.float32).tiny).log(), labels).item(),
        "val_accuracy": (probabilities.argmax(dim=1) == labels).float().mean().item(),
    }
