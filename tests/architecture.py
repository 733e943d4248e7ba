"""`make architecture`: writes the picture of the packages into docs/architecture.md.

The picture is drawn from the contracts of pyproject.toml that import-linter checks; what the tables say of a
package is the first sentence of its docstring.
"""

from __future__ import annotations

import ast
import re
import tomllib

from tests.places import ROOT

PAGE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- drawn by `make architecture` -->\n", "<!-- end of the drawing -->\n"
HALVES = {"darkroom": ("the scheduler half", ROOT / "flows"), "stages": ("the vision half", ROOT)}
"""By top-level package: what it is called, and the folder that it is found in."""


def layers() -> dict[str, list[list[str]]]:
    """The layers of each half, the highest first: names of packages that stand side by side."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    found = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return {
        lines[0].partition(".")[0]: [[name.strip() for name in re.split(r"[|:]", line)] for line in lines]
        for lines in found
    }


def purpose(package: str) -> str:
    """The first sentence of a package's docstring."""
    folder = HALVES[package.partition(".")[0]][1].joinpath(*package.split("."))
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    return said.partition("\n\n")[0].replace("\n", " ")


def picture() -> str:
    """A mermaid drawing of both halves: each row may import what stands below it."""
    lines = ["```mermaid", "flowchart TB"]
    for half, rows in layers().items():
        title = f"{half}: {HALVES[half][0]}"
        lines += [f'    subgraph {half}["{title}"]', "        direction TB"]
        for number, row in enumerate(rows):
            boxes = [f'{name.replace(".", "_")}["{name.partition(".")[2]}"]' for name in row]
            lines += [f'        subgraph {half}_{number}[" "]', "            direction LR"]
            lines += [*(f"            {box}" for box in boxes), "        end"]
        lines += ["        " + " --> ".join(f"{half}_{number}" for number in range(len(rows))), "    end"]
    return "\n".join([*lines, "```", ""])


def tables() -> str:
    """A table for each half: its packages from the top down, and what each is for."""
    parts = []
    for half, rows in layers().items():
        folder = HALVES[half][1].relative_to(ROOT) / half
        parts.append(f"\n| {folder}/ | |\n|---|---|\n")
        parts += [f"| {name.partition('.')[2]} | {purpose(name)} |\n" for row in rows for name in row]
    return "".join(parts)


def drawn(page: str) -> str:
    """The page with a new drawing."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "".join([before, BEGIN, picture(), tables(), END, after])


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
