"""`darkroom params`: every parameter with its meaning, its default and its allowed values, from the classes.

    darkroom params train-classifier
    darkroom params learning_rate --json

Exit codes: 0; 2 with one line if no parameter has the given name.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

import click

from stages.core.cli import run_by_hand
from stages.core.errors import ParamsError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from stages.core.params import StageParams

# What imports pydantic or YAML is imported where it is used, because `--help` does not need it.

TYPES = {int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "null"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One key of params.yaml."""

    key: str
    """The key's full path, such as train-gan.failure.grace."""
    variant: str | None
    """The variant of the section that has the key, such as `model: compact`; None: all have it."""
    default: Any
    """What holds where the key is left out."""
    required: bool
    """Whether the key has no default."""
    allowed: str
    meaning: str

    @property
    def shown_default(self) -> str:
        """The default as it would stand in params.yaml."""
        return "(no default)" if self.required else as_yaml(self.default)


def _sections() -> Mapping[str, type[StageParams]]:
    """Every section that a class reads; `raw`, `to_fuse`, `libraries` and `gate` have none."""
    from stages.by_hand.check_params import SECTIONS
    from stages.score.params import ScoreParams

    return {**SECTIONS, "score": ScoreParams}


def described_sections() -> list[Parameter]:
    """Every parameter, in the order of the classes."""
    return [one for section, cls in _sections().items() for one in _described(section, cls, None)]


def _described(path: str, cls: type[StageParams], variant: str | None) -> Iterator[Parameter]:
    for name, field in cls.model_fields.items():
        sections = sections_in(field.annotation)
        if name == variant_key(cls):
            continue  # it is what names the variant
        if not _is_plain_section(field, sections):
            yield Parameter(
                key=f"{path}.{name}",
                variant=variant,
                default=_default(field),
                required=field.is_required(),
                allowed=allowed(field),
                meaning=_meaning(field, sections),
            )
        for section in sections:
            yield from _described(f"{path}.{name}", section, variant_of(section) or variant)


def _is_plain_section(field: FieldInfo, sections: Sequence[type[StageParams]]) -> bool:
    """Whether the key is a section and nothing else, which its own keys explain."""
    return len(sections) == 1 and sections[0] is field.annotation


def sections_in(annotation: Any) -> list[type[StageParams]]:
    """The classes of sections that may stand there."""
    if is_section(annotation):
        return [annotation]
    return [cls for part in get_args(annotation) for cls in sections_in(part)]


def is_section(kind: Any) -> TypeGuard[type[StageParams]]:
    """Whether this is a class that reads a section."""
    from stages.core.params import StageParams

    return isinstance(kind, type) and issubclass(kind, StageParams)


def variant_key(cls: type[StageParams]) -> str | None:
    """The key whose word says which variant of a section this is."""
    for name, field in cls.model_fields.items():
        if name in ("model", "name", "source", "format") and get_origin(field.annotation) is Literal:
            return name if field.is_required() else None
    return None


def variant_of(cls: type[StageParams]) -> str | None:
    """The key and value that choose a class, as `model: compact`; None for a class that is no variant."""
    key = variant_key(cls)
    return f"{key}: {' or '.join(map(str, get_args(cls.model_fields[key].annotation)))}" if key else None


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True)
    return value.model_dump(exclude_unset=True) if is_section(type(value)) else value


def _meaning(field: FieldInfo, sections: Sequence[type[StageParams]]) -> str:
    text = field.description or next((cls.__doc__ or "" for cls in sections), "").partition("\n\n")[0]
    return " ".join(text.split())


def allowed(field: FieldInfo) -> str:
    """What may stand there, in words: `whole number, at least 1`."""
    from annotated_types import Ge, Gt, Le, Lt

    words = ((Ge, "ge", "at least"), (Gt, "gt", "above"), (Le, "le", "at most"), (Lt, "lt", "below"))
    bounds = [
        f"{word} {getattr(limit, name):,}"
        for limit in field.metadata
        for kind, name, word in words
        if isinstance(limit, kind)
    ]
    return ", ".join([" or ".join(dict.fromkeys(_kinds(field.annotation))), *bounds])


def _kinds(annotation: Any) -> Iterator[str]:
    origin = get_origin(annotation)
    if origin is Literal:
        yield from map(as_yaml, get_args(annotation))
    elif origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _kinds(part)
    elif origin in (list, dict):
        *_, values = get_args(annotation)
        within = " or ".join(dict.fromkeys(_kinds(values)))
        yield f"list of {within}" if origin is list else f"mapping to {within}"
    elif is_section(annotation):
        yield f"{{{variant_of(annotation) or ', '.join(annotation.model_fields)}}}"
    else:
        yield TYPES.get(annotation, "mapping")


def as_yaml(value: Any) -> str:
    """The value in one line of YAML."""
    import yaml

    text = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return text.strip()[1:-1]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--json", "json_wanted", is_flag=True, help="The same as JSON.")
@click.option("--markdown", is_flag=True, help="The same as the page docs/parameters.md.")
@click.option(
    "--params",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("params.yaml"),
    show_default=True,
    help="The file whose values are shown beside the defaults, if there is one.",
)
def command(keys: Sequence[str], json_wanted: bool, markdown: bool, params: Path) -> None:
    """List every parameter with its default, its meaning and what it may be.

    KEY is a section or any part of a key: `darkroom params train-gan`, `darkroom params learning_rate`.
    None: all.

    \b
    Examples:
      darkroom params train-gan
      darkroom params learning_rate
      darkroom params --json | jq '.[].key'
    """  # noqa: D301 - \b is click's
    found = [one for one in described_sections() if not keys or any(key in one.key for key in keys)]
    if not found:
        raise ParamsError(f"no parameter is called {' or '.join(keys)}; `darkroom params` lists all")
    if markdown:
        click.echo(page(found), nl=False)
        return
    here = values_in(params)
    if json_wanted:
        listed = [asdict(one) | {"here": here.get(one.key, one.default)} for one in found]
        click.echo(json.dumps(listed, indent=2))
        return
    click.echo("\n".join(line for one in found for line in lines_of(one, here)))


def values_in(path: Path) -> dict[str, Any]:
    """What the file says, by full key; nothing where it cannot be read."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return dict(_leaves(document, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, f"{path}.{key}" if path else str(key))


def lines_of(parameter: Parameter, here: Mapping[str, Any]) -> Iterator[str]:
    """A line with key and default, and what it means below."""
    own = here.get(parameter.key, parameter.default)
    changed = "" if own == parameter.default else f"  (here: {_short(as_yaml(own))})"
    variant = f"  [{parameter.variant}]" if parameter.variant else ""
    yield f"{parameter.key}: {_short(parameter.shown_default)}{changed}{variant}"
    text = f"{parameter.meaning} ({parameter.allowed})"
    width = max(40, min(110, shutil.get_terminal_size().columns))
    yield from textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ")


def _short(text: str) -> str:
    return textwrap.shorten(text, 60, placeholder=" ...")


def page(parameters: Sequence[Parameter]) -> str:
    """All as a page of markdown, a table a section and variant."""
    lines = [
        "# All parameters",
        "Made by `make parameters` from the classes that read params.yaml. A key that is left out has its",
        "default; a misspelt key is refused. `darkroom params` prints the same in a terminal, with the",
        "values of the project.",
        "",
        "Four things in params.yaml are no section of a stage: `raw` and `to_fuse` are the folders that",
        "dvc.yaml names, `libraries` the versions that results depend on (`make lock` renews them), and",
        "`gate` what a new model must reach to be released ([Releases](releases.md)).",
    ]
    title, variant = "", None
    for one in parameters:
        section, name = one.key.split(".", 1)
        if section != title:
            title, variant = section, None
            lines += ["", f"## {section}", *_head()]
        if one.variant != variant:
            variant = one.variant
            of_variant = f"### {name.rpartition('.')[0]}: {{{variant}}}"
            lines += ["", of_variant if variant else f"### The rest of {section}", *_head()]
        cells = (f"`{name}`", f"`{one.shown_default}`", one.meaning, one.allowed)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _head() -> list[str]:
    return ["", "| key | default | meaning | may be |", "|---|---|---|---|"]


def main(words: Sequence[str]) -> int:
    """Do what the words say and return the exit code."""
    return run_by_hand(command, "darkroom params", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
