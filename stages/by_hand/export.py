"""`darkroom export`: a trained model as a file for another runtime.

    darkroom export classifier --to onnx
    darkroom export detector --to onnx --int8 --out detector.onnx

Exit codes: 0; 2 with one line if the user's input is wrong, or if the exported model gives other answers than
the trained one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stages.core.cli import release_option, run_by_hand
from stages.export.targets import Format

if TYPE_CHECKING:
    from stages.export.exporting import Exported

PACKED = {"classifier": "classification", "detector": "detection"}
"""The folder in data/prepared of each kind of model."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("kind", type=click.Choice(list(PACKED)))
@click.option("--to", type=click.Choice([form.value for form in Format]), default="onnx", show_default=True)
@click.option(
    "--model",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The model file; data/models/KIND.safetensors if not given.",
)
@release_option
@click.option(
    "--params",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("params.yaml"),
    show_default=True,
    help="The params.yaml that it was trained by.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Prepared pictures to compare on; data/prepared/classification or detection if not given.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option("--int8", is_flag=True, help="Weights and activations in eight bits, of ONNX alone.")
def command(
    kind: str, to: str, model: Path | None, params: Path, data: Path | None, out: Path | None, int8: bool
) -> None:
    """Write a trained model (KIND: classifier or detector) as a file for another runtime.

    The file takes pictures as `preprocess` makes them, [N, height, width, channels] in 8 bits, any number of
    them, and gives probabilities, or boxes, labels and scores. It is written only if it answers as the model
    does on 100 pictures of the test split. Its metadata say what goes in, the classes, and the commit.

    \b
    Examples:
      darkroom export classifier --to onnx
      darkroom export detector --to openvino --out detector.xml
    """  # noqa: D301 - \b is click's
    from stages.export.exporting import export_model  # imports torch, which `--help` does not need

    form = Format(to)
    model = model or Path("data/models") / f"{kind}.safetensors"
    suffix = ".int8.onnx" if int8 else form.suffix
    if sys.stderr.isatty():
        print(f"translating {model}, then asking both for the same pictures ...", file=sys.stderr, flush=True)
    exported = export_model(
        kind,
        model,
        params=params,
        to=form,
        out=out or Path(model.stem + suffix),
        data=data or Path("data/prepared") / PACKED[kind],
        int8=int8,
        about={"commit": _commit(params.parent)},
    )
    for line in _lines_of(exported):
        print(line)


def _lines_of(exported: Exported) -> list[str]:
    lines = [f"{exported.path}: {exported.size / 1e6:.1f} MB"]
    lines.append(str(exported.comparison or "not compared: there is no packed test split here"))
    if eight := exported.quantised:
        figures = f"{eight.exact:.3f} in float32, {eight.quantised:.3f} in 8 bits"
        lines.append(f"{eight.figure} on the same pictures: {figures}")
    return lines


def _commit(folder: Path) -> str | None:
    """The commit that git has checked out there; None without git."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "rev-parse", "HEAD"]
    try:
        found = subprocess.run(
            command, cwd=folder.resolve(), env=env, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say."""
    return run_by_hand(command, "darkroom export", sys.argv[1:] if words is None else words)


if __name__ == "__main__":
    sys.exit(main())
