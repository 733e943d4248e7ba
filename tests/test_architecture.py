"""The tree tells its story: each package says what lies in it and exports what others use of it."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import architecture
from tests.places import ROOT

TOPS = {"darkroom": ROOT / "flows", "stages": ROOT}
"""The two halves, and the folder that each is found in."""
HEAVY = {"cv2", "dvc", "email", "numpy", "pandas", "prefect", "rich", "torch", "yaml"}
"""What takes long to import, or comes with what does: `email` with importlib.metadata."""


def folder_of(package: str) -> Path:
    return TOPS[package.partition(".")[0]].joinpath(*package.split("."))


def packages() -> list[str]:
    return sorted(
        ".".join(path.relative_to(root).parent.parts)
        for top, root in TOPS.items()
        for path in (root / top).rglob("__init__.py")
    )


@cache
def modules_in(package: str) -> frozenset[str]:
    """Names of the package's modules and of the packages right under it."""
    folder = folder_of(package)
    names = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    return frozenset(names | {path.parent.name for path in folder.glob("*/__init__.py")})


def imports() -> Iterator[tuple[str, str, str]]:
    """Each name that a file takes out of one of our modules or packages: the file, where from, the name."""
    for top, root in TOPS.items():
        for path in (root / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in TOPS:
                    for alias in node.names:
                        yield path.relative_to(root).as_posix(), node.module, alias.name


@cache
def used_by_others() -> dict[str, set[str]]:
    """By package, what files of other packages take out of it: names in its modules, and modules."""
    used = defaultdict(set)
    for file, source, name in imports():
        is_package = (folder_of(source) / "__init__.py").is_file()
        package = source if is_package else source.rpartition(".")[0]
        if package.split(".") != list(Path(file).parent.parts) and package not in TOPS:
            used[package].add(name)
    return used


@pytest.mark.parametrize("package", packages())
def test_a_package_says_what_each_of_its_modules_is_for(package: str) -> None:
    said = ast.get_docstring(ast.parse((folder_of(package) / "__init__.py").read_text())) or ""
    unsaid = modules_in(package) - set(re.findall(r"\w+", said))
    assert package == "stages" or not unsaid


@pytest.mark.parametrize("package", sorted(used_by_others()))
def test_a_package_exports_what_others_use_of_it(package: str) -> None:
    private = {name for name in used_by_others()[package] if name.startswith("_")}
    assert not private, "others use what is private: give it a name without an underscore"
    # A function with the name of a module is taken from that module: the package's attribute is the module.
    own = {name for _, source, name in imports() if source.rpartition(".")[0] == package} & modules_in(
        package
    )
    missing = used_by_others()[package] - own - set(importlib.import_module(package).__all__)
    assert not missing, f"add to {folder_of(package).relative_to(ROOT)}/__init__.pyi: {sorted(missing)}"


@pytest.mark.parametrize("package", [package for package in packages() if package != "stages"])
def test_what_a_package_exports_exists_and_is_sorted(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    assert module.__all__ == sorted(set(module.__all__))
    for name in module.__all__:
        value = getattr(module, name)
        if name in modules_in(package):
            assert value is importlib.import_module(f"{package}.{name}"), (
                f"{name} is a module and something else"
            )


def imported_by(code: str) -> set[str]:
    """Those of HEAVY that a Python process has imported after the code."""
    script = f"{code}\nimport sys\nprint('imported:', *sys.modules)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return HEAVY & set(done.stdout.splitlines()[-1].split())


def test_packages_import_nothing_until_they_are_asked() -> None:
    assert imported_by(f"import {', '.join(packages())}") == set()


def test_help_starts_at_once() -> None:
    assert imported_by("from darkroom.cli.main import run_command\nrun_command(['--help'])") == set()


@pytest.mark.parametrize("name", ["darkroom.runs.engine", "darkroom.show.terminal"])
def test_a_plan_needs_neither_prefect_nor_torch(name: str) -> None:
    assert not {"prefect", "torch"} & imported_by(f"import {name}")


PAGE = architecture.PAGE.read_text()
PATH = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:md|py|toml|yaml))`")
NAMED = re.compile(rf"{PATH.pattern}: ((?:`[A-Za-z_.]+`(?: and |, )?)+)")


def test_the_picture_of_the_packages_is_that_of_the_contracts() -> None:
    assert architecture.drawn(PAGE) == PAGE, "`make architecture` draws it anew"


def test_every_package_is_in_the_picture() -> None:
    drawn = {name for rows in architecture.layers().values() for row in rows for name in row}
    assert drawn == {package for package in packages() if package.count(".") == 1}


def test_files_that_the_page_names_exist() -> None:
    named = PATH.findall(PAGE)
    assert len(named) > 50
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_functions_that_the_page_names_are_in_their_files() -> None:
    checked = 0
    for path, names in NAMED.findall(PAGE.replace("\n  ", " ")):
        tree = ast.parse((ROOT / path).read_text())
        kinds = (ast.FunctionDef, ast.ClassDef)
        defined: dict[str, ast.stmt] = {node.name: node for node in tree.body if isinstance(node, kinds)}
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                defined |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        for name in re.findall(r"`([^`]+)`", names):
            outer, _, inner = name.partition(".")
            assert outer in defined, f"{path} has no {outer}"
            body = getattr(defined[outer], "body", [])
            methods = {node.name for node in body if isinstance(node, kinds)}
            assert not inner or inner in methods, f"{path}: {outer} has no {inner}"
            checked += 1
    assert checked > 30


def test_the_page_says_where_to_make_twenty_changes() -> None:
    _, _, table = PAGE.partition("## Where do I change what")
    rows = [line for line in table.splitlines() if line.startswith("| ") and PATH.search(line)]
    assert len(rows) >= 20
