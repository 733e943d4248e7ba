"""`darkroom classify`, `detect`, `fuse` and more: the vision half's commands, each in a process of its own.

The stages themselves declare their options and check them, so nothing is declared twice, and nothing of the
stages is imported here.
"""

import itertools
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkroom.base import interpreter
from darkroom.base.errors import DarkroomError, RepoError, UsageError
from darkroom.base.exits import Exit
from darkroom.show import output

if TYPE_CHECKING:
    from darkroom.releases.models import CommittedModel

RELEASE = "--release"
DETECTOR = "--detector"
"""The option of `explain` that means the other model."""
DECIDED = {"--model", "--params", "--help", "-h"}
"""Options beside which no model is looked for."""


def passing_on(function: Callable[..., int]) -> click.Command:
    """Make a command whose words all go to another one, `--help` too."""
    # a decorator of click's keeps the help of the first function that it is given
    decorator = click.command(
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    return decorator(function)


@passing_on
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def fuse(words: tuple[str, ...]) -> int:
    """Fuse pictures of one scene into one."""
    return _run_module("stages.by_hand.fuse", words)


@passing_on
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def repair(words: tuple[str, ...]) -> int:
    """Fill missing parts, remove noise, open shadows."""
    return _run_module("stages.by_hand.repair", words)


@passing_on
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def generate(words: tuple[str, ...]) -> int:
    """Draw pictures of what is asked for."""
    return _run_module("stages.by_hand.generate", words)


@passing_on
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def data(words: tuple[str, ...]) -> int:
    """Look at a folder of pictures and say what reads it."""
    return _run_module("stages.by_hand.data", words)


@passing_on
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def params(words: tuple[str, ...]) -> int:
    """List all parameters with their meanings."""
    return _run_module("stages.by_hand.params", words)


@passing_on
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def classify(words: tuple[str, ...]) -> int:
    """Say of what class pictures are."""
    return _run_module("stages.by_hand.predict", ("classify", *with_model("classifier", words)))


@passing_on
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def detect(words: tuple[str, ...]) -> int:
    """Find things in pictures."""
    return _run_module("stages.by_hand.predict", ("detect", *with_model("detector", words)))


@passing_on
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def explain(words: tuple[str, ...]) -> int:
    """Draw where a model looks in pictures."""
    if DETECTOR in itertools.takewhile(lambda word: word != "--", words):
        return _run_module("stages.by_hand.predict", ("explain", *with_model("detector", words)))
    if _is_trained_here("detector") and not _is_trained_here("classifier"):
        return _run_module("stages.by_hand.predict", ("explain", DETECTOR, *with_model("detector", words)))
    return _run_module("stages.by_hand.predict", ("explain", *with_model("classifier", words)))


@passing_on
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def export(words: tuple[str, ...]) -> int:
    """Write a trained model for another runtime."""
    kind = "detector" if "detector" in words else "classifier"
    return _run_module("stages.by_hand.export", with_model(kind, words))


def with_model(artifact: str, words: Sequence[str]) -> list[str]:
    """The words, with the files of the model that is meant in front of them.

    `--release VERSION` means that release. Where they name neither that nor a model, the released model is
    meant, else the workspace's own, else that of the last scheduled run; which one is said on standard error.

    Raises:
        DarkroomError: There is no such release, or its model cannot be had.

    """
    rest, version = _without_release(words)
    if version is not None:
        from darkroom.base.roots import root_of
        from darkroom.releases.models import fetch_model

        return [*_naming(fetch_model(root_of(Path()), artifact, version)), *rest]
    options = {word.partition("=")[0] for word in itertools.takewhile(lambda word: word != "--", rest)}
    if options & DECIDED:
        return rest
    trained = Path("data/models") / f"{artifact}.safetensors"
    if (found := _committed_model(artifact, trained)) is not None:
        other = f"; the workspace's own: --model {trained}" if trained.exists() else ""
        output.print_remark(f"the model is that of {found.name}{other}")
        return [*_naming(found), *rest]
    if trained.exists():
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(trained.stat().st_mtime))
        output.print_remark(f"the model is {trained}, of {since}")
        return rest
    if not _is_trained_here(artifact):
        raise UsageError(f"no stage of dvc.yaml trains a {artifact}; name a model by --model FILE")
    return rest


def _is_trained_here(artifact: str) -> bool:
    """Whether dvc.yaml names the model's file, or there is no dvc.yaml that could."""
    try:
        pipeline = Path("dvc.yaml").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return True
    return f"data/models/{artifact}.safetensors" in pipeline


def _without_release(words: Sequence[str]) -> tuple[list[str], str | None]:
    """The words without `--release VERSION`, and the version."""
    rest = list(words)
    at = next((at for at, word in enumerate(rest) if word.partition("=")[0] == RELEASE), None)
    if at is None or "--" in rest[:at]:
        return rest, None
    _, equals, version = rest.pop(at).partition("=")
    if not equals:
        if at == len(rest):
            raise UsageError(f"{RELEASE}: name a version, such as v0.2.0")
        version = rest.pop(at)
    return rest, version


def _committed_model(artifact: str, trained: Path) -> "CommittedModel | None":
    """The released model; if the workspace has no model either, that of the last scheduled run."""
    from darkroom.base.roots import root_of
    from darkroom.releases.models import released_model, scheduled_model

    try:
        root = root_of(Path())
    except UsageError:  # pictures and stages alone, without DVC
        return None
    try:
        found = released_model(root, artifact)
    except RepoError as error:
        if not trained.exists():
            raise
        output.print_warning(f"the released model cannot be had: {error}")
        return None
    return found or (None if trained.exists() else scheduled_model(root, artifact))


def _naming(found: "CommittedModel") -> list[str]:
    return ["--model", str(found.model), "--params", str(found.params)]


def _run_module(module: str, words: Sequence[str]) -> int:
    """Run a module of the stages in a process of its own, with this one's terminal; its exit code is ours."""
    require_libraries()
    command = interpreter.python_command(
        output.__name__, module, *words, packages={"stages": stages_folder()}
    )
    code = subprocess.run(command, check=False).returncode
    return code if code >= 0 else Exit.INTERRUPTED if code == -signal.SIGINT else Exit.FAILED


def require_libraries() -> None:
    """Refuse where the libraries of the stages are not installed.

    Raises:
        DarkroomError: Names them.

    """
    if missing := missing_libraries():
        raise DarkroomError(
            "this command needs the vision libraries: pip install 'darkroom[vision]'"
            f" (not installed: {', '.join(missing)})"
        )


def missing_libraries() -> list[str]:
    """The libraries of the extra `vision` that are not installed."""
    # Not above: `darkroom --help` would take half as long again.
    from importlib.metadata import PackageNotFoundError, distribution, requires

    missing = []
    for requirement in requires("darkroom") or ():
        if "extra == 'vision'" in requirement:
            name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            try:
                distribution(name)
            except PackageNotFoundError:
                missing.append(name)
    return missing


def stages_folder() -> Path:
    """The folder of the stages: the current project's own, else those that were installed with darkroom.

    Raises:
        DarkroomError: There are none.

    """
    own = Path.cwd() / "stages"
    for folder in (own, interpreter.installed_stages()):
        if folder and (folder / "by_hand/__init__.py").is_file():
            return folder
    raise DarkroomError(f"{own}: no stages of darkroom here, and none came with its installation")
