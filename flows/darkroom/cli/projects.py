"""`darkroom init` and `darkroom add`."""

import sys
from pathlib import Path

import click

from darkroom.base.errors import UsageError
from darkroom.base.exits import Exit
from darkroom.cli.options import in_repo

TASKS = ("classify", "detect", "generate", "fuse", "all")  # those of projects.vision, which is slow to import


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path(), metavar="[FOLDER]")
@click.option(
    "--pictures", type=click.Path(path_type=Path), metavar="PATH", help="Your pictures; they are copied."
)
@click.option("--task", type=click.Choice(TASKS), help="What to learn from them.")
def init(folder: Path, pictures: Path | None, task: str | None) -> int:
    """Make a project for your pictures, or schedule a DVC repository.

    In an empty FOLDER: a vision project with the stages that the task needs. Asks for what is not given.
    In a DVC repository: adds prefect.yaml, which retrains at night once `darkroom up` was called, and changes
    nothing else.
    """
    from darkroom.base.roots import root_of

    try:
        root = root_of(folder)
    except UsageError:
        return _new_project(folder, pictures, task)
    if pictures or task:
        raise UsageError(f"{root}: is a DVC repository; name another folder for a new project")
    return _schedule(root)


def _new_project(folder: Path, pictures: Path | None, task: str | None) -> int:
    from darkroom.cli.vision import require_libraries
    from darkroom.projects.vision import Wish, make_project

    require_libraries()
    wish = Wish(pictures=pictures or _asked_pictures(), task=task or _asked_task())
    stages = make_project(folder, wish, print)
    print(f"made {folder.resolve()} with {', '.join(stages)}; everything is committed")
    where = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    print(f"next: {where}darkroom run")
    return Exit.WELL


def _asked_pictures() -> Path:
    _require_terminal("--pictures PATH")
    answer: str = click.prompt("Folder of your pictures", err=True)
    return Path(answer).expanduser()


def _asked_task() -> str:
    _require_terminal(f"--task {'|'.join(TASKS)}")
    answer: str = click.prompt("What to learn from them", type=click.Choice(TASKS), default="all", err=True)
    return answer


def _require_terminal(option: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"{option} is wanted: there is no terminal to ask on")


def _schedule(root: Path) -> int:
    from darkroom.base.git import git
    from darkroom.projects.scheduled import DEPLOYMENTS, add_schedule

    remote = bool(git(root, "remote", fails=""))
    path = add_schedule(root, remote=remote)
    if path is None:
        print(f"{DEPLOYMENTS} is there already: nothing was changed")
    else:
        print(f"{DEPLOYMENTS} was added: a run every night at four (UTC); nothing else was changed")
        print(f"next: git add {DEPLOYMENTS} && git commit, then darkroom up")
    return Exit.WELL


@click.group()
def add() -> None:
    """Add a stage to the pipeline."""


@add.command(short_help="A folder with its code, an entry in dvc.yaml, a test.")
@click.argument("name")
@in_repo
def stage(name: str, repo: Path) -> int:
    """Add a stage: a folder with its code, an entry in dvc.yaml, and a test.

    \b
    Examples:
      darkroom add stage count-cells
    """
    from darkroom.base.roots import root_of
    from darkroom.projects.stage import add_stage

    root = root_of(repo)
    for path in add_stage(root, name):
        print(path.relative_to(root))
    print(f"next: darkroom run {name}")
    return Exit.WELL
