"""`darkroom data`: says what a folder of pictures contains, and prints the section of params.yaml for it.

    darkroom data data/raw/mine
    darkroom data data/raw/mine --write

Exit codes: 0; 2 with one line if nothing in the folder can be read.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages.core.cli import run_by_hand
from stages.core.errors import DataError, ParamsError, StageError
from stages.core.files import write_atomically

if TYPE_CHECKING:
    import yaml

    from stages.by_hand.seen import FolderListing, Guess
    from stages.preprocess.fitting import Size
    from stages.sources.rows import Finding

# What imports numpy, pydantic or YAML is imported where it is used, because `--help` does not need it.

AUTO = "auto"  # as in params.yaml
FORM = {"classes": None, "shape": AUTO, "channels": 3, "fit": "stretch", "ground": 0}
OBLONG = 1.25  # sides whose ratio is greater are not stretched to a square
NAMED = 3  # findings of a kind that are shown
CLASSES = 20  # that are listed with their counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a guess gives when its format reads the folder."""

    guess: Guess
    section: dict[str, Any]
    """The task's part of section `preprocess`."""
    pictures: int
    labels: Mapping[str, int]
    splits: Mapping[str, int]
    """Pictures by the split that the data gives; `undecided` where it gives none."""
    findings: Sequence[Finding]
    size: Size | None
    """Median width and height of the pictures; None: no file is one, or they are packed as they are."""
    absent: Sequence[Path]
    """Pictures that the data names and that are not there."""
    attributes: Mapping[str, int]
    """How many pictures have each attribute that a picture has or has not."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON, for programs.")
@click.option("--write", is_flag=True, help="Write the section into params.yaml; comments and order stay.")
@click.option(
    "--params",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("params.yaml"),
    show_default=True,
    help="The file to complete.",
)
def command(folder: Path, json_wanted: bool, write: bool, params: Path) -> None:
    """Print format, classes, counts, splits and oddities of a FOLDER, and what reads it in params.yaml.

    \b
    Examples:
      darkroom data ~/flowers
      darkroom data ~/flowers --write
    """  # noqa: D301 - \b is click's
    import yaml

    from stages.by_hand.seen import look_at
    from stages.core.texts import in_a_line

    text = read_params(params) if write or params.exists() else "preprocess: {}\n"
    seen = look_at(folder)
    readings, refused = read_all(seen, yaml.safe_load(text))
    if not readings:
        reasons = [*refused, *seen.unread]
        more = [f"and {len(reasons) - NAMED} more"] if len(reasons) > NAMED else []
        about = [f"{len(seen.names):,} files, {len(seen.pictures):,} named as pictures are"]
        if seen.annotations and not reasons:
            about.append(f"nothing is known that writes {_first_names(seen.annotations)}")
        about += [*reasons[:NAMED], *more]
        reason = in_a_line("; ".join(about))  # names of files may have several lines
        raise DataError(
            f"{folder}: of no format that is known: {reason}; docs/own_pictures.md names the formats"
        )
    best = best_of(readings)
    changes = changes_for(folder, best, yaml.safe_load(text))
    if json_wanted:
        others = [other.guess.layout for other in readings if other is not best]
        by_key = {".".join(key): value for key, value in changes.items()}
        click.echo(json.dumps({**plain_values(best), "params": by_key, "could_also_be": others}, indent=2))
    else:
        lines = described(best)
        lines += [
            f"It could also be: {other.guess.layout}, {other.pictures:,} pictures."
            for other in readings
            if other is not best
        ]
        click.echo("\n".join(map(in_a_line, lines)))
        click.echo("\nFor params.yaml:\n")
        click.echo(as_yaml(changes))
    if write:
        write_atomically(params, with_changes(text, changes, params).encode())
        said = f"Written into {params}. Next: dvc add {folder}, then darkroom run preprocess"
        click.echo(said, err=json_wanted)


def plain_values(reading: Reading) -> dict[str, Any]:
    """What is known of the folder, as plain values."""
    return {
        "layout": reading.guess.layout,
        "task": reading.guess.task,
        "pictures": reading.pictures,
        "classes": dict(reading.labels),
        "splits": dict(reading.splits),
        "findings": dict(Counter(finding.kind for finding in reading.findings)),
        "size": list(reading.size) if reading.size else None,
        "absent": len(reading.absent),
        **({"attributes": dict(reading.attributes)} if reading.attributes else {}),
        "not_read": list(reading.guess.beside),
    }


def read_params(path: Path) -> str:
    """The text of params.yaml, whose section `preprocess` is a mapping.

    Raises:
        ParamsError: No such file, no YAML, or no such section.

    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; `darkroom init` makes a project with one") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not isinstance(document.get("preprocess"), dict):
        raise ParamsError(f"{path}: section 'preprocess' is missing")
    return text


def read_all(seen: FolderListing, params: Mapping[str, Any]) -> tuple[list[Reading], list[str]]:
    """What each guess gives, and why the others were refused by their format."""
    from stages.by_hand.guessing import guesses

    readings, refused = [], []
    for guess in guesses(seen):
        try:
            reading = read_guess(seen, guess, params)
        except StageError as error:
            refused.append(f"{guess.layout}: {error}")
            continue
        if reading.labels or reading.attributes:
            readings.append(reading)
        else:
            refused.append(f"{guess.layout}: {_why_nothing(reading)}")
    return readings, refused


def _why_nothing(reading: Reading) -> str:
    """Why a reading gives no label: the commonest finding, or that there is none."""
    kinds = Counter(finding.kind for finding in reading.findings)
    if not kinds:
        return "nothing in it has a label"
    kind, count = kinds.most_common(1)[0]
    first = next(one for one in reading.findings if one.kind == kind)
    return f"no label can be read: {kind}, {count:,} times, first {first.where}: {first.what}"


def read_guess(seen: FolderListing, guess: Guess, params: Mapping[str, Any]) -> Reading:
    """Let the guess's format read the folder; pictures are not decoded.

    Raises:
        StageError: It cannot.

    """
    from stages.by_hand.guessing import counted
    from stages.preprocess.fitting import evenly_chosen, median_size, sizes_of
    from stages.preprocess.readers import read_source
    from stages.sources.preparation import PreprocessParams
    from stages.sources.rows import Row

    split = {"val": 0.15, "test": 0.2, "group_pattern": None, "near_duplicates": 6}
    # What the guess says wins over the usual form, and stands first.
    section = {**guess.source, **(FORM if guess.has_form else {}), **guess.source, "split": split}
    other = "detection" if guess.task == "classification" else "classification"
    document = {**params["preprocess"], guess.task: section, other: None}
    values = PreprocessParams.model_validate(document)
    source = values.classification if guess.task == "classification" else values.detection
    labels: list[str] = []
    splits: Counter[str] = Counter()
    findings = []
    pictures: list[Path] = []
    attributes: Counter[str] = Counter()
    asked = guess.source.get("columns", {})
    for one in read_source(seen.folder, source, upright=values.policy.upright):  # type: ignore[arg-type]
        if isinstance(one, Row):
            labels += one.labels
            for name, value in one.attributes.items():
                attributes[name] += value > 0
            splits[one.split or "undecided"] += 1
            pictures += [one.picture] if isinstance(one.picture, Path) else []
        else:
            findings.append(one)
    if splits["test"]:
        section["split"] = {**split, "test": None}
    sizes = sizes_of(pictures, upright=values.policy.upright) if guess.has_form else []
    if sizes:
        section |= {
            "channels": 1 if all(map(is_grey, evenly_chosen(pictures))) else 3,
            "fit": fit_for(guess, sizes),
        }
    return Reading(
        guess=guess,
        section=section,
        pictures=splits.total(),
        labels=counted(labels),
        splits=splits,
        findings=findings,
        size=median_size(sizes) if sizes else None,
        attributes=attributes if asked.get("attributes") or asked.get("label_lists") else {},
        absent=[picture for picture in pictures if not os.path.lexists(picture)],
    )


def is_grey(file: Path) -> bool:
    """Whether the picture in a file has no colours; a file that is no picture has none."""
    from PIL import Image

    from stages.intake.folders import open_file

    try:
        with open_file(file) as content, Image.open(content) as picture:
            return picture.mode in ("1", "L", "I", "I;16")
    except Exception:  # it is told of when the picture is decoded
        return True


def fit_for(guess: Guess, sizes: Sequence[Size]) -> str:
    """What suits the sizes: squares are made of oblong pictures by a margin, as is one form of several."""
    from stages.preprocess.fitting import median_size

    if guess.task == "detection":
        return "pad" if len(set(sizes)) > 1 else "stretch"
    width, height = median_size(sizes)
    return "pad" if max(width, height) > OBLONG * min(width, height) else "stretch"


def best_of(readings: Sequence[Reading]) -> Reading:
    """Boxes before classes, and of those the reading with most labels; of equal ones the first."""
    with_boxes = [one for one in readings if one.guess.task == "detection"]
    return max(with_boxes or readings, key=lambda one: sum(one.labels.values()))


def described(reading: Reading) -> list[str]:
    """What was found, in lines."""
    from stages.core.packed import SPLITS
    from stages.preprocess.fitting import fitted_shape

    labels, boxes = sum(reading.labels.values()), reading.guess.task == "detection"
    counted = f"{reading.pictures:,} pictures"
    if boxes or labels != reading.pictures:
        counted += f", {labels:,} {'boxes' if boxes else 'of them'}"
    lines = [
        f"Format: {reading.guess.source['format']} ({reading.guess.layout}).",
        f"{counted} of {len(reading.labels)} classes.",
    ]
    shown = list(reading.labels.items())[:CLASSES]
    lines += [f"  {name}: {count:,}" for name, count in shown]
    lines += [f"  and {len(reading.labels) - len(shown)} more"] if len(shown) < len(reading.labels) else []
    if reading.attributes:
        lines.append(f"{len(reading.attributes)} attributes, with the pictures that have them.")
        most = list(reading.attributes.items())[:CLASSES]
        lines += [f"  {name}: {count:,}" for name, count in most]
        lines += (
            [f"  and {len(reading.attributes) - CLASSES} more"] if len(reading.attributes) > CLASSES else []
        )
    splits = [f"{name} {reading.splits[name]:,}" for name in (*SPLITS, "undecided") if reading.splits[name]]
    lines.append(f"Splits: {', '.join(splits)}.")
    if reading.size:
        width, height = reading.size
        packed = " x ".join(map(str, reversed(fitted_shape([reading.size], reading.guess.task))))
        lines.append(f"Size: {width} x {height} px at the median, {packed} px by `shape: auto`.")
    if reading.absent:
        lines.append(f"Not there: {len(reading.absent):,} pictures that it names, first {reading.absent[0]}.")
    if reading.guess.beside:
        lines.append(f"Not read, since one section reads no more: {_first_names(reading.guess.beside)}.")
    kinds = Counter(finding.kind for finding in reading.findings)
    for kind, count in kinds.most_common():
        first = [f"{one.where}: {one.what}" for one in reading.findings if one.kind == kind][:NAMED]
        lines.append(f"{kind}, {count:,} times: {'; '.join(first)}")
    return lines


def _first_names(names: Sequence[str]) -> str:
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])


def changes_for(folder: Path, reading: Reading, params: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Values by their keys in params.yaml; `params` is what stands there."""
    task = reading.guess.task
    other = "detection" if task == "classification" else "classification"
    changes: dict[tuple[str, ...], Any] = {
        ("raw",): folder.as_posix(),
        ("preprocess", task): reading.section,
        ("preprocess", other): None,
    }
    if reading.attributes and params.get("train-classifier"):  # else no classifier is wanted
        changes["train-classifier", "attributes"] = "all"
    if reading.attributes and not reading.labels:
        changes["train-gan",] = None  # it draws what has a class
    elif task == "classification" and len(reading.labels) == 1 and not reading.attributes:
        changes["train-classifier",] = None  # of one class there is nothing to tell apart
    if task == "detection":
        changes["train-detector", "network", "anchor_sizes"] = AUTO
    return changes


def as_yaml(changes: Mapping[tuple[str, ...], Any]) -> str:
    """The changes as they stand in params.yaml."""
    tree: dict[str, Any] = {}
    for keys, value in changes.items():
        node = tree
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = value
    return _dumped(tree)


def _dumped(tree: Mapping[str, Any], indent: str = "") -> str:
    """A line a key; small mappings, such as `split`, in one line."""
    import yaml

    lines = []
    for key, value in tree.items():
        small = not isinstance(value, dict) or (len(value) <= 4 and not any(map(_is_mapping, value.values())))
        if small:
            flow = yaml.safe_dump(
                [value], sort_keys=False, allow_unicode=True, default_flow_style=True, width=10**6
            )
            lines.append(f"{indent}{key}: {flow.strip()[1:-1]}\n")
        else:
            lines.append(f"{indent}{key}:\n{_dumped(value, indent + '  ')}")
    return "".join(lines)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def with_changes(text: str, changes: Mapping[tuple[str, ...], Any], path: Path) -> str:
    """The text of params.yaml with other values of these keys; every other line stays as it is.

    A key that is missing becomes the first one of its section. Where a stage's section becomes null, the old
    one stays below as a comment.

    Raises:
        ParamsError: A section is missing, or holds no keys.

    """
    for keys, value in changes.items():
        lines = text.split("\n")
        start, end, column = _lines_of(text, keys, path)
        indent = " " * column
        new = [indent + line for line in _dumped({keys[-1]: value}).rstrip("\n").split("\n")]
        if (
            value is None and len(keys) == 1 and end > start + 1
        ):  # a whole section, which somebody has written
            new += [f"# {line}".rstrip() for line in lines[start:end]]
        text = "\n".join([*lines[:start], *new, *lines[end:]])
    return text


def _lines_of(text: str, keys: Sequence[str], path: Path) -> tuple[int, int, int]:
    """The lines of a key and its value, as a range, and the key's column; no line where it is missing."""
    import yaml

    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    start = None
    for key in keys:
        entries = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((k, v) for k, v in entries if k.value == key), None)
        if found is not None:
            start, node = found[0].start_mark, found[1]
        elif key == keys[-1] and entries and not node.flow_style:
            first = entries[0][0].start_mark
            return first.line, first.line, first.column
        else:
            raise ParamsError(f"{path}: {'.'.join(keys)}: missing; nothing is written")
    assert start is not None
    return start.line, _last_line(node) + 1, start.column


def _last_line(node: yaml.Node) -> int:
    """The last line of a value: that of its last scalar, for a block ends where the next begins."""
    import yaml

    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    end: int = node.end_mark.line
    return end


def main(words: Sequence[str]) -> int:
    """Do what the words say and return the exit code."""
    return run_by_hand(command, "darkroom data", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
