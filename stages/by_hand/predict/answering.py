"""`darkroom classify` and `darkroom detect`: answers on the terminal, in a file, or drawn."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stages.by_hand.predict.options import UNREAD, asking, given_pictures
from stages.core.errors import ParamsError
from stages.core.files import write_atomically
from stages.prediction.answers import DATA, Classified, Detected, Unread
from stages.prediction.reports import (
    Answer,
    labels_path,
    lines_of,
    to_coco,
    to_csv,
    to_json,
    to_text,
    to_yolo,
)

if TYPE_CHECKING:
    from PIL import Image

    from stages.prediction.video import Frame

# What imports torch or OpenCV is imported where it is used: `--help` needs neither.


@asking(model="classifier", formats=["text", "json", "csv"])
@click.option(
    "--nearest",
    metavar="K",
    type=click.IntRange(0),
    default=0,
    help="Name the K training pictures that the classifier takes for most like each.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DATA,
    show_default=True,
    help="For --nearest: the training pictures that `preprocess` packed.",
)
def classify(
    pictures: tuple[str, ...],
    model: Path,
    params: Path,
    every: int,
    batch: int,
    nearest: int,
    data: Path,
    **output: Path | str | None,
) -> None:
    """Say of what class each PICTURE is, and which attributes it has.

    They are files, folders, patterns, videos, or - for a list on standard input.

    \b
    Examples:
      darkroom classify photo.jpg
      darkroom classify photo.jpg --nearest 5 --draw drawn
      darkroom classify inbox/ --format csv --out classes.csv
      find . -name '*.png' | darkroom classify - --draw drawn
    """  # noqa: D301 - \b is click's
    from stages.by_hand.predict.drawing import drawn_class, drawn_nearest
    from stages.prediction.predictors import load_classifier

    given, shown = itertools.tee(given_pictures(pictures, every))
    predictor = load_classifier(model, params=params, nearest=nearest, data=data)

    def drawn(one: Path | Frame, answer: Answer) -> Image.Image:
        assert isinstance(answer, Classified)
        return drawn_nearest(one, answer, predictor) if nearest else drawn_class(one, answer)

    _report(shown, predictor.predict(given, batch=batch), predictor.classes, drawn, **output)  # type: ignore[arg-type]


@asking(model="detector", formats=["text", "json", "csv", "coco", "yolo"])
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Report boxes with at least this score.",
)
@click.option(
    "--augment",
    is_flag=True,
    help="Look at each picture in three sizes and mirrored, and merge what is found: six times the work.",
)
def detect(
    pictures: tuple[str, ...],
    model: Path,
    params: Path,
    every: int,
    batch: int,
    threshold: float,
    augment: bool,
    **output: Path | str | None,
) -> None:
    """Find things in each PICTURE.

    They are files, folders, patterns, videos, or - for a list on standard input. With
    --format yolo, --out is the folder of the label files.

    \b
    Examples:
      darkroom detect photo.jpg --draw drawn
      darkroom detect inbox/ --format coco --out found.json --threshold 0.3
      darkroom detect inbox/ --augment
      darkroom detect street.mp4 --every 30
    """  # noqa: D301 - \b is click's
    from stages.by_hand.predict.drawing import drawn_boxes
    from stages.prediction.predictors import load_detector

    if output["form"] == "yolo" and output["out"] is None:
        raise ParamsError("--format yolo: writes a file for each picture; name their folder by --out")
    given, shown = itertools.tee(given_pictures(pictures, every))
    predictor = load_detector(model, params=params, augment=augment)
    answers = (_sure(answer, threshold) for answer in predictor.predict(given, batch=batch))

    def drawn(one: Path | Frame, answer: Answer) -> Image.Image:
        assert isinstance(answer, Detected)
        return drawn_boxes(one, answer, predictor.classes)

    _report(shown, answers, predictor.classes, drawn, **output)  # type: ignore[arg-type]


def _sure(answer: Detected | Unread, threshold: float) -> Detected | Unread:
    if isinstance(answer, Unread):
        return answer
    return replace(answer, boxes=tuple(box for box in answer.boxes if box.score >= threshold))


def _report(
    given: Iterable[Path | Frame],
    answers: Iterator[Answer],
    classes: Sequence[str],
    drawn: Callable[[Path | Frame, Answer], Image.Image],
    *,
    form: str,
    out: Path | None,
    draw: Path | None,
) -> None:
    """Write the answers, and draw them; how many there were, and how fast, is said on standard error."""
    from tqdm import tqdm

    began, kept = time.monotonic(), list[Answer]()
    shown = tqdm(answers, unit="picture", disable=not sys.stderr.isatty(), leave=False)
    for one, answer in zip(given, shown, strict=True):
        if form == "text" and out is None:
            for line in lines_of(answer):
                tqdm.write(line, file=sys.stdout)
        kept.append(answer)
        if draw is not None and not isinstance(answer, Unread):
            place = draw / labels_path(answer.picture).with_suffix(".jpg")
            place.parent.mkdir(parents=True, exist_ok=True)
            drawn(one, answer).save(place, "JPEG", quality=85)
    _write(kept, classes, form, out)
    unread = sum(isinstance(answer, Unread) for answer in kept)
    seconds = time.monotonic() - began
    said = f"{len(kept)} pictures in {seconds:.1f} s" if len(kept) != 1 else f"1 picture in {seconds:.1f} s"
    print(f"{said}, {unread} could not be read" if unread else said, file=sys.stderr)
    if unread:
        raise click.exceptions.Exit(UNREAD)


def _write(answers: Sequence[Answer], classes: Sequence[str], form: str, out: Path | None) -> None:
    if form == "yolo":
        assert out is not None
        for path, text in to_yolo(answers, classes).items():
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(out / path, text.encode())
        return
    if form == "coco":
        text = to_coco(answers, classes)
    else:
        text = {"json": to_json, "csv": to_csv, "text": to_text}[form](answers)
    if out is None:
        sys.stdout.write("" if form == "text" else text)  # its lines were written as they came
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, text.encode())
