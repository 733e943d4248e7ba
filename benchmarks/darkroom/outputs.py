"""Whether two dvc.lock files hold the same outputs, whatever became of the stages' code.

    python -m benchmarks.darkroom.outputs OLD NEW

OLD and NEW are dvc.lock files. Each output is a line: its path, its hash, and whether both files have it.
Exit code 1 where one differs or is in one file alone; `--allow PATH` names an output that may.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import click
import yaml


def outputs(lock: Path) -> dict[str, str]:
    """The hash of every output in a dvc.lock, by its path."""
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def compared(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Path, hash and verdict of each output: `equal`, `differs`, `only in the old` or `only in the new`."""
    return [
        (path, new.get(path, old.get(path, "")), _verdict(old.get(path), new.get(path)))
        for path in sorted({*old, *new})
    ]


def _verdict(old: str | None, new: str | None) -> str:
    if new is None:
        return "only in the old"
    if old is None:
        return "only in the new"
    return "equal" if old == new else "differs"


@click.command()
@click.argument("old", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("new", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--allow", multiple=True, metavar="PATH", help="An output that may differ; may be given twice.")
def main(old: Path, new: Path, allow: tuple[str, ...]) -> None:
    """Compare the outputs of two dvc.lock files."""
    lines = compared(outputs(old), outputs(new))
    wide = max((len(path) for path, _, _ in lines), default=0)
    for path, digest, verdict in lines:
        print(f"{path:{wide}}  {digest:36}  {verdict}")
    same = sum(verdict == "equal" for _, _, verdict in lines)
    print(f"{same} of {len(lines)} outputs are equal")
    sys.exit(any(verdict != "equal" and path not in allow for path, _, verdict in lines))


if __name__ == "__main__":
    main()
