"""What is wrong with a command given by hand is one line."""

from typing import Any

import click
import pytest

from stages.core.cli import run_by_hand
from stages.core.errors import DataError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DataError("no picture"), "error: no picture\n"),
        (click.UsageError("two\nlines"), "error: two lines\n"),
        (FileNotFoundError(2, "No such file", "a.png"), "error: a.png: No such file\n"),
        (OSError("no device"), "error: no device\n"),  # a library's own, without a file's name
    ],
)
def test_an_error_is_one_line(error: Exception, said: str, capsys: Any) -> None:
    @click.command()
    def command() -> None:
        raise error

    assert run_by_hand(command, "try", []) == 2
    assert capsys.readouterr().err == said
