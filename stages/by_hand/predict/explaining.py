"""`darkroom explain`: heat maps of where a classifier or a detector looks."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from stages.by_hand.predict.options import MODELS, UNREAD, asking, given_pictures
from stages.prediction.answers import MASKS, Classified, Detected, Unread
from stages.prediction.reports import labels_path, line_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PIL import Image

    from stages.prediction.predictors import ClassifierPredictor, DetectorPredictor, Given, Ready
    from stages.prediction.saliency import Masks

    Sheets = Iterator[tuple[Classified | Detected, Image.Image] | Unread]
    """Answers with their sheets, and what could not be read."""

# What imports torch or OpenCV is imported where it is used: `--help` needs neither.


@asking(model="classifier", formats=())
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("explained"),
    show_default=True,
    help="The folder of the drawn pictures.",
)
@click.option(
    "--classes",
    "most",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Draw a map for each of so many most probable classes.",
)
@click.option(
    "--detector",
    "of_detector",
    is_flag=True,
    help=f"Explain boxes; the model is {MODELS / 'detector.safetensors'} if no other is named.",
)
@click.option(
    "--boxes",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Of a detector: draw a map for each of so many surest boxes.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Of a detector: explain boxes with at least this score.",
)
@click.option(
    "--masks",
    type=click.IntRange(1),
    default=MASKS,
    show_default=True,
    help="Of a detector: hide parts of the picture so many times. More take longer and are more exact.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same hidden parts."
)
@click.pass_context
def explain(
    context: click.Context,
    pictures: tuple[str, ...],
    model: Path,
    params: Path,
    every: int,
    batch: int,
    out: Path,
    most: int,
    of_detector: bool,
    boxes: int,
    threshold: float,
    masks: int,
    seed: int,
) -> None:
    """Draw where a model looks in each PICTURE: a heat map for each class, or with --detector for each box.

    Pictures are files, folders, patterns, videos, or - for a list on standard input. They are drawn as the
    network sees them, cut and scaled to its form.

    In a project that trains a detector and no classifier, boxes are explained without --detector, too.

    \b
    Examples:
      darkroom explain photo.jpg
      darkroom explain inbox/ --classes 1 --out maps
      darkroom explain street.jpg --detector --boxes 5
    """  # noqa: D301 - \b is click's
    from stages.prediction.predictors import load_classifier, load_detector
    from stages.prediction.saliency import Masks

    given = given_pictures(pictures, every)
    if of_detector:
        if context.get_parameter_source("model") is ParameterSource.DEFAULT:
            model = MODELS / "detector.safetensors"
        hiding = Masks(count=masks, seed=seed)
        sheets = _of_boxes(given, load_detector(model, params=params), boxes, threshold, hiding, batch)
    else:
        sheets = _of_classes(given, load_classifier(model, params=params), most, batch)
    _save(sheets, out)


def _save(sheets: Sheets, out: Path) -> None:
    """Write the sheets, and say of each where it is; how many there are is said on standard error."""
    from stages.drawing.sheets import save_png

    unread = drawn = 0
    for one in sheets:
        if isinstance(one, Unread):
            print(line_of(one), file=sys.stderr)
            unread += 1
            continue
        answer, sheet = one
        place = out / labels_path(answer.picture).with_suffix(".png")
        save_png(place, sheet)
        print(f"{line_of(answer)} -> {place}")
        drawn += 1
    print(f"{drawn} drawn in {out}" + (f", {unread} could not be read" if unread else ""), file=sys.stderr)
    if unread:
        raise click.exceptions.Exit(UNREAD)


def _of_boxes(
    given: Iterable[Given],
    predictor: DetectorPredictor,
    most: int,
    threshold: float,
    masks: Masks,
    batch: int,
) -> Sheets:
    """Each picture with its surest boxes, and a heat map for each of them."""
    from stages.by_hand.predict.drawing import box_heats
    from stages.prediction.saliency import explain_boxes

    explained = explain_boxes(predictor, given, most=most, threshold=threshold, masks=masks, batch=batch)
    for one in explained:
        yield one if isinstance(one, Unread) else (one.answer, box_heats(one, predictor.classes))


def _of_classes(given: Iterable[Given], predictor: ClassifierPredictor, most: int, batch: int) -> Sheets:
    """Each picture, and the heat maps of its most probable classes."""
    from stages.prediction.predictors import Ready

    numbered = enumerate(given, start=1)
    while group := list(itertools.islice(numbered, batch)):
        ready = [predictor.in_form(number, one) for number, one in group]
        yield from (one for one in ready if isinstance(one, Unread))
        readable = [one for one in ready if isinstance(one, Ready)]
        if readable:
            yield from _heated(readable, predictor, most)


def _heated(
    ready: Sequence[Ready], predictor: ClassifierPredictor, most: int
) -> Iterator[tuple[Classified, Image.Image]]:
    import numpy as np

    from stages.by_hand.predict.drawing import class_heats
    from stages.evaluate.of_classifier.grad_cam import grad_cam

    images, answers = np.stack([one.pixels for one in ready]), predictor.answers_to(ready)
    names = predictor.classes or predictor.attributes  # the first of the network's logits
    most_probable = [list(_shares_of(answer).items())[:most] for answer in answers]
    heats = []
    for rank in range(min(most, len(names))):
        targets = np.array([names.index(best[rank][0]) for best in most_probable])
        heats.append(
            grad_cam(predictor.network, images, targets, compute=predictor.compute, batch_size=len(images))
        )
    for picture, answer, best, own in zip(
        images, answers, most_probable, np.stack(heats, axis=1), strict=True
    ):
        captions = [f"{label} {share:.2f}" for label, share in best]
        yield answer, class_heats(answer.picture, picture, own, captions)


def _shares_of(answer: Classified) -> dict[str, float]:
    """Probabilities of the classes, or of the attributes where there are no classes, the greatest first."""
    return answer.probabilities or {name: one.probability for name, one in answer.attributes.items()}
