"""Commands that are given by hand, outside any pipeline."""

import sys
from collections.abc import Sequence

import click

from stages.core.cli import EXIT_USER_ERROR, usage_error
from stages.core.errors import StageError


def run_by_hand(command: click.Command, name: str, words: Sequence[str]) -> int:
    """Do what the words say and return the exit code; what is wrong is one line on stderr, with code 2."""
    try:
        code = command.main(words, name, standalone_mode=False)
    except click.ClickException as error:
        print(f"error: {usage_error(error)}", file=sys.stderr)
    except StageError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"error: {said}", file=sys.stderr)
    else:
        return int(code or 0)
    return EXIT_USER_ERROR
