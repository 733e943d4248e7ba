"""The same pipeline of shell commands written for each tool that is compared."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command that reads `deps` and writes the file `out`."""

    name: str
    cmd: str
    out: str
    deps: list[str] = field(default_factory=list)


def sleepers(count: int, seconds: float) -> list[Step]:
    """`count` steps that sleep, and one more that joins what they wrote: two times `seconds` at the least."""
    steps = [
        Step(name=f"sleep{i}", cmd=f"sleep {seconds} && echo {i} > sleep{i}.txt", out=f"sleep{i}.txt")
        for i in range(count)
    ]
    outs = [step.out for step in steps]
    join = f"sleep {seconds} && cat {' '.join(outs)} > join.txt"
    return [*steps, Step(name="join", cmd=join, out="join.txt", deps=outs)]


def trivial(count: int) -> list[Step]:
    """`count` steps with nothing in common, done as soon as started."""
    return [Step(name=f"echo{i}", cmd=f"echo {i} > echo{i}.txt", out=f"echo{i}.txt") for i in range(count)]


def printers() -> dict[str, Step]:
    """A step that prints 20 MB in short lines, and one that prints 200 MB without a line end."""
    number = "line %07.0f of a stage that prints very much"  # with its end 45 bytes
    commands = {
        "20 MB in 440,000 lines": f"seq -f '{number}' 440000",
        "200 MB in one line": "head -c 200000000 /dev/zero | tr '\\0' x",
    }
    return {
        case: Step(name="printer", cmd=f"{command} && touch done.txt", out="done.txt")
        for case, command in commands.items()
    }


def write_dvc(folder: Path, steps: list[Step]) -> None:
    """A git and DVC repository with one dvc.yaml."""
    stages = {step.name: {"cmd": step.cmd, "deps": step.deps, "outs": [step.out]} for step in steps}
    commit_dvc(folder, {"stages": {name: {k: v for k, v in s.items() if v} for name, s in stages.items()}})


def write_dvc_matrix(folder: Path, width: int, levels: int) -> None:
    """`levels` matrices of `width` stages each; a stage reads the out of its like one level up."""
    stages = {}
    for level in range(levels):
        reads = f"cat level{level - 1}-${{item.i}}.txt" if level else "echo ${item.i}"
        stage = {
            "matrix": {"i": list(range(width))},
            "cmd": f"{reads} > level{level}-${{item.i}}.txt",
            "outs": [f"level{level}-${{item.i}}.txt"],
        }
        if level:
            stage["deps"] = [f"level{level - 1}-${{item.i}}.txt"]
        stages[f"level{level}"] = stage
    commit_dvc(folder, {"stages": stages})


def write_dvc_dense(folder: Path, makers: int, readers: int) -> None:
    """`makers` stages, and `readers` stages of which each reads what all of those have made."""
    made = [f"made{i}.txt" for i in range(makers)]
    stages = {f"make{i}": {"cmd": f"echo {i} > {out}", "outs": [out]} for i, out in enumerate(made)}
    for i in range(readers):
        stages[f"read{i}"] = {"cmd": f"echo {i} > read{i}.txt", "deps": made, "outs": [f"read{i}.txt"]}
    commit_dvc(folder, {"stages": stages})


def write_dvc_chain(folder: Path, length: int) -> None:
    """`length` stages of which each reads what the one before has made."""
    stages: dict[str, object] = {"link0": {"cmd": "echo 0 > link0.txt", "outs": ["link0.txt"]}}
    for i in range(1, length):
        before = f"link{i - 1}.txt"
        stages[f"link{i}"] = {
            "cmd": f"cat {before} > link{i}.txt",
            "deps": [before],
            "outs": [f"link{i}.txt"],
        }
    commit_dvc(folder, {"stages": stages})


def write_make(folder: Path, steps: list[Step]) -> None:
    """A Makefile whose target `all` needs every out."""
    rules = [f"{step.out}: {' '.join(step.deps)}\n\t{step.cmd}\n" for step in steps]
    folder.mkdir(parents=True)
    text = f"all: {' '.join(step.out for step in steps)}\n\n" + "\n".join(rules)
    (folder / "Makefile").write_text(text)


def write_snakemake(folder: Path, steps: list[Step]) -> None:
    """A Snakefile whose rule `all` needs every out."""
    rules = [f"rule all:\n    input: {[step.out for step in steps]!r}\n"]
    for step in steps:
        fields = {"input": step.deps, "output": step.out, "shell": step.cmd}
        body = "".join(f"    {key}: {value!r}\n" for key, value in fields.items())
        rules.append(f"rule {step.name}:\n{body}")
    folder.mkdir(parents=True)
    (folder / "Snakefile").write_text("\n".join(rules))


def write_doit(folder: Path, steps: list[Step]) -> None:
    """A dodo.py with one generator of tasks."""
    tasks = [
        {"name": step.name, "actions": [step.cmd], "file_dep": step.deps, "targets": [step.out]}
        for step in steps
    ]
    folder.mkdir(parents=True)
    (folder / "dodo.py").write_text(f"TASKS = {tasks!r}\n\n\ndef task_all():\n    yield from TASKS\n")


class _Plain(yaml.CSafeDumper):
    """Writes a list that stands in several places out in each, as people do."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def commit_dvc(folder: Path, dvc_yaml: object) -> None:
    """A git and DVC repository with this dvc.yaml."""
    folder.mkdir(parents=True)
    (folder / "dvc.yaml").write_text(yaml.dump(dvc_yaml, Dumper=_Plain, sort_keys=False))
    dvc = str(Path(sys.executable).with_name("dvc"))
    commands = (
        ["git", "init", "-q"],
        [dvc, "init", "-q"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "start"],
    )
    for command in commands:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
