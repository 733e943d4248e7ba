"""The help of the commands that stages/by_hand brings: each shows examples that it takes."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from stages.by_hand import data, export, fuse, generate, params, predict, repair

COMMANDS = {
    "classify": predict.classify,
    "detect": predict.detect,
    "explain": predict.explain,
    "data": data.command,
    "params": params.command,
    "fuse": fuse.command,
    "generate": generate.command,
    "export": export.command,
    "repair": repair.command,
}


def examples_in(text: str) -> list[str]:
    """The lines below the title `Examples:`, up to the options."""
    found = re.search(r"^ *Examples:\n((?: +\S.*\n)+)", text, re.M)
    return [line.strip() for line in found[1].splitlines()] if found else []


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_shown_unbroken_and_name_options_that_there_are(name: str) -> None:
    command: click.Command = COMMANDS[name]
    shown = command.get_help(click.Context(command, info_name=name, terminal_width=80))
    examples = examples_in(shown)
    assert examples
    options = {word for option in command.params for word in option.opts}
    for example in examples:
        calls = [part for part in example.split(" | ") if part.startswith("darkroom")]
        assert calls
        for call in calls:
            program, called, *words = shlex.split(call.partition(" >")[0])
            assert (program, called) == ("darkroom", name)
            assert {word for word in words if word.startswith("-") and word != "-"} <= options
