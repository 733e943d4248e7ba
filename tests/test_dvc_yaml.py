"""What dvc.yaml promises: every module that decides a stage's result is one of its dependencies."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def file_of(module):
    """The file of a module of `stages`, or None: a name in a module, or a package."""
    path = Path(*module.split(".")).with_suffix(".py")
    return path if (ROOT / path).is_file() else None


def imported_by(path):
    """The files of `stages` that the file imports itself, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {file for name in names if name.startswith("stages.") and (file := file_of(name))}


def closure(path):
    """The file and all that it imports, directly or not."""
    found, to_visit = set(), {path}
    while to_visit:
        found |= to_visit
        to_visit = {file for path in to_visit for file in imported_by(path)} - found
    return {file.as_posix() for file in found}


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_exactly_the_modules_that_the_stage_imports(name):
    (module,) = re.findall(r"python -m (stages\.\w+)", STAGES[name]["cmd"])
    declared = {dep for dep in STAGES[name]["deps"] if dep.startswith("stages/")}
    imported = closure(file_of(module))
    assert not imported - declared, f"add to deps of {name}: {sorted(imported - declared)}"
    assert not declared - imported, f"remove from deps of {name}: {sorted(declared - imported)}"


@pytest.mark.parametrize("name", STAGES)
def test_stage_has_the_name_of_its_file(name):
    assert f"python -m stages.{name.replace('-', '_')} " in STAGES[name]["cmd"]


def test_package_files_hold_no_code_that_a_stage_would_depend_on():
    for path in (ROOT / "stages").rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert all(isinstance(node, ast.Expr) for node in body), f"{path} holds code"
