"""The help of every command on one page, with what it costs to be shown.

    python -m benchmarks.darkroom.help [--rounds 5] [--out FILE]

CPU seconds of a fresh process, the least of the rounds: what else goes on can only add to them.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from benchmarks.machine import describe
from darkroom.cli.main import app

COLUMNS = 80


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the page here.")
def main(rounds: int, out: Path | None) -> None:
    """Ask each command for its help and write the page."""
    text = page(measured(rounds), rounds)
    if out:
        out.write_text(text)
    else:
        print(text, end="")


def command_words() -> Iterator[tuple[str, ...]]:
    """The words of every command: none for darkroom itself, two where a command has commands of its own."""
    yield ()
    for name, command in sorted(app.commands.items()):
        yield (name,)
        if isinstance(command, click.Group):
            yield from ((name, below) for below in sorted(command.commands))


def measured(rounds: int) -> list[tuple[Sequence[str], str, float]]:
    """The words, the help and the least CPU seconds of each command."""
    found: list[tuple[Sequence[str], str, float]] = []
    for words in command_words():
        shown = [show(words) for _ in range(rounds)]
        found.append((words, shown[0][0], min(seconds for _, seconds in shown)))
    return found


def show(words: Sequence[str]) -> tuple[str, float]:
    """What `darkroom WORDS --help` prints, and the CPU seconds that it took."""
    program = shutil.which("darkroom", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program, "darkroom is not installed"
    environment = os.environ | {"COLUMNS": str(COLUMNS)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [program, *words, "--help"], env=environment, check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def page(commands: Sequence[tuple[Sequence[str], str, float]], rounds: int) -> str:
    """The page: a table of the times, and the help of each command below it."""
    lines = [
        "# The help of all commands, measured",
        "",
        f"`python -m benchmarks.darkroom.help --rounds {rounds}` on {describe()}",
        "",
        "| command | CPU seconds |",
        "|---|---|",
        *(f"| `{' '.join(['darkroom', *words])}` | {seconds:.2f} |" for words, _, seconds in commands),
    ]
    for words, text, _ in commands:
        lines += ["", f"## {' '.join(['darkroom', *words])}", "", "```text", text.rstrip(), "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
