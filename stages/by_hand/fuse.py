"""`darkroom fuse`: fuses a user's own pictures, all into one or group by group, without any pipeline.

    darkroom fuse a.png b.png --method laplacian --out c.png
    darkroom fuse scans --pattern '(.+)_[ab].png' --method wavelet --out fused --figures figures.csv

Exit codes: 0; 2 with one line if the user's input is wrong.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource

from stages.core.cli import run_by_hand
from stages.core.errors import DataError, ParamsError
from stages.fusion.params import Method, Registration

if TYPE_CHECKING:
    from stages.fusion.groups import Group
    from stages.fusion.methods import Settings
    from stages.fusion.pixels import Floats, Pictures

# What imports OpenCV is imported where it is used, because `--help` does not need it.

TAKEN_BY = {
    "alpha": ("average",),
    "weights": ("average",),
    "levels": ("laplacian", "wavelet"),
    "classifier": ("features",),
    "at": ("poisson",),
    "target": ("mosaic",),
    "columns": ("mosaic",),
    "registration": get_args(Method),
}
"""Which methods an option is for, where it is not for all of them."""

A_FILE = click.Path(path_type=Path)


def numbers(kind: Callable[[str], Any], example: str) -> Callable[..., list[Any] | None]:
    """A check of click's for a list of numbers with commas between, such as the example."""

    def parse(_context: object, parameter: click.Parameter, words: str | None) -> list[Any] | None:
        try:
            return None if words is None else [kind(word) for word in words.split(",")]
        except ValueError:
            name = parameter.opts[0]
            raise click.BadParameter(f"{words!r} is no list such as {example}", param_hint=name) from None

    return parse


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("pictures", nargs=-1, type=A_FILE)
@click.option(
    "--method",
    type=click.Choice([*get_args(Method), "poisson", "mosaic"]),
    required=True,
    help="poisson sets the second picture, a cut-out with alpha, into the first; mosaic arranges many.",
)
@click.option(
    "--out", type=A_FILE, required=True, help="The picture to write; with groups, a folder of them."
)
@click.option("--alpha", type=click.FloatRange(0, 1), help="average of two: the first one's weight.")
@click.option(
    "--weights", callback=numbers(float, "0.2,0.3,0.5"), help="average: 0.2,0.3,0.5; their sum is 1."
)
@click.option("--levels", type=click.IntRange(1), help="laplacian, wavelet: number of halvings.")
@click.option("--classifier", type=A_FILE, help="features: the model whose first layers decide.")
@click.option("--at", callback=numbers(int, "40,25"), help="poisson: x,y of the cut-out's upper left corner.")
@click.option(
    "--target", type=A_FILE, help="mosaic: imitate the colours of this picture; default: a plain grid."
)
@click.option("--columns", type=click.IntRange(1), help="mosaic: pictures side by side.")
@click.option(
    "--registration",
    type=click.Choice(get_args(Registration)),
    default="check",
    show_default=True,
    help="check: refuse pictures that seem moved, turned or scaled (in doubt they pass); ecc, features: "
    "align them; none: take them as they are.",
)
@click.option("--manifest", type=A_FILE, help="A CSV table with columns group, picture and perhaps truth.")
@click.option("--pattern", help="Names of one group's files below the folder given: '(.+)_[ab].png'.")
@click.option("--figures", type=A_FILE, help="With groups: a CSV table of all metrics.")
def command(pictures: tuple[Path, ...], manifest: Path | None, pattern: str | None, **chosen: Any) -> None:
    """Fuse PICTURES of one scene into one, or groups of them that a manifest or a pattern names.

    \b
    Examples:
      darkroom fuse near.png far.png --method laplacian --out sharp.png
      darkroom fuse under.png over.png --method exposure --out even.png
      darkroom fuse pairs/ --pattern '(.+)_[ab].png' --method guided --out fused
    """  # noqa: D301 - \b is click's
    from stages.fusion.groups import groups_by_manifest, groups_by_pattern

    refuse_unused(chosen["method"])
    if manifest is None and pattern is None:
        fuse_files(pictures, **chosen)
        return
    if manifest is not None and pattern is not None:
        raise ParamsError("--manifest and --pattern: give one of them")
    if chosen["method"] in ("poisson", "mosaic"):
        raise ParamsError(f"--method {chosen['method']}: works on pictures, not on groups")
    if manifest is not None:
        if pictures:
            raise ParamsError(f"{pictures[0]}: --manifest names the pictures; leave this one out")
        fuse_groups(groups_by_manifest(manifest), **chosen)
        return
    if len(pictures) != 1 or not pictures[0].is_dir():
        raise ParamsError("--pattern: asks for the folder that it looks in, and nothing else")
    fuse_groups(groups_by_pattern(pictures[0], str(pattern)), **chosen)


def refuse_unused(method: str) -> None:
    """Refuse an option on the command line that `method` has no use for.

    Raises:
        ParamsError: There is one.

    """
    context = click.get_current_context()
    for option, methods in TAKEN_BY.items():
        given = context.get_parameter_source(option) is ParameterSource.COMMANDLINE
        if given and method not in methods:
            raise ParamsError(
                f"--{option}: is of no use to --method {method}, only to {', '.join(methods)}; leave it out"
            )


def refuse_overwriting(written: Sequence[Path], inputs: Sequence[Path | None]) -> None:
    """Refuse to overwrite an input.

    Raises:
        ParamsError: A path of `written` leads to a file of `inputs`.

    """
    resolved = {path.resolve() for path in inputs if path is not None}
    for path in written:
        if path.resolve() in resolved:
            raise ParamsError(f"{path}: is read and would be overwritten; write to another name")


def fuse_files(files: Sequence[Path], *, out: Path, **chosen: Any) -> None:
    """Fuse all files to one picture, and write it to `out`.

    Raises:
        ParamsError: Options do not fit each other or the number of files.
        DataError: A file cannot be read, or the pictures do not fit each other.

    """
    from stages.fusion.files import check_ending, write_picture
    from stages.fusion.groups import read_group

    if chosen["figures"]:
        raise ParamsError("--figures: asks for groups (--manifest or --pattern)")
    if len(files) < 2:
        raise ParamsError(f"{len(files)} pictures: give two or more")
    refuse_overwriting([out], [*files, chosen["target"], chosen["classifier"]])
    if chosen["method"] == "poisson":
        picture = set_in(files, chosen["at"])
    elif chosen["method"] == "mosaic":
        picture = lay_out(files, chosen["target"], chosen["columns"])
    else:
        settings = settings_of(chosen)
        sources = read_group(files, chosen["registration"])
        check_ending(out, sources[0])
        picture = fused(sources, chosen["method"], settings)
    write_picture(out, picture)
    print(out)


def fuse_groups(groups: Sequence[Group], *, out: Path, figures: Path | None, **chosen: Any) -> None:
    """Write a PNG file of each group into the folder `out`, and its figures into the table `figures`.

    They are written once all groups are fused.

    Raises:
        ParamsError: Options do not fit each other.
        DataError: There is no group, a file cannot be read, or pictures do not fit each other.

    """
    import numpy as np
    import pandas as pd

    from stages.core.tables import write_table
    from stages.fusion.files import write_picture
    from stages.fusion.groups import file_name
    from stages.fusion.metrics import figures as measure
    from stages.fusion.sets import own_set

    if not groups:
        raise DataError("the manifest names no group")
    places = [out / f"{file_name(group.name)}.png" for group in groups]
    inputs = [path for group in groups for path in (*group.files, group.truth)]
    refuse_overwriting(places, [*inputs, chosen["classifier"]])
    if figures is not None:
        refuse_overwriting([figures], [*inputs, *places, chosen["classifier"]])
    settings = settings_of(chosen)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, group in enumerate(groups):
            fusion_set = own_set(group, chosen["registration"])
            picture = fused(fusion_set.sources[0], chosen["method"], settings)
            np.save(Path(folder) / f"{number}.npy", picture)
            if figures is not None:
                measured = measure(fusion_set.sources, picture[None], fusion_set.truth)
                rows.append({"group": group.name} | {name: values[0] for name, values in measured.items()})
        for number, place in enumerate(places):
            write_picture(place, np.load(Path(folder) / f"{number}.npy"))
    if figures is not None:
        write_table(figures, pd.DataFrame(rows))
    print(f"{out}: {len(groups)} pictures")


def settings_of(chosen: dict[str, Any]) -> Settings:
    """Build the settings of the method from the options.

    Raises:
        ParamsError: Both alpha and weights, or no classifier where one is needed.
        ModelError: See `activity_by`.

    """
    from stages.fusion.methods import Settings

    weights = chosen["weights"]
    if chosen["alpha"] is not None:
        if weights is not None:
            raise ParamsError("--alpha: is for two pictures and without --weights; of more give --weights")
        weights = [chosen["alpha"], 1 - chosen["alpha"]]
    activity = activity_by(chosen["classifier"]) if chosen["method"] == "features" else None
    return Settings(weights=weights, levels=chosen["levels"], activity=activity)


def fused(sources: Pictures, method: Method, settings: Settings) -> Pictures:
    """Fuse sources [S, H, W, C] by a method: [H, W, C].

    Raises:
        ParamsError: Weights or levels that do not fit them.

    """
    from stages.fusion.methods import fuse

    try:
        return fuse(sources, method, settings)
    except ValueError as error:
        raise ParamsError(f"--method {method}: {error}") from None


def activity_by(classifier: Path | None) -> Callable[[Pictures], Floats]:
    """A function that maps how active the classifier's first stage is on sources.

    Raises:
        ParamsError: None given.
        ModelError: No such file, or no classifier in it.

    """
    import torch

    from stages.classifier.network import load_classifier
    from stages.fusion.activity import activity_of
    from stages.networks.compute import Compute

    if classifier is None:
        raise ParamsError("--method features: asks for a --classifier, as train-classifier writes one")
    compute = Compute(device=torch.device("cpu"), dtype=torch.float32)
    return activity_of(load_classifier(classifier), 1, compute)


def set_in(files: Sequence[Path], corner: list[int] | None) -> Pictures:
    """Set the cut-out of the second file into the scene of the first.

    Raises:
        ParamsError: No place given, or not two files.
        DataError: No alpha in the second, more than 8 bits, or a place outside of the scene.

    """
    import numpy as np

    from stages.fusion.compositing import poisson
    from stages.fusion.files import read_opaque, read_picture

    if len(files) != 2 or corner is None or len(corner) != 2:
        raise ParamsError("--method poisson: asks for a scene, a cut-out with alpha, and --at x,y")
    scene, item = read_opaque(files[0]), read_picture(files[1])
    if item.shape[2] != 4:
        raise DataError(f"{files[1]}: has no alpha channel that says what is cut out; save it with one")
    if not scene.dtype == item.dtype == np.uint8:
        raise DataError(f"{files[0]}, {files[1]}: poisson computes with 8 bits a channel; save them so")
    colour = item[..., :3] if scene.shape[2] == 3 else item[..., :3].mean(axis=2, keepdims=True)
    try:
        return poisson(
            scene.astype(np.uint8), colour.astype(np.uint8), item[..., 3] > 127, (corner[0], corner[1])
        )
    except ValueError as error:
        raise DataError(f"{files[1]}: {error}") from None


def lay_out(files: Sequence[Path], target: Path | None, columns: int | None) -> Pictures:
    """Lay out the files side by side, as a grid or after a target.

    Raises:
        ParamsError: No columns given, or too many.
        DataError: See `read_opaque`; sizes that differ.

    """
    import numpy as np

    from stages.fusion.compositing import grid, mosaic
    from stages.fusion.files import read_opaque
    from stages.fusion.groups import check_sizes
    from stages.fusion.pixels import in_one_form

    if columns is None:
        raise ParamsError("--method mosaic: asks for --columns")
    pictures = [read_opaque(file) for file in files]
    check_sizes(files, pictures)
    try:
        if target is None:
            return grid(np.stack(in_one_form(pictures)), columns)
        *tiles, aim = in_one_form([*pictures, read_opaque(target)])
        return mosaic(np.stack(tiles), aim, columns)
    except ValueError as error:
        raise ParamsError(f"--columns: {error}") from None


def main(words: Sequence[str]) -> int:
    """Do what the words say and return the exit code."""
    return run_by_hand(command, "darkroom fuse", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
