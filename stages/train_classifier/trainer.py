"""What the classifier adds to the loop of training."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from stages.augmentation.pipeline import TransformGenerators
from stages.classifier.loss import Loss
from stages.classifier.network import Classifier, ask, attributes_of
from stages.core.packed import UNCLASSED, ClassificationSplit, targets_of
from stages.networks.calibration import average_precisions
from stages.networks.compute import Compute
from stages.train_classifier.batches import Batch, Batches
from stages.training.loop import Judgement, Trainer, finite
from stages.training.optimization import Learner
from stages.training.state import Part, TrainingState

SHOWN = ("val_accuracy", "val_map")
"""Figures that the line of progress has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierTrainer(Trainer[Batch]):
    """Batches are images [B, C, H, W] in 0..1, labels [B] and attributes [B, A]."""

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
        """The learner's parts, and the generators of the augmentation."""
        return {"augmentation": TransformGenerators(self.train.pipeline), **self.learner.parts()}

    def batches(self, epoch: int, *, done: int) -> Iterable[Batch]:
        """The training pictures as they are shown in this epoch."""
        return self.train.epoch(epoch, done=done)

    def begin_epoch(self) -> None:
        """Put the network into training mode; validation has left it in evaluation mode."""
        self.learner.network.train()

    def step(self, batch: Batch, state: TrainingState) -> dict[str, float]:
        """One step down the loss, which is its one figure."""
        loss = self.loss(self.learner.network, *batch)
        figures = {"loss": finite(loss, state)}
        self.learner.step(loss)
        return figures

    def judge(self, state: TrainingState) -> Judgement:
        """The mean loss of the epoch's steps; what `validate` finds on val, from one view of each picture."""
        train_loss = sum(figures["loss"] for figures in state.figures) / len(state.figures)
        figures = validate(self.judged, self.val, compute=self.compute, views=1)
        return Judgement(
            row={"train_loss": train_loss, **figures, "learning_rate": self.learner.learning_rate},
            shown={"loss": train_loss} | {name: figures[name] for name in SHOWN if name in figures},
        )


def validate(
    network: Classifier, split: ClassificationSplit, *, compute: Compute, views: int
) -> dict[str, float]:
    """Figures of `network`'s predictions on the validation split, from so many views of each picture.

    `val_loss` is the cross-entropy of the classes and `val_accuracy` their accuracy, over the pictures that
    have one; `val_attribute_loss` is the binary cross-entropy of the attributes that are known and `val_map`
    the mean of their average precisions. What the network does not learn, or val does not know, has no
    figure; with both, `val_score` is the mean of accuracy and mAP.
    """
    found = ask(network.eval(), split.images, compute=compute, views=views)
    figures: dict[str, float] = {}
    classed = torch.from_numpy(split.labels != UNCLASSED)
    if network.config["classes"] and bool(classed.any()):
        labels, probabilities = torch.from_numpy(split.labels)[classed], found.classes[classed]
        # A probability that underflowed to zero would make the loss infinite, which JSON cannot hold.
        logarithms = probabilities.clamp_min(torch.finfo(torch.float32).tiny).log()
        figures["val_loss"] = F.nll_loss(logarithms, labels).item()
        figures["val_accuracy"] = (probabilities.argmax(dim=1) == labels).float().mean().item()
    if names := attributes_of(network.config):
        targets = targets_of(split.attributes, names, len(split.labels))
        known = torch.from_numpy(~np.isnan(targets))
        loss = F.binary_cross_entropy(found.attributes[known], torch.from_numpy(targets)[known])
        figures["val_attribute_loss"] = loss.item()
        precisions = average_precisions(found.attributes.numpy(), targets)
        if not np.isnan(precisions).all():
            figures["val_map"] = float(np.nanmean(precisions))
            if "val_accuracy" in figures:
                figures["val_score"] = (figures["val_accuracy"] + figures["val_map"]) / 2
    return figures
