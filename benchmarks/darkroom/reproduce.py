"""Whether the pipeline's results are the same to the bit: two fresh clones, one by `dvc repro`, one killed.

    python -m benchmarks.darkroom.reproduce [--quick] [--times 3] [--seed N]
        [--out benchmarks/darkroom/results/reproduce.md]

One clone of HEAD is run by serial `dvc repro`. The other, at the same time, by `darkroom run` with all jobs,
whose runner gets a SIGKILL at a random moment, and by `darkroom run` again to the end. Then dvc.lock and each
out are compared byte for byte; the first out that differs is named, and where. Exit code 1 if there is one.
`--quick` trains on few pictures and for one epoch, by the same edits of params.yaml in both clones.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import click
import yaml

from benchmarks.machine import describe
from benchmarks.stages.differences import first_difference
from tests.faults.processes import MARK, of_run

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
QUICK: dict[str, dict[str, Any]] = {
    "preprocess": {
        "classification": {"split": {"val": 0.9}},
        "detection": {"count": {"train": 64, "val": 16, "test": 16}},
    },
    "train-classifier": {"epochs": 1},
    "train-detector": {"epochs": 1},
    "train-gan": {"epochs": 1, "failure": {"recall_min": 0.0}},
    "evaluate": {"generation": {"samples_per_class": 10, "score": {"pictures": 100}}},
    "fuse": {"pictures": 6, "scenes": 6},
}
ORPHAN_SECONDS = 20
KILLED_WITHIN = {"quick": 60.0, "full": 400.0}
"""Seconds; a run that is over by then ends the comparison, unkilled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One comparison."""

    serial_seconds: float
    killed_after: float
    recorded: tuple[str, ...]
    """The stages in dvc.lock when the runner was killed."""
    again_seconds: float
    difference: str | None
    as_committed: bool
    """Whether dvc.lock says what the committed one does, in whatever order. Only on machines of one type."""


def environment(clone: Path) -> dict[str, str]:
    """The programs of this environment on the clone's code; no settings, servers or caches of anyone's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    no_settings = str(clone.parent / "no-settings")
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{kept['PATH']}",
        "PYTHONPATH": str(clone),
        "DVC_GLOBAL_CONFIG_DIR": no_settings,  # a cache shared by all clones would be taken from, not run for
        "DVC_SYSTEM_CONFIG_DIR": no_settings,
        "DVC_SITE_CACHE_DIR": str(clone.parent / f"{clone.name}-site"),
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        MARK: str(clone),
    }


def timed(clone: Path, *command: str | Path) -> float:
    """Wall seconds of a command in the clone; its output goes to the terminal, a failure is an error."""
    print(f"{clone.name}$ {' '.join(map(str, command))}", flush=True)
    start = time.monotonic()
    subprocess.run(command, cwd=clone, env=environment(clone), check=True)
    return time.monotonic() - start


def make_clone(folder: Path, *, quick: bool, raw: Path | None) -> Path:
    """A clone of HEAD with the raw data and nothing recorded.

    Raises SystemExit where HEAD asks for another environment than this one.
    """
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, folder], check=True)
    if (folder / "requirements.lock").read_bytes() != (ROOT / "requirements.lock").read_bytes():
        sys.exit("requirements.lock: differs from HEAD's, whose environment this is not; commit it first")
    (folder / "dvc.lock").unlink(missing_ok=True)
    if quick:
        shorten(folder / "params.yaml")
    timed(folder, "darkroom", "fetch", *(["--from", raw] if raw else []))
    return folder


def shorten(params: Path) -> None:
    """Put the quick values in."""
    params.write_text(yaml.safe_dump(_merged(yaml.safe_load(params.read_text()), QUICK), sort_keys=False))


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    changed = {
        key: _merged(values[key], value)
        if isinstance(value, Mapping) and isinstance(values.get(key), Mapping)  # else left out, or `auto`
        else value
        for key, value in changes.items()
    }
    return {**values, **changed}


def run_killed(clone: Path, after: float) -> tuple[str, ...]:
    """Start `darkroom run`, kill its runner after some seconds; the stages recorded by then.

    Raises SystemExit where it had ended before, or where something of it outlives it.
    """
    print(f"{clone.name}$ darkroom run    (SIGKILL after {after:.1f} s)", flush=True)
    with subprocess.Popen(["darkroom", "run"], cwd=clone, env=environment(clone)) as runner:
        try:
            code = runner.wait(after)
            sys.exit(f"darkroom run ended with {code} before it was killed after {after:.1f} s")
        except subprocess.TimeoutExpired:
            runner.kill()
    deadline = time.monotonic() + ORPHAN_SECONDS
    while left := of_run(str(clone)):
        if time.monotonic() > deadline:
            sys.exit(f"outlives its runner: {left[0]}")
        time.sleep(0.1)
    return tuple(locked_stages(clone))


def locked_stages(clone: Path) -> dict[str, Any]:
    """dvc.lock's stages."""
    lock = clone / "dvc.lock"
    stages: dict[str, Any] = yaml.safe_load(lock.read_text())["stages"] if lock.exists() else {}
    return stages


def difference(serial: Path, killed: Path) -> str | None:
    """The first out that differs and where, or what differs in dvc.lock; None: all is the same."""
    for stage, entry in locked_stages(serial).items():
        for out in entry.get("outs", ()):
            if where := first_difference(serial / out["path"], killed / out["path"]):
                return f"{stage}: {out['path']}: {where}"
    where = first_difference(serial / "dvc.lock", killed / "dvc.lock")
    return f"dvc.lock: {where}" if where else None


def trial(parent: Path, rng: Random, *, quick: bool, raw: Path | None) -> Trial:
    """Both clones from nothing."""
    serial = make_clone(parent / "serial", quick=quick, raw=raw)
    killed = make_clone(parent / "killed", quick=quick, raw=raw)
    after = rng.uniform(0, KILLED_WITHIN["quick" if quick else "full"])
    with ThreadPoolExecutor(1) as pool:
        serial_run = pool.submit(timed, serial, "dvc", "repro")
        recorded = run_killed(killed, after)
        again_seconds = timed(killed, "darkroom", "run")
        serial_seconds = serial_run.result()
    committed = subprocess.check_output(["git", "show", "HEAD:dvc.lock"], cwd=serial, text=True)
    return Trial(
        serial_seconds=serial_seconds,
        killed_after=after,
        recorded=recorded,
        again_seconds=again_seconds,
        difference=difference(serial, killed),
        as_committed=yaml.safe_load(committed)["stages"] == locked_stages(serial),
    )


def report(trials: list[Trial], seed: int, quick: bool) -> str:
    """The page that is committed."""
    how = f"--times {len(trials)} --seed {seed}{' --quick' if quick else ''}"
    head = (
        "serial `dvc repro`, s",
        "killed after, s",
        "recorded then",
        "again to the end, s",
        "same dvc.lock and outs",
        "as committed",
    )
    rows = [
        (
            f"{t.serial_seconds:.0f}",
            f"{t.killed_after:.1f}",
            ", ".join(t.recorded) or "nothing",
            f"{t.again_seconds:.0f}",
            "yes" if t.difference is None else f"**no**: {t.difference}",
            "other params" if quick else "yes" if t.as_committed else "no",
        )
        for t in trials
    ]
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    lines.insert(1, f"|{'---|' * len(head)}")
    title = [
        "# Reproduced to the bit",
        "",
        f"`python -m benchmarks.darkroom.reproduce {how}` on {describe()}.",
        "",
    ]
    return "\n".join([*title, *lines]) + "\n"


@click.command()
@click.option("--quick", is_flag=True, help="Take few pictures and one epoch.")
@click.option("--times", default=1, show_default=True, help="How often two clones are compared.")
@click.option("--seed", type=int, help="The seed of the moments; a random one if not given, and printed.")
@click.option(
    "--raw",
    type=click.Path(path_type=Path, resolve_path=True),
    help="The folder of the raw files, as in `darkroom fetch --from`.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The file for the page.")
def main(quick: bool, times: int, seed: int | None, raw: Path | None, out: Path | None) -> None:
    """Compare clones, print the page, and write it if `--out` names a file. Clones that differ are kept."""
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    rng, trials = Random(seed), []
    print(f"seed {seed}", flush=True)
    for _ in range(times):
        parent = Path(tempfile.mkdtemp(prefix="darkroom-reproduce-"))
        trials.append(trial(parent, rng, quick=quick, raw=raw))
        if trials[-1].difference:
            print(f"{trials[-1].difference}; both clones are kept in {parent}")
        else:
            shutil.rmtree(parent)
    text = report(trials, seed, quick)
    print(text)
    if out:
        out.write_text(text)
    sys.exit(1 if any(t.difference for t in trials) else 0)


if __name__ == "__main__":
    main()
