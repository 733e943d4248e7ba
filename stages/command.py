"""A stage's function as a command: arguments from its signature, errors as one line."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from stages.errors import StageError

EXIT_USER_ERROR = 2


def run_stage(main: Callable[..., None]) -> NoReturn:
    """Run `main` with arguments from the command line; exit 0, or 2 with one line on stderr.

    `main` takes keyword arguments only, each a `Path` that becomes `--its-name`.
    DARKROOM_TRACEBACK=1 shows the stack trace of a user's error as well.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except StageError as error:
        if os.environ.get("DARKROOM_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    sys.exit(0)
