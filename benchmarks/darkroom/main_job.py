"""The main job as a newcomer runs it: a fresh clone, `make run`, and then the same by serial `dvc repro`.

    python -m benchmarks.darkroom.main_job [--no-serial] [--out benchmarks/darkroom/results/main_job.md]
    python -m benchmarks.darkroom.main_job --of CLONE    # where `make run` has ended already

Says how long the set-up, the data and the run took, what each stage took, every metric, and whether the
clone is clean afterwards and both ways gave the same dvc.lock, byte for byte.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe

ROOT = Path(__file__).parents[2]


def timed(folder: Path, command: str) -> float:
    """Wall seconds of a command line in `folder`; its output goes to the terminal, a failure is an error."""
    print(f"$ {command}", flush=True)
    start = time.monotonic()
    env = {key: value for key, value in os.environ.items() if not key.startswith(("VIRTUAL_ENV", "PREFECT_"))}
    subprocess.run(command, shell=True, cwd=folder, check=True, env=env)
    return time.monotonic() - start


def output(folder: Path, *command: str) -> str:
    """What a command of the clone's own environment prints."""
    path = f"{folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    env = dict(os.environ) | {"PATH": path}
    # `darkroom plan` says by its exit code whether there is work to do: no error here
    return subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=False).stdout


def clone(parent: Path, name: str) -> Path:
    """A clone of what is committed here."""
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, parent / name], check=True)
    return parent / name


def flat(value: Any, key: str = "") -> dict[str, float]:
    """Nested metrics as `a.b.c: number`, without those of single classes."""
    if isinstance(value, dict):
        named = ((f"{key}.{name}" if key else name, part) for name, part in value.items())
        return {
            k: v for name, part in named if not name.endswith("by_class") for k, v in flat(part, name).items()
        }
    return {key: value} if isinstance(value, int | float) else {}


def report(
    flags: str,
    took: dict[str, float],
    stages: dict[str, float],
    metrics: dict[str, Any],
    checks: dict[str, bool],
) -> str:
    """The page that is committed."""
    rows = [
        (Path(name).stem, key, value)
        for name, file in metrics.items()
        for key, value in flat(file["data"]).items()
    ]
    lines = [
        "# The main job, measured",
        "",
        f"`python -m benchmarks.darkroom.main_job{flags}` on {describe()}.",
        "",
    ]
    lines += [
        "| step | seconds |",
        "|---|---|",
        *(f"| {name} | {value:.0f} |" for name, value in took.items()),
        "",
    ]
    lines += [
        "| stage | seconds |",
        "|---|---|",
        *(f"| {name} | {value:.0f} |" for name, value in stages.items()),
        "",
    ]
    lines += [
        "| check | holds |",
        "|---|---|",
        *(f"| {c} | {'yes' if ok else '**no**'} |" for c, ok in checks.items()),
        "",
    ]
    lines += [
        "| file | metric | value |",
        "|---|---|---|",
        *(f"| {file} | {key} | {value:g} |" for file, key, value in rows),
    ]
    return "\n".join(lines) + "\n"


def from_first_to_last(folder: Path) -> float:
    """Wall seconds from the start of the clone's first stage to the end of its last one."""
    lines = (folder / ".darkroom" / "history.jsonl").read_text().splitlines()
    ran = [json.loads(line) for line in lines]
    return max(note["ended"] for note in ran) - min(note["ended"] - note["seconds"] for note in ran)


def results(folder: Path) -> tuple[dict[str, float], dict[str, Any], dict[str, bool]]:
    """The clone's seconds by stage and its metrics, and whether it is clean."""
    plan = json.loads(output(folder, "darkroom", "plan", "--json"))
    stages = {stage["name"]: stage["seconds"] for stage in plan["stages"] if stage["seconds"]}
    metrics = next(iter(json.loads(output(folder, "dvc", "metrics", "show", "--json")).values()))["data"]
    checks = {
        "dvc status is clean": "up to date" in output(folder, "dvc", "status"),
        "git status is clean": output(folder, "git", "status", "--porcelain") == "",
    }
    return stages, metrics, checks


def measured(serial: bool) -> str:
    """The page of a fresh clone, which is removed at the end."""
    parent = Path(tempfile.mkdtemp(prefix="darkroom-main-job-"))
    try:
        folder = clone(parent, "flows")
        steps = {
            "set-up": "make .venv/.ready",
            "data": "make data",
            "run": "make run",
            "run again": "make run",
        }
        took = {name: timed(folder, command) for name, command in steps.items()}
        stages, metrics, checks = results(folder)
        if serial:
            other = clone(parent, "serial")
            timed(other, "make data")
            took["serial `dvc repro --force`"] = timed(other, "PATH=$PWD/.venv/bin:$PATH dvc repro --force")
            same = (other / "dvc.lock").read_bytes() == (folder / "dvc.lock").read_bytes()
            checks["serial `dvc repro --force` in another clone gives the same dvc.lock"] = same
        return report("" if serial else " --no-serial", took, stages, metrics, checks)
    finally:
        shutil.rmtree(parent)


@click.command()
@click.option(
    "--of",
    "finished",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A clone in which `make run` has ended: report that one, and run nothing.",
)
@click.option("--serial/--no-serial", default=True, help="Serial `dvc repro` in another clone, too.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page here, too.")
def main(finished: Path | None, serial: bool, out: Path | None) -> None:
    """Measure, print, and write the page if `--out` names one."""
    if finished:
        took = {"run, from its first stage to its last": from_first_to_last(finished)}
        text = report(" --of CLONE", took, *results(finished))
    else:
        text = measured(serial)
    print(text)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
