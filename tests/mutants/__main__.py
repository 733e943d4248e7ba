"""Small faults in the modules that decide results: whether strict types or the quick tests notice them.

mutmut makes the faults and tries them, by `tool.mutmut` in pyproject.toml. Those that nobody can notice are
listed in equivalent.toml, each with the reason. Exit code 1: fewer than 95 % are noticed, or one of the rest
is not listed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.places import ROOT

LEAST_SHARE = 0.95
NOTICED = ("killed", "caught by type check", "timeout")
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
TREE = ROOT / ".mutants"
"""Where mutmut finds the package in src/: any other folder it takes for a part of the modules' names."""

LAID_OUT = {
    "src": "flows",
    **{name: name for name in ("pyproject.toml", "tests", "stages", "docs", "params.yaml", "dvc.yaml")},
}
"""What lies in that tree, and what of the project it is."""

ENVIRONMENT = {**os.environ, "MYPYPATH": "src"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What was changed in a function."""

    function: str
    """`darkroom.schedule.plan.decide`, `darkroom.schedule.plan._Decisions.decide`."""
    before: str
    after: str
    """The changed lines without their indentation, joined by blanks."""


def main() -> int:
    """Try all faults, or those whose names are given, and print what became of them."""
    lay_out()
    subprocess.run(
        ["mutmut", "run", "--max-children", "1", *sys.argv[1:]], cwd=TREE, env=ENVIRONMENT, check=False
    )
    ends = {
        name: end for name, end in _ends(_said("mutmut", "results", "--all", "true")) if end != "not checked"
    }
    known = reasons()
    left = {fault_of(_said("mutmut", "show", name)): name for name, end in ends.items() if end not in NOTICED}
    unknown = [fault for fault in left if fault not in known]
    for module in sorted({_module(name) for name in ends}):
        counts = Counter(end for name, end in ends.items() if _module(name) == module)
        same = sum(fault in known and _module(name) == module for fault, name in left.items())
        print(f"{module}: {_counted(counts)}; {same} of the others equivalent")
    for fault in unknown:
        print(f"not noticed: {fault.function}: `{fault.before}` -> `{fault.after}` ({left[fault]})")
    share = (len(ends) - len(left)) / max(1, len(ends))
    print(
        f"{share:.1%} of {len(ends)} noticed, {len(left) - len(unknown)} equivalent, {len(unknown)} unknown"
    )
    return int(share < LEAST_SHARE or bool(unknown))


def lay_out() -> None:
    """Make the tree of links that mutmut works in. What earlier faults came to is kept."""
    TREE.mkdir(exist_ok=True)
    for name, path in LAID_OUT.items():
        (TREE / name).unlink(missing_ok=True)
        (TREE / name).symlink_to(ROOT / path)


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


def _ends(results: str) -> Iterator[tuple[str, str]]:
    for line in results.splitlines():
        name, _, end = line.strip().partition(": ")
        if end != "not checked":
            yield name, end


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {end}" for end, number in counts.most_common())


def reasons() -> dict[Fault, str]:
    entries: Iterable[dict[str, str]] = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    return {Fault(entry["in"], entry["before"], entry["after"]): entry["reason"] for entry in entries}


def _said(*command: str) -> str:
    return subprocess.run(command, cwd=TREE, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
