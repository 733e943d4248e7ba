"""What `classify`, `detect` and `explain` have in common: pictures, a model, and how it is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages.core.cli import release_option
from stages.prediction.answers import BATCH, PARAMS

if TYPE_CHECKING:
    from stages.prediction.video import Frame

# What imports torch or OpenCV is imported where it is used: `--help` needs neither.

UNREAD = 1
"""The exit code where a picture could not be read."""
MODELS = Path("data/models")
"""The folder that the stages write models to."""

Command = Callable[..., None]


def asking(*, model: str, formats: Sequence[str]) -> Callable[[Command], click.Command]:
    """The arguments that the commands share; with no `formats`, without where answers go."""

    def decorated(function: Command) -> click.Command:
        arguments: tuple[Callable[[Any], Any], ...] = (
            click.command(context_settings={"help_option_names": ["-h", "--help"]}),
            click.argument("pictures", nargs=-1, required=True, metavar="PICTURE..."),
            click.option(
                "--model",
                type=click.Path(path_type=Path, dir_okay=False),
                default=MODELS / f"{model}.safetensors",
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


def _reporting(formats: Sequence[str]) -> tuple[Callable[[Any], Any], ...]:
    """The place that answers go to, and their form."""
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


def given_pictures(words: Sequence[str], every: int) -> Iterator[Path | Frame]:
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
