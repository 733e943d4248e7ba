"""Small faults in the modules that decide results: whether strict types or the quick tests notice them.

    python -m tests.mutants decisions|figures [NAME ...] [--out PAGE] [--count]

mutmut makes the faults and tries them, by the section of the set (sets.py). Those that nobody can notice are
listed in equivalent.toml, each with the reason. Exit code 1: fewer than 95 % are noticed, one of the rest is
not listed, or mutmut failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from tests.mutants.report import ModuleFaults, page, total
from tests.mutants.sets import SETS, MutantSet

LEAST_SHARE = 0.95
NOTICED = ("killed", "caught by type check", "timeout")
NOT_TRIED = "not checked"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")

# One thread: mutmut forks, and the new process would wait for threads of OpenMP and OpenCV that it has not.
ENVIRONMENT = {**os.environ, "MYPYPATH": "src", "OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What was changed in a function."""

    function: str
    """`darkroom.schedule.plan.decide`, `darkroom.schedule.plan._Decisions.decide`."""
    before: str
    after: str
    """The changed lines without their indentation, joined by blanks."""


@click.command()
@click.argument("name", metavar="SET", type=click.Choice(list(SETS)))
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), help="The file for the page.")
@click.option("--count", is_flag=True, help="Try none, and count those that were tried before.")
def main(name: str, names: tuple[str, ...], out: Path | None, *, count: bool) -> None:
    """Try all faults of SET, or those with a NAME (`*` for any letters), and print what became of them."""
    chosen = SETS[name]
    chosen.lay_out()
    if not count:
        before = {} if names else _left(_ends(chosen))
        _try(chosen, names)
        if again := before.keys() & _left(_ends(chosen)):
            _try(
                chosen, sorted(again)
            )  # mutmut itself does so if the function has changed, not if tests have
    sys.exit(_tell(chosen, out))


def _try(chosen: MutantSet, names: Iterable[str]) -> None:
    command = ["mutmut", "run", "--max-children", "1", *names]
    if code := subprocess.run(command, cwd=chosen.tree, env=ENVIRONMENT, check=False).returncode:
        sys.exit(code)


def _tell(chosen: MutantSet, out: Path | None) -> int:
    """Print what became of the faults that were tried, write the page, and return the exit code."""
    every = _ends(chosen)
    ends = {name: end for name, end in every.items() if end != NOT_TRIED}
    known = reasons()
    left = _faults(chosen, _left(every))
    modules = list(_by_module(ends, {name for name, fault in left.items() if fault in known}))
    for one in modules:
        counts = Counter(end for name, end in ends.items() if _module(name) == one.module)
        print(f"{one.module}: {_counted(counts)}; {one.equivalent} of the others equivalent")
    unknown = {name: fault for name, fault in left.items() if fault not in known}
    for name, fault in unknown.items():
        print(f"not noticed: {_in_words(fault)} ({name})")
    of_all = total(modules)
    print(
        f"{of_all.share:.1%} of {of_all.tried} noticed,"
        f" {of_all.equivalent} equivalent, {of_all.unknown} unknown"
    )
    if out:
        said = [_in_words(fault) for fault in unknown.values()]
        out.write_text(page(chosen.name, modules, said, len(every) - len(ends)), encoding="utf-8")
    return int(of_all.share < LEAST_SHARE or bool(unknown))


def _by_module(ends: Mapping[str, str], equivalent: set[str]) -> Iterator[ModuleFaults]:
    for module in sorted({_module(name) for name in ends}):
        own = {name: end for name, end in ends.items() if _module(name) == module}
        yield ModuleFaults(
            module=module,
            tried=len(own),
            noticed=sum(end in NOTICED for end in own.values()),
            equivalent=len(equivalent & set(own)),
        )


def _in_words(fault: Fault) -> str:
    return f"{fault.function}: `{fault.before}` -> `{fault.after}`"


def fault_of(shown: str) -> Fault:
    """What `mutmut show` prints of a fault, which has a comment with its name, and a diff."""
    name = next(line for line in shown.splitlines() if line.startswith("# ")).split()[1].rstrip(":")
    changes = [line for line in shown.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    before, after = (" ".join(line[1:].strip() for line in changes if line.startswith(sign)) for sign in "-+")
    return Fault(_function(name), before, after)


def _function(name: str) -> str:
    """`darkroom.schedule.plan.xǁ_Decisionsǁdecide__mutmut_3` is darkroom.schedule.plan._Decisions.decide."""
    module, _, rest = name.rpartition("__mutmut_")[0].partition(".x")
    return f"{module}.{rest.removeprefix('_').lstrip('ǁ').replace('ǁ', '.')}"


def _module(name: str) -> str:
    return name.partition(".x")[0]


def _ends(chosen: MutantSet) -> dict[str, str]:
    """What became of each fault, by its name; of those that were never tried `NOT_TRIED`."""
    lines = (line.strip() for line in _said(chosen, "results", "--all", "true").splitlines())
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def _left(ends: Mapping[str, str]) -> dict[str, str]:
    """Those that were tried and not noticed."""
    return {name: end for name, end in ends.items() if end not in (*NOTICED, NOT_TRIED)}


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {end}" for end, number in counts.most_common())


def reasons() -> dict[Fault, str]:
    """Why nobody can notice a fault, for each that is listed."""
    entries: Iterable[dict[str, str]] = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    return {Fault(entry["in"], entry["before"], entry["after"]): entry["reason"] for entry in entries}


SHOW = """
import sys
from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant
for name in sys.argv[1:]:
    print(f"# {name}:", get_diff_for_mutant(name, path=find_mutant(name).path), sep="\\n", end="\\0")
"""
"""`mutmut show` of many faults, in one process."""


def _faults(chosen: MutantSet, names: Iterable[str]) -> dict[str, Fault]:
    """What was changed, for each of the faults with these names."""
    command = [sys.executable, "-c", SHOW, *names]
    shown = subprocess.run(command, cwd=chosen.tree, check=True, capture_output=True, text=True).stdout
    return dict(zip(names, map(fault_of, shown.split("\0")), strict=False))


def _said(chosen: MutantSet, *words: str) -> str:
    command = ["mutmut", *words]
    return subprocess.run(command, cwd=chosen.tree, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
