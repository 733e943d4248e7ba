"""Python processes that darkroom starts for itself: they import what this process imports, in any folder.

`python -m` looks first into the current folder, a script first into its own, and PYTHONPATH comes before
everything else. A user's `darkroom`, `dvc`, `prefect` or `logging` there would be imported instead of the
right one. So the interpreter is isolated (-I): the standard library and the environment's packages come
first. The other places where this process finds packages (such as a PYTHONPATH that the site has set) come
after them. The current folder is never among them. PYTHONPATH itself stays in the environment, since stages
need it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import darkroom

PACKAGES = Path(darkroom.__file__).parent.parent
"""The folder that holds this package."""


def installed_stages() -> Path | None:
    """The folder of the stages that came with this package: in its wheel, or in the repository around it."""
    of_wheel = Path(darkroom.__file__).parent / "templates/vision/stages"
    of_repository = PACKAGES.parent / "stages"
    return next((path for path in (of_wheel, of_repository) if (path / "__init__.py").is_file()), None)


_START = """\
import os, sys
here = os.getcwd()
more = [path for path in {more!r} if path not in sys.path and os.path.realpath(path) != here]
sys.path[:] = [*{first!r}, *sys.path, *more]
import importlib, importlib.util, runpy
for name, folder in {packages!r}.items():
    spec = importlib.util.spec_from_file_location(name, os.path.join(folder, "__init__.py"))
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
for name in {imported!r}: importlib.import_module(name)
sys.modules.pop({module!r}, None)
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


def python_command(
    module: str,
    *words: str,
    first: Sequence[Path] = (),
    imported: Sequence[str] = (),
    packages: Mapping[str, Path] | None = None,
) -> list[str]:
    """The command that executes a module, with the words as its arguments.

    `first`: folders that are searched before all others. `imported`: modules that are imported before the
    module starts, so that it cannot import others of the same names. `packages`: packages by name, each with
    the folder from which it is imported, even if others are installed. Other packages beside these folders
    are not found.
    """
    script = _START.format(
        more=_module_path(),
        first=[str(path) for path in first],
        imported=list(imported),
        packages={name: str(folder) for name, folder in (packages or {}).items()},
        module=module,
    )
    return [sys.executable, "-I", "-c", script, *words]


def _module_path() -> list[str]:
    """The folders in which this process finds packages, without that of its script."""
    found = sys.path if sys.flags.safe_path else sys.path[1:]
    return list(dict.fromkeys([*(path for path in found if Path(path).is_absolute()), str(PACKAGES)]))
