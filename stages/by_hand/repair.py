"""`darkroom repair`: missing parts filled, noise removed, shadows and lights opened, without any pipeline.

    darkroom repair scan.png --mask scratches.png
    darkroom repair photos --denoise --exposure --out better

Exit codes: 0; 2 with one line where what the user gave is wrong.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from stages.core.cli import run_by_hand
from stages.core.errors import DataError, ParamsError

if TYPE_CHECKING:
    from PIL import Image

    from stages.fusion.pixels import Pictures
    from stages.generator.network import Generator
    from stages.repair.filling import Mask

# What imports OpenCV or torch is imported where it is used, because `--help` does not need it.

SHEET = "sheet.png"
SHOWN = 12
"""Pictures on the sheet."""
SHOWN_SIDE = 256
WHITE = 0.1
"""Share of white from which on a place of a mask counts as missing: the soft edge of a brush does too."""

A_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairTask:
    """A picture and what belongs to it."""

    picture: Path
    mask: Path | None
    grow: int | None
    truth: Path | None
    out: Path


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("pictures", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--mask", type=A_PATH, help="White is missing: one picture for all, or a folder with one of each name."
)
@click.option(
    "--grow",
    type=click.IntRange(0, 100),
    help="Widen the missing part by so many pixels; default: 1 where the mask's edges are soft, else 0.",
)
@click.option(
    "--fill",
    type=click.Choice(["telea", "navier-stokes", "generator"]),
    default="telea",
    show_default=True,
    help="How the missing part is filled: from its surroundings, or by a trained generator.",
)
@click.option(
    "--radius",
    type=click.FloatRange(1, 100),
    default=3.0,
    show_default=True,
    help="telea, navier-stokes: pixels that they look round themselves.",
)
@click.option(
    "--model",
    type=A_PATH,
    default=Path("data/models/generator.safetensors"),
    show_default=True,
    help="generator: a model file that train-gan wrote.",
)
@click.option("--denoise", is_flag=True, help="Remove noise, by non-local means.")
@click.option(
    "--sigma",
    type=click.FloatRange(0, 255, min_open=True),
    help="The noise's standard deviation in grey levels; default: measured.",
)
@click.option("--exposure", is_flag=True, help="Open shadows and lights, by exposure fusion.")
@click.option(
    "--stops",
    type=click.FloatRange(0, 8, min_open=True),
    default=2.0,
    show_default=True,
    help="Exposure: how much brighter and darker the fused versions are; one doubles the light.",
)
@click.option("--truth", type=A_PATH, help="The whole picture, or a folder of them: PSNR and SSIM are told.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="generator's.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("repaired"),
    show_default=True,
    help="The folder of the repaired pictures, all PNG, and of sheet.png with before and after.",
)
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON, for programs.")
def command(
    pictures: tuple[str, ...],
    mask: Path | None,
    grow: int | None,
    truth: Path | None,
    out: Path,
    json_wanted: bool,
    model: Path,
    **options: Any,
) -> None:
    """Repair pictures: fill what a mask says is missing, remove noise, open shadows and lights.

    PATH is a picture, a folder or a pattern. What is asked for is done in this order.

    \b
    Examples:
      darkroom repair scan.png --mask scratches.png
      darkroom repair holes --mask masks --fill generator --truth whole --json
      darkroom repair photos --denoise --exposure --out better
    """  # noqa: D301 - \b is click's
    if mask is None and not options["denoise"] and not options["exposure"]:
        raise ParamsError("nothing to do: give --mask, --denoise or --exposure")
    if options["sigma"] is not None and not options["denoise"]:
        raise ParamsError("--sigma: is for --denoise, which is not given")
    from stages.prediction.pictures import named_pictures

    tasks = tasks_for(list(named_pictures(pictures)), mask, grow, truth, out)
    network = None
    if mask is not None and options["fill"] == "generator":
        import torch

        from stages.generator.network import load_generator

        torch.set_num_threads(1)  # another number gives other bits, and networks as small as these no speed
        network = load_generator(model)
    for task in tasks:  # what is wrong with one of them is said before anything is written
        _check(task, network, denoise=options["denoise"], exposure=options["exposure"])
    results = []
    rows: list[tuple[str, list[Pictures], list[str]]] = []
    for task in tasks:
        result, shown = repair(task, network, **options)
        results.append(result)
        rows += [shown] if len(rows) < SHOWN else []
        if not json_wanted:
            click.echo(line_of(result))
    from stages.drawing.sheets import save_png

    save_png(out / SHEET, sheet_of(rows, len(tasks)))
    if json_wanted:
        click.echo(json.dumps(results, indent=1, ensure_ascii=False))


def tasks_for(
    pictures: Sequence[Path], mask: Path | None, grow: int | None, truth: Path | None, out: Path
) -> list[RepairTask]:
    """What belongs to each picture.

    Raises:
        DataError: A mask or truth is missing, or two pictures would be written to one file, or one to its
        own.

    """
    tasks: dict[Path, RepairTask] = {}
    for picture in pictures:
        written = out / f"{picture.stem}.png"
        if written in tasks or written.name == SHEET:
            other = tasks[written].picture if written in tasks else "the sheet"
            raise DataError(f"{picture}: would be written as {written}, as {other} is; rename one")
        if written.resolve() == picture.resolve():
            raise DataError(f"{picture}: would be written over itself; name another --out")
        tasks[written] = RepairTask(
            picture=picture,
            mask=_beside(picture, mask, "--mask"),
            grow=grow,
            truth=_beside(picture, truth, "--truth"),
            out=written,
        )
    return list(tasks.values())


def _beside(picture: Path, given: Path | None, option: str) -> Path | None:
    """The file of the picture's name in the folder that is given; a file is for all pictures."""
    if given is None or not given.is_dir():
        return given
    same = given / picture.name
    if same.is_file():
        return same
    alike = sorted(path for path in given.iterdir() if path.stem == picture.stem)
    if len(alike) != 1:
        found = "several files" if alike else "none"
        raise DataError(f"{option} {given}: has {found} called {picture.stem}, for {picture}")
    return alike[0]


def _check(task: RepairTask, network: Generator | None, *, denoise: bool, exposure: bool) -> None:
    """Read all files of a task and refuse what does not go together.

    Raises:
        DataError: A file cannot be read, sizes differ, or the picture has too many bits for what is asked.

    """
    picture, missing, _ = read_task(task)
    if picture.dtype != "uint8" and (denoise or exposure or network is not None):
        raise DataError(
            f"{task.picture}: has 16 bits a channel, which --mask with --fill telea alone can keep"
        )
    if network is not None and missing is not None:
        size, channels = network.config["size"], network.config["channels"]
        if picture.shape != (size, size, channels):
            height, width, own = picture.shape
            drawn = f"{size} x {size} px, {channels} channels"
            raise DataError(
                f"{task.picture}: {width} x {height} px, {own} channels; --fill generator draws {drawn}: "
                "take --fill telea"
            )


def read_task(task: RepairTask) -> tuple[Pictures, Mask | None, Pictures | None]:
    """The picture [H, W, C], what is missing of it [H, W], and the truth [H, W, C].

    Raises:
        DataError: One cannot be read, or is of another size; or nothing is missing, or all of it.

    """
    import numpy as np

    from stages.fusion.files import read_opaque
    from stages.fusion.pixels import grey, in_one_form

    picture = read_opaque(task.picture)
    missing = truth = None
    if task.mask is not None:
        read = read_opaque(task.mask)
        _same_size(task.picture, picture, task.mask, read)
        missing = missing_in(grey(read), task.grow)
        if not missing.any() or missing.all():
            what = "is white nowhere, so nothing is missing" if not missing.any() else "is white everywhere"
            raise DataError(f"{task.mask}: {what}; paint white what is to be filled in {task.picture}")
    if task.truth is not None:
        truth = read_opaque(task.truth)
        _same_size(task.picture, picture, task.truth, truth)
        picture, truth = (np.ascontiguousarray(one) for one in in_one_form([picture, truth]))
    return picture, missing, truth


def missing_in(mask: Pictures, grow: int | None) -> Mask:
    """What a mask [H, W] in 0..255 says is missing, wider by `grow` pixels on all sides.

    None: by 1 where the mask has soft edges, else by none. What covers a picture with a soft edge shines
    through where the mask is all but black.
    """
    import cv2
    import numpy as np

    missing = mask > WHITE * 255
    wider = int(((mask > 0) & (mask < 255)).any()) if grow is None else grow
    square = np.ones((3, 3), np.uint8)
    widened: Mask = cv2.dilate(missing.astype(np.uint8), square, iterations=wider) > 0
    return widened


def _same_size(first: Path, picture: Pictures, second: Path, other: Pictures) -> None:
    if picture.shape[:2] != other.shape[:2]:
        sizes = [f"{one.shape[1]} x {one.shape[0]} px" for one in (picture, other)]
        raise DataError(f"{second}: {sizes[1]}, but {first} has {sizes[0]}; they must be equal")


def repair(
    task: RepairTask,
    network: Generator | None,
    *,
    fill: Literal["telea", "navier-stokes", "generator"],
    radius: float,
    denoise: bool,
    sigma: float | None,
    exposure: bool,
    stops: float,
    seed: int,
) -> tuple[dict[str, Any], tuple[str, list[Pictures], list[str]]]:
    """Repair and write a picture; what was done, as plain values, and its row on the sheet."""
    import numpy as np

    from stages.fusion.files import write_picture
    from stages.repair.denoising import denoised, noise_in
    from stages.repair.exposure import well_exposed
    from stages.repair.filling import blended, filled

    given, missing, truth = read_task(task)
    mended = given
    result: dict[str, Any] = {"picture": str(task.picture), "file": str(task.out)}
    if missing is not None:
        result |= {"fill": fill, "missing": round(float(missing.mean()), 4)}
        if fill == "generator":
            from stages.repair.inversion import inverted

            assert network is not None
            found = inverted(network, np.asarray(given, np.uint8), missing, seed=seed)
            mended = blended(given, found.picture, missing)
            result |= {"class": found.label, "error": round(found.error, 6)}
        else:
            mended = filled(given, missing, fill, radius)
    if denoise:
        measured = noise_in(np.asarray(mended, np.uint8)) if sigma is None else sigma
        mended = denoised(np.asarray(mended, np.uint8), measured)
        result["sigma"] = round(measured, 2)
    if exposure:
        mended = well_exposed(np.asarray(mended, np.uint8), stops)
        result["stops"] = stops
    task.out.parent.mkdir(parents=True, exist_ok=True)
    write_picture(task.out, mended)
    shown, titles = [given, mended], ["before", "after"]
    if truth is not None:
        result |= likeness(given, mended, truth, missing)
        shown.append(truth)
        titles = [
            f"before, {_decibels(result['psnr_before'])}",
            f"after, {_decibels(result['psnr'])}",
            "truth",
        ]
    return result, (task.picture.name, [_reduced(one) for one in shown], titles)


def likeness(before: Pictures, after: Pictures, truth: Pictures, missing: Mask | None) -> dict[str, Any]:
    """PSNR in decibels (None: no error at all) and SSIM of the picture before and after, against the truth.

    `psnr_filled` is that of the missing pixels alone. SSIM is None where a side is under its window.
    """
    import numpy as np

    from stages.fusion.metrics import WINDOW, psnr, ssim

    figures: dict[str, Any] = {}
    for name, picture in (("_before", before), ("", after)):
        figures[f"psnr{name}"] = _finite(float(psnr(truth[None], picture[None])[0]))
        large = min(truth.shape[:2]) >= WINDOW
        figures[f"ssim{name}"] = round(float(ssim(truth[None], picture[None])[0]), 4) if large else None
    if missing is not None:
        errors = (after[missing].astype(np.float64) - truth[missing]) ** 2
        top = float(np.iinfo(truth.dtype).max)
        error = float(errors.mean())
        figures["psnr_filled"] = None if error == 0 else round(10 * float(np.log10(top**2 / error)), 2)
    return figures


def _finite(number: float) -> float | None:
    return round(number, 2) if abs(number) < float("inf") else None


def _decibels(number: float | None) -> str:
    return "equal" if number is None else f"{number:.1f} dB"


def line_of(result: dict[str, Any]) -> str:
    """What was done with a picture, in a line."""
    done = []
    if "fill" in result:
        named = f" as {result['class']}" if "class" in result else ""
        done.append(f"{result['missing']:.1%} filled by {result['fill']}{named}")
    if "sigma" in result:
        done.append(f"noise of {result['sigma']:g} grey levels removed")
    if "stops" in result:
        done.append("exposure fused")
    if "psnr" in result:
        done.append(f"PSNR {_decibels(result['psnr_before'])} -> {_decibels(result['psnr'])}")
        if result["ssim"] is not None:
            done.append(f"SSIM {result['ssim_before']:.3f} -> {result['ssim']:.3f}")
    return f"{result['picture']}: {', '.join(done)} -> {result['file']}"


def _reduced(picture: Pictures) -> Pictures:
    """The picture in 8 bits, no larger than the sheet shows it."""
    import cv2
    import numpy as np

    from stages.fusion.pixels import eight_bits

    picture = eight_bits(picture)
    height, width = picture.shape[:2]
    scale = SHOWN_SIDE / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small: Pictures = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small.reshape(*small.shape[:2], -1)


def sheet_of(rows: Sequence[tuple[str, list[Pictures], list[str]]], pictures: int) -> Image.Image:
    """A row for each picture: before, after, and the truth where it is known."""
    from stages.drawing.sheets import image_grid
    from stages.fusion.pixels import eight_bits

    columns = len(rows[0][1])
    side = max(max(one.shape[:2]) for _, shown, _ in rows for one in shown)
    return image_grid(
        [eight_bits(one) for _, shown, _ in rows for one in shown],
        columns,
        [title for _, _, titles in rows for title in titles],
        scale=max(1, SHOWN_SIDE // side),
        rows=[name for name, _, _ in rows],
        note=f"The first {len(rows)} of {pictures:,} pictures" if len(rows) < pictures else "",
        title="Pictures before and after their repair",
    )


def main(words: Sequence[str]) -> int:
    """Do what the words say and return the exit code."""
    return run_by_hand(command, "darkroom repair", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
