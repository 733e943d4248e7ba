"""`darkroom completion`: commands, options and stages completed by the shell."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import get_completion_class

from darkroom.base.exits import Exit

VARIABLE = "_DARKROOM_COMPLETE"
"""What click's scripts set when they ask the program itself what could come next."""


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print what makes a shell complete commands, options and stages."""
    program = context.find_root()
    kind = get_completion_class(shell)
    assert kind is not None  # the choice holds no other
    print(kind(program.command, {}, "darkroom", VARIABLE).source())
    return Exit.WELL


def stages_like(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """The stages of dvc.yaml whose names begin so; read without DVC, which is slow to import."""
    import yaml

    del parameter
    path = Path(context.params.get("repo") or "", "dvc.yaml")
    try:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        names = [name for stage, what in stages.items() for name in _names(stage, what)]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return []
    return [name for name in names if name.startswith(begun)]


def _names(stage: str, what: dict[str, object]) -> list[str]:
    """The stage's names: of a template, one for each of its values."""
    values = what.get("foreach")
    return [f"{stage}@{value}" for value in values] if isinstance(values, dict | list) else [stage]
