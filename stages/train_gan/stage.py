"""Train a generator against a discriminator. It makes pictures of what it is asked for.

In: the train split, with captions and numbers if the data has them. Out: the averaged generator, its metrics
and history, and pictures of the same latents during training, which `evaluate` draws; until all of these are
written, a checkpoint.

By default it uses hinge loss, spectral normalisation, class projection and an auxiliary classifier (Odena et
al. 2017). Each network makes one step a batch, on the same generated pictures. Pictures with captions of
their own are asked for by these or by class, all others by class alone. Captions made of class names are
learned to mean the class. Numbers are given for half of the pictures, so that users may leave them out. The
result is a moving average of the generator's weights (Yazici et al. 2019), which gives sharper pictures and
varies less than the last weights.

`evaluate` measures how good the pictures are (data/metrics/evaluate.json). The figures of training only show
whether the two networks keep up with each other. A training that fails gives no generator.
"""

from pathlib import Path

from stages.core.errors import DataError
from stages.core.libraries import check_libraries
from stages.core.packed import ClassificationSplit, load_classification, why_left_out
from stages.core.params import ComputeParams, is_wanted, load_params
from stages.core.tables import write_metrics, write_table
from stages.networks.compute import Compute, prepare
from stages.networks.model_files import save_model
from stages.train_gan.frames import frame_steps, samples_of
from stages.train_gan.material import material_of
from stages.train_gan.params import TrainGanParams
from stages.train_gan.steps import build_adversaries
from stages.train_gan.trainer import GanTrainer
from stages.training.budget import batch_count
from stages.training.checkpoint import Checkpoint, decisive
from stages.training.loop import Training
from stages.training.params import CheckpointParams
from stages.training.samples import leave_out, write_samples

HISTORY = ("epoch", "d_loss", "g_loss", "spread", "recall", "troubles")
"""Columns of a history without epochs: some of those that a training writes."""


def main(
    *, data: Path, params: Path, model: Path, metrics: Path, history: Path, samples: Path, checkpoint: Path
) -> None:
    """Train a generator of pictures of what is asked for.

    Args:
        data: Folder of labelled pictures that preprocess packed.
        params: params.yaml.
        model: Model file to write.
        metrics: JSON file for the last epoch's figures.
        history: CSV file with a row for each epoch.
        samples: File for pictures that the generator draws on its way, which evaluate shows.
        checkpoint: File that keeps a training under way; it is removed at the end.

    """
    libraries = check_libraries(params)
    why = why_left_out(data) or (None if is_wanted(params, "train-gan") else "train-gan is null")
    if why is not None:
        leave_out(
            "train-gan",
            why,
            model=model,
            samples=samples,
            metrics=metrics,
            tables={history: HISTORY},
            checkpoint=checkpoint,
        )
        return
    split = load_classification(data, "train")
    settings = load_params(params, "train-gan", TrainGanParams, pictures=len(split.labels))
    print(f"{len(split.labels):,} pictures: {settings.epochs} epochs in batches of {settings.batch_size}")
    if settings.film_milliseconds is not None:
        print("warning: train-gan.film_milliseconds has no effect: evaluate.film_milliseconds counts")
    compute_params = load_params(params, "compute", ComputeParams)
    seconds = load_params(params, "checkpoints", CheckpointParams).seconds
    compute, seed = prepare(compute_params), compute_params.seed
    key = decisive(data=data, params=[settings, compute_params], libraries=libraries, compute=compute)
    kept = Checkpoint(checkpoint, key=key, seconds=seconds)
    training, trainer = training_of(split, settings, compute, seed=seed)
    state = training.run(trainer, kept)
    write_samples(samples, samples_of(trainer.epochs, trainer.film))
    save_model(model, trainer.judged, kind="generator", config=trainer.judged.config)
    write_metrics(metrics, {name: value for name, value in state.history[-1].items() if name != "epoch"})
    write_table(history, state.history)
    kept.remove()


def training_of(
    split: ClassificationSplit, params: TrainGanParams, compute: Compute, *, seed: int
) -> tuple[Training, GanTrainer]:
    """The loop as the settings want it, and what generator and discriminator add to it.

    Raises:
        DataError: The pictures are oblong, or cannot be halved.
        ParamsError: The data lacks the captions or the attributes that are named.

    """
    height, width = split.images.shape[1:3]
    if height != width:
        raise DataError(
            f"pictures of {height}x{width}: the generator makes square ones; preprocess to a square"
        )
    material, scale = material_of(split, params)
    steps = batch_count(len(split.images), params.batch_size)
    networks = build_adversaries(split, params, compute, material, scale, steps=params.epochs * steps)
    trainer = GanTrainer(
        networks=networks,
        material=material,
        split=split,
        params=params,
        compute=compute,
        seed=seed,
        film_steps=frame_steps(params.epochs * steps, params.film_frames),
    )
    return Training(epochs=params.epochs, steps=steps), trainer
