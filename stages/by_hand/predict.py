"""`darkroom classify`, `detect` and `explain`: a trained model's answers for pictures.

    darkroom classify photo.jpg
    darkroom detect photos --threshold 0.3 --format coco --out found.json --draw drawn
    find . -name '*.png' | darkroom classify - --format csv
    darkroom detect film.mp4 --every 5 --draw drawn
    darkroom explain photos --out explained

Exit codes: 0; 1 if a picture could not be read; 2 with one line if the user's input is wrong.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages.core.cli import release_option, run_by_hand
from stages.core.errors import ParamsError
from stages.core.files import write_atomically
from stages.prediction.answers import BATCH, PARAMS, Classified, Detected, Unread
from stages.prediction.reports import Answer, labels_path, line_of, to_coco, to_csv, to_json, to_text, to_yolo

if TYPE_CHECKING:
    from PIL import Image

    from stages.prediction.predictors import ClassifierPredictor, Ready
    from stages.prediction.video import Frame

# What imports torch or OpenCV is imported where it is used: `--help` needs neither.

DRAWN_SIDE = 1024  # px of the longer side of a drawn picture, at most
CAPTIONED_SIDE = 256  # px: smaller ones are enlarged until their captions can be read
UNREAD = 1  # the exit code

Command = Callable[..., None]


def _reporting(formats: Sequence[str]) -> tuple[Callable[[Any], Any], ...]:
    """Where answers go, and how."""
    return (
        click.option(
            "--format",
            "form",
            type=click.Choice(formats),
            default="text",
            show_default=True,
            help="How the results are written.",
        ),
        click.option(
            "--out", type=click.Path(path_type=Path), help="Write to this file; default: standard output."
        ),
        click.option(
            "--draw",
            type=click.Path(path_type=Path, file_okay=False),
            help="Draw the results on copies of the pictures, in this folder.",
        ),
    )


def asking(*, model: str, formats: Sequence[str]) -> Callable[[Command], click.Command]:
    """The arguments that the commands share."""

    def decorated(function: Command) -> click.Command:
        arguments: tuple[Callable[[Any], Any], ...] = (
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
            release_option,
            click.option(
                "--every",
                type=click.IntRange(1),
                default=1,
                show_default=True,
                help="Of a video, take each frame of so many.",
            ),
            click.option(
                "--batch", type=click.IntRange(1), default=BATCH, show_default=True, help="Pictures at once."
            ),
            *(_reporting(formats) if formats else ()),
        )
        command = function
        for argument in reversed(arguments):
            command = argument(command)
        assert isinstance(command, click.Command)
        return command

    return decorated


@asking(model="classifier", formats=["text", "json", "csv"])
def classify(
    pictures: tuple[str, ...], model: Path, params: Path, every: int, batch: int, **output: Path | str | None
) -> None:
    """Say of what class each PICTURE is, and which attributes it has.

    They are files, folders, patterns, videos, or - for a list on standard input.

    \b
    Examples:
      darkroom classify photo.jpg
      darkroom classify inbox/ --format csv --out classes.csv
      find . -name '*.png' | darkroom classify - --draw drawn
    """  # noqa: D301 - \b is click's
    from stages.prediction.predictors import load_classifier

    given, shown = itertools.tee(_given(pictures, every))
    predictor = load_classifier(model, params=params)
    _report(shown, predictor.predict(given, batch=batch), predictor.classes, **output)  # type: ignore[arg-type]


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
    every: int,
    batch: int,
    threshold: float,
    **output: Path | str | None,
) -> None:
    """Find things in each PICTURE.

    They are files, folders, patterns, videos, or - for a list on standard input. With
    --format yolo, --out is the folder of the label files.

    \b
    Examples:
      darkroom detect photo.jpg --draw drawn
      darkroom detect inbox/ --format coco --out found.json --threshold 0.3
      darkroom detect street.mp4 --every 30
    """  # noqa: D301 - \b is click's
    from stages.prediction.predictors import load_detector

    if output["form"] == "yolo" and output["out"] is None:
        raise ParamsError("--format yolo: writes a file for each picture; name their folder by --out")
    given, shown = itertools.tee(_given(pictures, every))
    predictor = load_detector(model, params=params)
    answers = (_sure(answer, threshold) for answer in predictor.predict(given, batch=batch))
    _report(shown, answers, predictor.classes, **output)  # type: ignore[arg-type]


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
def explain(
    pictures: tuple[str, ...], model: Path, params: Path, every: int, batch: int, out: Path, most: int
) -> None:
    """Draw beside each PICTURE where the classifier looks for the classes that it says: a heat map each.

    Pictures are files, folders, patterns, videos, or - for a list on standard input. They are drawn as the
    network sees them, cut and scaled to its form.

    \b
    Examples:
      darkroom explain photo.jpg
      darkroom explain inbox/ --classes 1 --out maps
    """  # noqa: D301 - \b is click's
    from stages.drawing.sheets import save_png
    from stages.prediction.predictors import Ready, in_form, load_classifier

    predictor = load_classifier(model, params=params)
    numbered = enumerate(_given(pictures, every), start=1)
    unread = drawn = 0
    while some := list(itertools.islice(numbered, batch)):
        ready = [in_form(number, one, predictor.form) for number, one in some]
        for lost in (one for one in ready if isinstance(one, Unread)):
            print(line_of(lost), file=sys.stderr)
            unread += 1
        for picture, answer, sheet in explained(
            [one for one in ready if isinstance(one, Ready)], predictor, most
        ):
            place = out / labels_path(picture.name).with_suffix(".png")
            save_png(place, sheet)
            print(f"{line_of(answer)} -> {place}")
            drawn += 1
    print(f"{drawn} drawn in {out}" + (f", {unread} could not be read" if unread else ""), file=sys.stderr)
    if unread:
        raise click.exceptions.Exit(UNREAD)


def explained(
    ready: Sequence[Ready], predictor: ClassifierPredictor, most: int
) -> Iterator[tuple[Ready, Classified, Image.Image]]:
    """Each picture with its answer and a sheet: it, and the heat maps of its most probable classes."""
    import numpy as np

    from stages.drawing.sheets import image_grid
    from stages.evaluate.of_classifier.grad_cam import grad_cam, overlaid, with_scale

    if not ready:
        return
    images, answers = np.stack([one.pixels for one in ready]), predictor.answers_to(ready)
    names = predictor.classes or predictor.attributes  # the first of the network's logits
    told = [list(_shares_of(answer).items())[:most] for answer in answers]
    heats = []
    for rank in range(min(most, len(names))):
        targets = np.array([names.index(best[rank][0]) for best in told])
        heats.append(
            grad_cam(predictor.network, images, targets, compute=predictor.compute, batch_size=len(images))
        )
    scale = max(1, CAPTIONED_SIDE // max(images.shape[1:3]))
    for number, (one, answer, best) in enumerate(zip(ready, answers, told, strict=True)):
        cells = [images[number], *(overlaid(images[number], heat[number]) for heat in heats)]
        titles = ["as the network sees it", *(f"for {label} {share:.2f}" for label, share in best)]
        title = f"{Path(answer.picture).name}: where the classifier looks for each class"
        sheet = image_grid(cells, len(cells), titles, scale=scale, title=title)
        yield one, answer, with_scale(sheet)


def _shares_of(answer: Classified) -> dict[str, float]:
    """Probabilities of the classes, or of the attributes where there are no classes, the greatest first."""
    return answer.probabilities or {name: one.probability for name, one in answer.attributes.items()}


def _given(words: Sequence[str], every: int) -> Iterator[Path | Frame]:
    """Pictures and frames of videos; a video without a frame is given as it is, and cannot be read."""
    from stages.prediction.pictures import STDIN, named_pictures

    named = list(named_pictures(words, sys.stdin if STDIN in words else ()))  # what is wrong comes first
    return (one for path in named for one in _in_file(path, every))


def _in_file(path: Path, every: int) -> Iterator[Path | Frame]:
    from stages.prediction.video import is_video, read_frames

    frame = None
    if is_video(path):
        for frame in read_frames(path, every):
            yield frame
    if frame is None:
        yield path


def _sure(answer: Detected | Unread, threshold: float) -> Detected | Unread:
    if isinstance(answer, Unread):
        return answer
    return replace(answer, boxes=tuple(box for box in answer.boxes if box.score >= threshold))


def _report(
    given: Iterable[Path | Frame],
    answers: Iterator[Answer],
    classes: Sequence[str],
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
            tqdm.write(line_of(answer), file=sys.stdout)
        kept.append(answer)
        if draw is not None and not isinstance(answer, Unread):
            place = draw / labels_path(answer.picture).with_suffix(".jpg")
            place.parent.mkdir(parents=True, exist_ok=True)
            _drawn(one, answer, classes).save(place, "JPEG", quality=85)
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


def _drawn(given: Path | Frame, answer: Classified | Detected, classes: Sequence[str]) -> Image.Image:
    """The picture with its boxes, or with its label under it."""
    import numpy as np
    from PIL import Image, ImageOps

    from stages.drawing.sheets import draw_boxes, image_grid, titled
    from stages.prediction.video import Frame

    if isinstance(given, Frame):
        picture = Image.fromarray(given.pixels)
    else:
        with Image.open(given) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    picture.thumbnail((DRAWN_SIDE, DRAWN_SIDE))
    view = np.asarray(picture)
    if isinstance(answer, Classified):
        scale = max(1, CAPTIONED_SIDE // max(view.shape[:2]))
        said = [] if answer.label is None else [f"found: {answer.label} {answer.probability:.2f}"]
        said += [f"{name} {share:.2f}" for name, share in answer.present.items()]
        said += ["none of the attributes"] if answer.attributes and not answer.present else []
        return image_grid([view], 1, titles=[", ".join(said)], scale=scale, title=Path(answer.picture).name)
    ratio = np.array([view.shape[1] / answer.width, view.shape[0] / answer.height] * 2)
    boxes = np.array([[box.x1, box.y1, box.x2, box.y2] for box in answer.boxes]).reshape(-1, 4) * ratio
    captions = [f"{box.label} {box.score:.2f}" for box in answer.boxes]
    labels = [classes.index(box.label) for box in answer.boxes]
    drawn = draw_boxes(view, boxes, captions, labels, max(1, CAPTIONED_SIDE // max(view.shape[:2])))
    counts = Counter(box.label for box in answer.boxes)
    found = ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing"
    return titled(drawn, f"{Path(answer.picture).name}: found {found}")


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; the first one is `classify`, `detect` or `explain`."""
    name, *rest = sys.argv[1:] if words is None else words
    return run_by_hand(
        {"classify": classify, "detect": detect, "explain": explain}[name], f"darkroom {name}", rest
    )


if __name__ == "__main__":
    sys.exit(main())
