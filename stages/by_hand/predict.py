"""`darkroom classify` and `darkroom detect`: pictures shown to a trained model.

    darkroom classify photo.jpg
    darkroom detect photos --threshold 0.3 --format coco --out found.json --draw drawn
    find . -name '*.png' | darkroom classify - --format csv

Exit codes: 0; 1 where a picture could not be read; 2 with one line where what the user gave is wrong.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from PIL import Image
from tqdm import tqdm

from stages.by_hand.command import run_by_hand
from stages.core.errors import ParamsError
from stages.core.files import write_atomically
from stages.drawing.sheets import draw_boxes, image_grid
from stages.prediction.pictures import STDIN, named_pictures
from stages.prediction.predictors import (
    BATCH,
    PARAMS,
    Classified,
    Detected,
    Unread,
    load_classifier,
    load_detector,
)
from stages.prediction.reports import Answer, labels_path, line_of, to_coco, to_csv, to_json, to_text, to_yolo

DRAWN_SIDE = 1024  # px of the longer side of a drawn picture, at most
CAPTIONED_SIDE = 256  # px: smaller ones are enlarged until their captions can be read
UNREAD = 1  # the exit code

Command = Callable[..., None]


def asking(*, model: str, formats: Sequence[str]) -> Callable[[Command], click.Command]:
    """The arguments that both commands have."""

    def decorated(function: Command) -> click.Command:
        arguments = (
            click.command(context_settings={"help_option_names": ["-h", "--help"]}),
            click.argument("pictures", nargs=-1, required=True, metavar="PICTURE..."),
            click.option(
                "--model",
                type=click.Path(path_type=Path, dir_okay=False),
                default=Path("data/models") / f"{model}.safetensors",
                show_default=True,
                help="The model file.",
            ),
            click.option(
                "--params",
                type=click.Path(path_type=Path, dir_okay=False),
                default=PARAMS,
                show_default=True,
                help="The params.yaml that it was trained by.",
            ),
            click.option("--format", "form", type=click.Choice(formats), default="text", show_default=True),
            click.option(
                "--out", type=click.Path(path_type=Path), help="Write to this file; default: standard output."
            ),
            click.option(
                "--draw",
                type=click.Path(path_type=Path, file_okay=False),
                help="Draw the results on copies of the pictures, in this folder.",
            ),
            click.option(
                "--batch", type=click.IntRange(1), default=BATCH, show_default=True, help="Pictures at once."
            ),
        )
        command = function
        for argument in reversed(arguments):
            command = argument(command)
        assert isinstance(command, click.Command)
        return command

    return decorated


@asking(model="classifier", formats=["text", "json", "csv"])
def classify(
    pictures: tuple[str, ...], model: Path, params: Path, batch: int, **output: Path | str | None
) -> None:
    """Say of what class each PICTURE is: files, folders, patterns, or - for a list on standard input."""
    paths = list(named_pictures(pictures, sys.stdin if STDIN in pictures else ()))
    predictor = load_classifier(model, params=params)
    _report(paths, predictor.predict(paths, batch=batch), predictor.classes, **output)  # type: ignore[arg-type]


@asking(model="detector", formats=["text", "json", "csv", "coco", "yolo"])
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Report boxes with at least this score.",
)
def detect(
    pictures: tuple[str, ...],
    model: Path,
    params: Path,
    batch: int,
    threshold: float,
    **output: Path | str | None,
) -> None:
    """Find things in each PICTURE: files, folders, patterns, or - for a list on standard input.

    With --format yolo, --out is the folder of the label files.
    """
    if output["form"] == "yolo" and output["out"] is None:
        raise ParamsError("--format yolo: writes a file for each picture; name their folder by --out")
    paths = list(named_pictures(pictures, sys.stdin if STDIN in pictures else ()))
    predictor = load_detector(model, params=params)
    answers = (_sure(answer, threshold) for answer in predictor.predict(paths, batch=batch))
    _report(paths, answers, predictor.classes, **output)  # type: ignore[arg-type]


def _sure(answer: Detected | Unread, threshold: float) -> Detected | Unread:
    if isinstance(answer, Unread):
        return answer
    return replace(answer, boxes=tuple(box for box in answer.boxes if box.score >= threshold))


def _report(
    paths: Sequence[Path],
    answers: Iterator[Answer],
    classes: Sequence[str],
    *,
    form: str,
    out: Path | None,
    draw: Path | None,
) -> None:
    """Write the answers, and draw them; how many there were, and how fast, is said on standard error."""
    began, kept = time.monotonic(), list[Answer]()
    shown = tqdm(answers, total=len(paths), unit="picture", disable=not sys.stderr.isatty(), leave=False)
    for path, answer in zip(paths, shown, strict=True):
        if form == "text" and out is None:
            tqdm.write(line_of(answer), file=sys.stdout)
        kept.append(answer)
        if draw is not None and not isinstance(answer, Unread):
            place = draw / labels_path(answer.picture).with_suffix(".jpg")
            place.parent.mkdir(parents=True, exist_ok=True)
            _drawn(path, answer, classes).save(place, "JPEG", quality=85)
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


def _drawn(path: Path, answer: Classified | Detected, classes: Sequence[str]) -> Image.Image:
    """The picture with its boxes, or with its label under it."""
    from PIL import ImageOps

    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    picture.thumbnail((DRAWN_SIDE, DRAWN_SIDE))
    view = np.asarray(picture)
    if isinstance(answer, Classified):
        scale = max(1, CAPTIONED_SIDE // max(view.shape[:2]))
        return image_grid([view], 1, titles=[f"{answer.label} {answer.probability:.2f}"], scale=scale)
    ratio = np.array([view.shape[1] / answer.width, view.shape[0] / answer.height] * 2)
    boxes = np.array([[box.x1, box.y1, box.x2, box.y2] for box in answer.boxes]).reshape(-1, 4) * ratio
    captions = [f"{box.label} {box.score:.2f}" for box in answer.boxes]
    labels = [classes.index(box.label) for box in answer.boxes]
    return draw_boxes(view, boxes, captions, labels, max(1, CAPTIONED_SIDE // max(view.shape[:2])))


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; the first one is `classify` or `detect`."""
    name, *rest = sys.argv[1:] if words is None else words
    return run_by_hand({"classify": classify, "detect": detect}[name], f"darkroom {name}", rest)


if __name__ == "__main__":
    sys.exit(main())
