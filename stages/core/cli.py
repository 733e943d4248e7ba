"""Command lines: makes a command of a stage's function, with options from its signature."""

import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, get_args

import click

from stages.core.errors import ParamsError, StageError
from stages.core.texts import in_a_line

EXIT_USER_ERROR = 2
OPTION_TYPES: Mapping[type, Any] = {
    Path: click.Path(path_type=Path),
    float: click.FLOAT,
    str: click.STRING,
}
"""What an argument of a stage may be; each may be None as well."""


def run_stage(main: Callable[..., None]) -> NoReturn:
    """Run `main` with arguments from the command line; exit 0, or 2 with one line on stderr.

    DARKROOM_TRACEBACK=1 shows the stack trace of a user's error as well. Ctrl-C ends the process as SIGTERM
    does, by the signal itself, unless `main` has something to keep.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python would show a stack trace
    try:
        arguments = command_of(main).main(standalone_mode=False)
        if not isinstance(arguments, dict):  # the exit code of --help
            sys.exit(arguments)
        main(**arguments)  # outside of click, which would take an EOFError of a broken file for Ctrl-D
    except click.ClickException as error:
        print(f"error: {usage_error(error)}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except StageError as error:
        if os.environ.get("DARKROOM_TRACEBACK"):
            raise
        print(f"error: {in_a_line(str(error))}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    sys.exit(0)


def run_by_hand(command: click.Command, name: str, words: Sequence[str]) -> int:
    """Do what the words of a command given by hand say, and return the exit code.

    What is wrong is one line on stderr, with code 2.
    """
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


def _refuse_release(context: click.Context, option: click.Parameter, version: str | None) -> None:
    del option
    if version is not None:  # `darkroom` itself has put the model in its place
        raise ParamsError(f"--release: only `{context.info_name}` itself knows releases")


release_option = click.option(
    "--release",
    metavar="VERSION",
    expose_value=False,
    callback=_refuse_release,
    help="The model of a release, such as v0.2.0, with its params.yaml.",
)
"""The option by which `darkroom` chooses a model; a command of the stages alone lists it and refuses it."""


def usage_error(error: click.ClickException) -> str:
    """What is wrong with a command line, in one line."""
    return " ".join(error.format_message().split())


def command_of(main: Callable[..., None]) -> click.Command:
    """A command that reads the arguments of `main` and returns them by name.

    `main` takes keyword arguments only, each of a type in OPTION_TYPES. An argument `model_file` becomes the
    option `--model-file`, which must be given unless it has a default. The help is the docstring: its text up
    to the first section, and for each option what the section `Args:` says of it.
    """
    text, explained = _documented(main)
    options = [
        _option(parameter, explained.get(parameter.name))
        for parameter in inspect.signature(main, eval_str=True).parameters.values()
    ]
    return click.Command(
        main.__name__,
        callback=dict,
        params=list(options),
        help=text,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _option(parameter: inspect.Parameter, explained: str | None) -> click.Option:
    kinds: tuple[Any, ...] = get_args(parameter.annotation) or (parameter.annotation,)
    (kind,) = (kind for kind in kinds if kind is not NoneType)
    given: dict[str, Any] = {"required": True}
    if parameter.default is not parameter.empty:
        given = {"default": parameter.default, "show_default": bool(parameter.default)}
    return click.Option(
        [f"--{parameter.name.replace('_', '-')}", parameter.name],
        type=OPTION_TYPES[kind],
        help=explained,
        **given,
    )


def _documented(main: Callable[..., None]) -> tuple[str, dict[str, str]]:
    """The text of the docstring before its sections, and what it says of each argument."""
    text, *sections = re.split(r"^(?:(Args)|\w+):\n", inspect.getdoc(main) or "", flags=re.MULTILINE)
    arguments = next((body for name, body in zip(*[iter(sections)] * 2, strict=True) if name), "")
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", arguments, flags=re.MULTILINE)
    return text, {name: " ".join(said.split()) for name, said in entries}
