"""A stage's function as a command: arguments from its signature, errors as one line."""

import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from stages.core.errors import StageError

EXIT_USER_ERROR = 2


def run_stage(main: Callable[..., None]) -> NoReturn:
    """Run `main` with arguments from the command line; exit 0, or 2 with one line on stderr.

    `main` takes keyword arguments only, each a `Path` that becomes `--its-name`.
    DARKROOM_TRACEBACK=1 shows the stack trace of a user's error as well.
    Ctrl-C ends the process as SIGTERM does, by the signal itself, unless `main` has something to keep.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # typer would make an exit code of an error of it
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(_with_options(main))
    try:
        app()
    except StageError as error:
        if os.environ.get("DARKROOM_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    sys.exit(0)


def _with_options(main: Callable[..., None]) -> Callable[..., None]:
    """`main` with every argument a `--option` to typer, for which one without a default is positional."""

    def command(**arguments: Any) -> None:
        main(**arguments)

    signature = inspect.signature(main, eval_str=True)
    options = [
        p.replace(annotation=Annotated[p.annotation, typer.Option()]) for p in signature.parameters.values()
    ]
    command.__doc__ = main.__doc__
    # typer reads the one, the other is for names that it looks up by itself
    command.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command
