"""The tree tells its story: each package says what lies in it and exports what others use of it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import architecture
from tests.conftest import TOGETHER
from tests.places import ROOT

TOPS = {"darkroom": ROOT / "flows", "stages": ROOT}
"""The two halves, and the folder that each is found in."""
HEAVY = {"cv2", "dvc", "email", "numpy", "pandas", "prefect", "rich", "torch", "yaml"}
"""What takes long to import, or comes with what does: `email` with importlib.metadata."""


FILES_MOST = 12
"""Python files in one folder beside `__init__.py`: with more of them its name does not say what is in it."""
VAGUE = {"again", "how", "of", "some", "told"}
"""Names that a search finds everywhere."""
FRAGMENT = re.compile("(Of|As|By|At most|In place of|That of|Those of|And|None|null)\\b")
"""How a docstring begins that does not say what it describes, such as "Of all pictures."."""


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


@cache
def imports() -> tuple[tuple[str, str, str], ...]:
    """Each name that a file takes out of one of our modules or packages: the file, where from, the name."""
    return tuple(
        (path.relative_to(root).as_posix(), node.module, alias.name)
        for top, root in TOPS.items()
        for path in (root / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in TOPS
        for alias in node.names
    )


def used_by_others() -> dict[str, set[str]]:
    """By package, what files of other packages take out of it: names in its modules, and modules."""
    used = defaultdict(set)
    for file, source, name in imports():
        is_package = (folder_of(source) / "__init__.py").is_file()
        package = source if is_package else source.rpartition(".")[0]
        if package.split(".") != list(Path(file).parent.parts) and package not in TOPS:
            used[package].add(name)
    return used


def exported(package: str) -> list[tuple[str | None, str]]:
    """What the package's stub lists: the module of each name, None for a module itself, and the name."""
    stub = ast.parse((folder_of(package) / "__init__.pyi").read_text())
    assert all(isinstance(node, ast.ImportFrom) and node.level == 1 for node in stub.body), package
    return [
        (node.module, alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


def file_of(package: str, module: str) -> Path:
    """The file of a module that a stub names, dots and all."""
    return folder_of(package).joinpath(*module.split(".")).with_suffix(".py")


@cache
def names_in(file: Path) -> set[str]:
    """The names that a module binds at its top, imported ones included."""
    bound: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
    return bound


def test_no_folder_holds_more_files_than_a_reader_takes_in() -> None:
    counted = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for part in ("flows", "stages", "tests", "benchmarks")
        for path in (ROOT / part).rglob("*.py")
        if path.name != "__init__.py"
    )
    assert {folder: count for folder, count in counted.items() if count > FILES_MOST} == {}


def test_files_whose_tests_stay_together_exist() -> None:
    assert {file for file in TOGETHER if not (ROOT / file).is_file()} == set()


def test_a_class_name_means_one_thing() -> None:
    places = defaultdict(set)
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].add(file)
    several = {name: found for name, found in places.items() if len(found) > 1}
    # The two halves do not import each other: each has its class for the interval around a figure.
    assert several == {"Interval": {"darkroom/results/intervals.py", "stages/evaluate/resampling.py"}}


def test_names_can_be_searched_for() -> None:
    found = {
        f"{file}: {name}" for file, tree in trees().items() for name in names_given_in(tree) if name in VAGUE
    }
    # A key of params.yaml: what the pictures that a release is compared by belong to.
    assert found == {"darkroom/releases/paired.py: of"}


def names_given_in(tree: ast.Module) -> Iterator[str]:
    """The names of functions, classes, arguments, variables, attributes and imports, without underscores."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                name = node.name
            case ast.arg():
                name = node.arg
            case ast.Name(ctx=ast.Store()):
                name = node.id
            case ast.Attribute(ctx=ast.Store()):
                name = node.attr
            case ast.alias():
                name = node.asname or node.name
            case _:
                continue
        yield name.strip("_").lower()


def test_docstrings_say_what_they_describe() -> None:
    found = [
        f"{file}: {text}"
        for file, tree in trees().items()
        for text in docstrings_in(tree)
        if FRAGMENT.match(text)
    ]
    assert not found, "each begins in the middle of a sentence: a table or a tooltip shows it alone"


def docstrings_in(tree: ast.Module) -> Iterator[str]:
    """The docstrings of the module, its classes and functions, and those under fields and constants."""
    for node in ast.walk(tree):
        parts = getattr(node, "body", None)
        for part in parts if isinstance(parts, list) else ():  # a lambda's is no list
            match part:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield inspect.cleandoc(text)


@cache
def trees() -> dict[str, ast.Module]:
    """The parsed files of both halves, by their paths."""
    return {
        path.relative_to(root).as_posix(): ast.parse(path.read_text())
        for top, root in TOPS.items()
        for path in (root / top).rglob("*.py")
    }


def test_a_package_says_what_each_of_its_modules_is_for() -> None:
    unsaid = {
        package: missing
        for package in packages()
        if package != "stages"
        if (missing := modules_in(package) - set(re.findall(r"\w+", docstring_of(package))))
    }
    assert not unsaid


def docstring_of(package: str) -> str:
    return ast.get_docstring(ast.parse((folder_of(package) / "__init__.py").read_text())) or ""


def test_a_package_exports_what_others_use_of_it() -> None:
    used = used_by_others()
    private = {
        package: found for package, names in used.items() if (found := {n for n in names if n[0] == "_"})
    }
    assert not private, "others use what is private: give it a name without an underscore"
    missing = {}
    for package, names in used.items():
        # A function with the name of a module is taken from there: the package's attribute is the module.
        own = {name for _, source, name in imports() if source.rpartition(".")[0] == package}
        listed = {name for _, name in exported(package)}
        if lacking := names - (own & modules_in(package)) - listed:
            missing[package] = sorted(lacking)
    assert not missing, "add these to the packages' __init__.pyi"


def test_what_a_package_lists_is_there() -> None:
    absent = [
        f"{package}: {module or '.'}: {name}"
        for package in packages()
        if package != "stages"
        for module, name in exported(package)
        if (
            name not in modules_in(package)
            if module is None
            else name not in names_in(file_of(package, module)) or name in modules_in(package)
        )
    ]
    assert not absent


@pytest.mark.slow
def test_what_a_package_exports_can_be_had_and_is_sorted() -> None:
    for package in packages():
        if package == "stages":
            continue
        module = importlib.import_module(package)
        assert module.__all__ == sorted({name for _, name in exported(package)})
        for name in module.__all__:
            value = getattr(module, name)
            if name in modules_in(package):
                assert value is importlib.import_module(f"{package}.{name}"), f"{package}: {name}"


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


def test_a_plan_needs_neither_prefect_nor_torch() -> None:
    assert not {"prefect", "torch"} & imported_by("import darkroom.runs.engine, darkroom.show.terminal")


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
