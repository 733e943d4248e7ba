"""A new stage: its code, its entry in dvc.yaml, and a test.

In a project with the vision half the stage is a package beside the others. In other projects it is a folder
with one script that needs no library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from darkroom.base.errors import UsageError
from darkroom.base.files import write_text
from darkroom.base.yaml_files import read_yaml
from darkroom.projects import pipeline_text

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""Names of stages whose folder is a Python package."""

ENTRY = """\
  {name}:
    cmd: {command}
    deps:
{deps}
    outs:
      - {out}
"""

STAGE = '''\
"""The stage `{name}`: say here what goes in, and what comes out."""

from pathlib import Path

from stages.core.files import write_atomically


def main(*, out: Path) -> None:
    """Write a file; this is where your code goes.

    Args:
        out: Text file.

    """
    write_atomically(out, b"made by {name}\\n")
'''

MAIN = '''\
"""Run the stage."""

from stages.core.cli import run_stage
from stages.{package}.stage import main

if __name__ == "__main__":
    run_stage(main)
'''

STAGE_TEST = '''\
"""The stage `{name}`."""

from pathlib import Path

from stages.{package}.stage import main


def test_it_writes_its_output(tmp_path: Path) -> None:
    main(out=tmp_path / "{name}.txt")
    assert (tmp_path / "{name}.txt").read_text() == "made by {name}\\n"
'''

SCRIPT = '''\
"""The stage `{name}`: say here what goes in, and what comes out."""

import sys
from pathlib import Path


def main(out: Path) -> None:
    """Write a file; this is where your code goes."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("made by {name}\\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
'''

SCRIPT_TEST = '''\
"""The stage `{name}`."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "{folder}/run.py"


def test_it_writes_its_output(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, tmp_path / "{name}.txt"], check=True)
    assert (tmp_path / "{name}.txt").read_text() == "made by {name}\\n"
'''


def add_stage(root: Path, name: str) -> list[Path]:
    """Add a stage to the dvc.yaml at the root of a repository, and return what was made or changed.

    Raises:
        UsageError: The name is no name, or the stage or one of its files is there already.

    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name}: small letters, digits and single hyphens make a stage's name, such as count-cells"
        )
    pipeline = root / "dvc.yaml"
    text = pipeline.read_text(encoding="utf-8") if pipeline.exists() else ""
    document = read_yaml(pipeline) if text else {}
    if document is not None and not isinstance(document, dict):
        raise UsageError(f"{pipeline}: is no mapping with `stages`; mend it there")
    if name in ((document or {}).get("stages") or {}):
        raise UsageError(f"{pipeline}: has a stage '{name}' already; take another name")
    files, entry = _vision(name) if (root / "stages/core/cli.py").is_file() else _plain(name)
    if there := [each for each in files if (root / each).exists()]:
        raise UsageError(f"{root / there[0]}: exists already; take another name")
    changed = pipeline_text.with_stage(text, entry)
    places = {place for each in files for place in (root / each, *(root / each).parents)}
    new = sorted(
        (place for place in places if not place.exists()), reverse=True
    )  # what is inside comes first
    try:
        for each, content in files.items():
            (root / each).parent.mkdir(parents=True, exist_ok=True)
            write_text(root / each, content)
        write_text(pipeline, changed)  # the last: nothing is half added
    except BaseException:
        for path in new:
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        raise
    return [*(root / each for each in files), pipeline]


def _vision(name: str) -> tuple[Mapping[str, str], str]:
    """Files by their paths, and the entry, of a stage beside the vision half's."""
    package = name.replace("-", "_")
    folder, out = f"stages/{package}", f"data/{name}.txt"
    files = {
        f"{folder}/__init__.py": f'"""The stage `{name}`."""\n',
        f"{folder}/__main__.py": MAIN.format(package=package),
        f"{folder}/stage.py": STAGE.format(name=name),
        f"tests/stages/{package}/test_stage.py": STAGE_TEST.format(name=name, package=package),
    }
    deps = "      - stages/core\n      - " + folder
    command = f"python -m stages.{package} --out {out}"
    return files, ENTRY.format(name=name, command=command, deps=deps, out=out)


def _plain(name: str) -> tuple[Mapping[str, str], str]:
    """The files of a stage in any other repository: a script that needs nothing."""
    folder, out = f"stages/{name}", f"data/{name}.txt"
    files = {
        f"{folder}/run.py": SCRIPT.format(name=name),
        f"tests/test_{name.replace('-', '_')}.py": SCRIPT_TEST.format(name=name, folder=folder),
    }
    command = f"python {folder}/run.py {out}"
    return files, ENTRY.format(name=name, command=command, deps=f"      - {folder}", out=out)
