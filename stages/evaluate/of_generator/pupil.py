"""Classification accuracy score: what generated pictures teach a classifier (Ravuri & Vinyals 2019).

https://arxiv.org/abs/1905.10887. A fresh classifier is trained on them alone and tested on real pictures: it
falls where a class lacks variety or means something else.
"""

import numpy as np
import numpy.typing as npt
import torch

from stages.classifier.loss import Loss
from stages.classifier.network import Classifier, build_classifier, predict
from stages.evaluate.params import PupilParams
from stages.networks.compute import Compute, to_unit
from stages.training.batches import shuffled_batches
from stages.training.budget import batch_count
from stages.training.optimization import build_learner
from stages.training.params import ScheduleParams, SgdParams

Pictures = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

WARMUP = 0.2


def train_anew(
    like: Classifier, images: Pictures, labels: Labels, params: PupilParams, compute: Compute, *, seed: int
) -> Classifier:
    """Train one built like another, but of classes alone, on pictures [N, H, W, C] and labels [N]."""
    with torch.random.fork_rng(devices=[]):  # what is drawn here moves nothing elsewhere
        torch.manual_seed(seed)
        network = compute.network(build_classifier({**like.config, "attributes": []}))
    steps = params.epochs * batch_count(len(images), params.batch_size)
    learner = build_learner(
        network,
        optimizer=SgdParams(name="sgd", learning_rate=params.learning_rate, momentum=0.9, weight_decay=5e-4),
        schedule=ScheduleParams(name="one-cycle", warmup=WARMUP),
        steps=steps,
    )
    loss = Loss(compute=compute, smoothing=0.1, weights=None)
    targets = torch.from_numpy(labels)
    network.train()
    for epoch in range(1, params.epochs + 1):
        for rows in shuffled_batches(len(images), params.batch_size, seed=seed, epoch=epoch):
            learner.step(loss(network, to_unit(images[rows.numpy()]), targets[rows]))
    return network.eval()


def recognised(
    network: Classifier, images: Pictures, labels: Labels, compute: Compute, batch_size: int
) -> npt.NDArray[np.bool_]:
    """Whether pictures [N, H, W, C] are taken for what they are, [N]; one view of each."""
    predicted = predict(network, images, compute=compute, batch_size=batch_size, views=1).argmax(dim=1)
    right: npt.NDArray[np.bool_] = predicted.numpy() == labels
    return right
