"""What dvc.yaml promises: a stage depends on the folder of every module that decides its result."""

import ast
import functools
import json
import re
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from darkroom.base.meta import MetricMeta
from darkroom.runs.metrics import flat_figures
from tests.places import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
LIBRARIES = yaml.safe_load((ROOT / "params.yaml").read_text())["libraries"]
WITHOUT_RESULTS = {
    "click": "reads the command line, which DVC records",
    "jinja2": "fills in a report whose template is the stage's own",
    "loky": "hands pictures to processes and takes the results in order",
    "pydantic": "refuses parameters",
    "pyyaml": "reads parameters, which are dependencies themselves",
    "threadpoolctl": "sets numbers of threads, which are checked",
    "tqdm": "shows progress",
}
"""Libraries that a stage imports and no result depends on."""
DRAWING = {"pillow"}
"""Libraries that count only where a stage imports them itself: torchvision wants Pillow for files that no
stage opens by it, and a new font shall train nothing again."""


FOLDERS_A_STAGE = 9
NEEDLESS_FILES_A_STAGE = 2


def file_of(module):
    """The file of a module of `stages`, or None: a name in a module, or a package."""
    path = Path(*module.split(".")).with_suffix(".py")
    return path if (ROOT / path).is_file() else None


@functools.cache
def names_imported_by(path):
    """The modules that the file imports itself, wherever in it, and what it takes out of them."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_by(path):
    """The files of `stages` that the file imports itself."""
    return {
        file for name in names_imported_by(path) if name.startswith("stages.") and (file := file_of(name))
    }


def closure(path):
    """The file and all that it imports, directly or not."""
    found, to_visit = set(), {path}
    while to_visit:
        found |= to_visit
        to_visit = {file for path in to_visit for file in imported_by(path)} - found
    return {file.as_posix() for file in found}


def stage_file(name):
    (module,) = re.findall(r"python -m (stages\.\w+)", STAGES[name]["cmd"])
    return file_of(f"{module}.__main__")


@functools.cache
def distributions():
    return packages_distributions()


def libraries_imported_by(path):
    """Names, as they are installed under, of the libraries that the file and all it imports import."""
    modules = {name.partition(".")[0] for file in closure(path) for name in names_imported_by(Path(file))}
    return {
        distributions()[module][0].lower() for module in modules - {"stages"} - set(sys.stdlib_module_names)
    }


def with_requirements(libraries):
    """The libraries and those that they stand on, as far as they are installed."""
    found, to_visit = set(), set(libraries)
    while to_visit:
        found |= to_visit
        to_visit = {name for library in to_visit for name in required_by(library)} - found
    return found


def required_by(library):
    try:
        wanted = [Requirement(line) for line in requires(library) or []]
    except PackageNotFoundError:
        return set()
    return {
        want.name.lower() for want in wanted if want.marker is None or want.marker.evaluate({"extra": ""})
    }


def packages_of(files):
    """The folders right under stages/ that hold the files."""
    return {"/".join(Path(file).parts[:2]) for file in files}


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_exactly_the_folders_that_the_stage_imports_from(name):
    declared = {dep for dep in STAGES[name]["deps"] if dep.startswith("stages/")}
    imported = packages_of(closure(stage_file(name)))
    assert not imported - declared, f"add to deps of {name}: {sorted(imported - declared)}"
    assert not declared - imported, f"remove from deps of {name}: {sorted(declared - imported)}"
    assert len(declared) <= FOLDERS_A_STAGE


@pytest.mark.parametrize("name", STAGES)
def test_hardly_a_file_makes_a_stage_run_again_that_does_not_import_it(name):
    imported = closure(stage_file(name))
    inside = {
        path.relative_to(ROOT).as_posix()
        for folder in packages_of(imported)
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    needless = sorted(inside - imported)
    assert len(needless) <= NEEDLESS_FILES_A_STAGE, (
        f"{name} runs again for files it never imports: {needless}"
    )


@pytest.mark.parametrize("name", [name for name in STAGES if name.startswith("train-")])
def test_a_new_font_or_plot_trains_nothing_again(name):
    assert "stages/drawing" not in STAGES[name]["deps"]
    assert not {f"libraries.{library}" for library in DRAWING} & set(STAGES[name]["params"])


def test_no_stage_depends_on_the_folder_of_another():
    own = {f"stages/{name.replace('-', '_')}" for name in STAGES}
    for name, stage in STAGES.items():
        assert own & set(stage["deps"]) == {f"stages/{name.replace('-', '_')}"}


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_params_are_exactly_the_versions_of_the_libraries_that_the_stage_uses(name):
    declared = {param for param in STAGES[name]["params"] if param.startswith("libraries.")}
    imported = libraries_imported_by(stage_file(name))
    assert not imported - set(LIBRARIES) - set(WITHOUT_RESULTS), "add to libraries in params.yaml"
    decisive = imported | with_requirements(imported) - DRAWING
    used = {f"libraries.{library}" for library in decisive & set(LIBRARIES)}
    assert not used - declared, f"add to params of {name}: {sorted(used - declared)}"
    assert not declared - used, f"remove from params of {name}: {sorted(declared - used)}"


def test_library_versions_are_those_of_the_lock():
    locked = dict(re.findall(r"^([\w.-]+)==([^ ;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    mend = "python -m stages.core.libraries --params params.yaml writes what is installed"
    assert {name: locked[name] for name in LIBRARIES} == LIBRARIES, mend


@pytest.mark.parametrize("name", STAGES)
def test_how_often_checkpoints_are_written_makes_nothing_run_again(name):
    assert not [param for param in STAGES[name]["params"] if param.startswith("checkpoints")]


@pytest.mark.parametrize("name", STAGES)
def test_stage_has_the_name_of_its_folder(name):
    assert f"python -m stages.{name.replace('-', '_')} " in STAGES[name]["cmd"]


@pytest.mark.slow
def test_no_parameter_is_named_as_one_that_dvcs_run_cache_overlooks():
    """A stage of which such a one alone has changed would be restored with its old result by `dvc repro`."""
    fields = {
        f"{path.name}: {cls.name}.{field.target.id}"
        for path in (ROOT / "stages").rglob("*.py")
        for cls in ast.walk(ast.parse(path.read_text()))
        if isinstance(cls, ast.ClassDef) and cls.name.endswith("Params")
        for field in cls.body
        if isinstance(field, ast.AnnAssign) and field.target.id in ("size", "nfiles")
    }
    assert not fields


def metrics_files():
    """Each metrics file with what dvc.yaml says of it."""
    return [
        (file, options.get("meta", {}))
        for stage in STAGES.values()
        for metric in stage["metrics"]
        for file, options in metric.items()
    ]


OF_ATTRIBUTES = {"val_map", "val_score", "val_attribute_loss"} | {
    f"classifier.{name}"
    for name in (
        "attribute_map",
        "attribute_macro_f1",
        "attribute_calibration_error",
        "by_attribute.*.average_precision",
        "by_attribute.*.precision",
        "by_attribute.*.recall",
        "by_attribute.*.f1",
        "by_attribute.*.calibration_error",
    )
}
"""Figures of attributes, which this project's own pictures have not."""


@pytest.mark.parametrize(("file", "meta"), metrics_files())
def test_what_is_said_of_metrics_fits_figures_that_the_stage_makes(file, meta):
    held = flat_figures(json.loads((ROOT / file).read_text()))
    for key in ("higher_is_better", "lower_is_better"):
        for pattern in meta.get(key, []):
            if pattern in OF_ATTRIBUTES:
                continue
            assert any(MetricMeta((pattern,)).direction(name) for name in held), f"{file}: {key}: {pattern}"
