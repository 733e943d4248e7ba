"""Random pipelines with random changes between runs: the same bytes as serial `dvc repro`, and as planned."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions
from tests.darkroom.repositories import contents, make, put, serial_repro
from tests.darkroom.runs.test_equality import assert_as_planned
from tests.darkroom.shapes import Files, Shape

INPUTS = ("in0.txt", "in1.txt", "d/in2.txt")
FLAGS = [(), (), (), ("cache: false",), ("persist: true",), ("push: false",)]
CHANGES = ("input", "inputs", "inputs", "word", "param", "dep", "delete", "edit", "fail", "nothing")
KINDS = (*CHANGES, *["back"] * 5)
"""Every third change goes back to what the run-cache knows."""


@dataclass
class Stage:
    """A stage whose out is made of its deps, its word, the params and the values of others that it reads."""

    number: int
    deps: list[str]
    folder: str
    word: str = "w"
    flags: tuple[str, ...] = ()
    param: bool = False
    reads: list[str] = field(default_factory=list)
    """Outs of which the value x is a param."""
    values: bool = False
    """Its out holds a value x, of which there are few: another input may make the same."""
    frozen: bool = False
    always: bool = False
    fails: bool = False
    delay: float = 0.0

    @property
    def out(self) -> str:
        return f"{self.folder}o{self.number}.{'yaml' if self.values else 'txt'}"

    def text(self) -> str:
        ending = "; exit 1" if self.fails else ""
        read = "cat params.yaml; " if self.param else ""
        read += "".join(f"grep x {name}; " for name in self.reads)
        deps = "".join(f"cat {dep}; " if not dep.endswith("/") else f"ls {dep}; " for dep in self.deps)
        made = f"( {read}{deps}echo {self.word} )"
        made += " | cksum | cut -c1 | sed 's/^/x: /'" if self.values else ""
        command = f"sleep {self.delay}; mkdir -p ./{self.folder}; {made} > {self.out}"
        lines = [f"  s{self.number}:", f'    cmd: "{command}{ending}"']
        lines += [f"    deps: [{', '.join(dep.rstrip('/') for dep in self.deps)}]"] if self.deps else []
        params = [*(["p"] if self.param else []), *(f"{{{name}: [x]}}" for name in self.reads)]
        lines += [f"    params: [{', '.join(params)}]"] if params else []
        flags = ", ".join(f"{flag}" for flag in self.flags)
        lines += [f"    outs: [{{{self.out}: {{{flags}}}}}]" if flags else f"    outs: [{self.out}]"]
        lines += ["    frozen: true"] if self.frozen else []
        lines += ["    always_changed: true"] if self.always else []
        return "\n".join(lines) + "\n"


@dataclass
class Pipeline:
    stages: list[Stage]
    order: list[int]
    texts: dict[str, str] = field(default_factory=lambda: {name: f"{name}\n" for name in INPUTS})
    param: int = 1

    def files(self) -> Files:
        body = "".join(self.stages[number].text() for number in self.order)
        return {"dvc.yaml": f"stages:\n{body}", "params.yaml": f"p: {self.param}\n", **self.texts}


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    count = draw(st.integers(2, 7))
    stages: list[Stage] = []
    for number in range(count):
        choices = [*INPUTS, *(stage.out for stage in stages)]
        folders = {stage.folder for stage in stages if stage.folder}
        deps = draw(st.lists(st.sampled_from(choices), unique=True, max_size=3))
        folder = draw(st.sampled_from(["", "", "x/", "y/"]))
        if whole := sorted(folders - {folder}):
            deps += draw(st.lists(st.sampled_from(whole), unique=True, max_size=1))
        deps = [dep for dep in deps if not any(dep != other and dep.startswith(other) for other in deps)]
        read = [stage.out for stage in stages if stage.values and stage.out not in deps]
        stages.append(
            Stage(
                number,
                deps,
                folder,
                flags=draw(st.sampled_from(FLAGS)),
                param=draw(st.booleans()) if number % 3 == 0 else False,
                reads=draw(st.lists(st.sampled_from(read), unique=True, max_size=2)) if read else [],
                values=draw(st.booleans()),
                always=draw(st.integers(0, 9)) == 0,
                delay=draw(st.sampled_from([0, 0, 0.02, 0.1])),
            )
        )
    return Pipeline(_acyclic(stages), draw(st.permutations(range(count))))


def _acyclic(stages: list[Stage]) -> list[Stage]:
    """A stage in a folder that an earlier one depends on would come before that one: it moves out."""
    taken: set[str] = set()
    for stage in stages:
        if stage.folder in taken:
            stage.folder = ""
        taken |= {dep for dep in stage.deps if dep.endswith("/")}
    known = {stage.out for stage in stages} | {stage.folder for stage in stages} | set(INPUTS)
    for stage in stages:
        stage.deps = [dep for dep in stage.deps if dep in known]
        stage.reads = [name for name in stage.reads if name in known]
    return stages


def change(pipeline: Pipeline, dice: random.Random, kinds: Sequence[str]) -> Files:
    """Change the pipeline in one way; returns what is to be written or deleted."""
    stage = dice.choice(pipeline.stages)
    kind = dice.choice(kinds)
    extra: dict[str, str | None] = {}
    if kind == "input":
        pipeline.texts[dice.choice(INPUTS)] = f"{dice.random()}\n"
    elif kind == "inputs":
        pipeline.texts = {name: f"{dice.random()}\n" for name in INPUTS}
    elif kind == "back":
        pipeline.texts, pipeline.param = {name: f"{name}\n" for name in INPUTS}, 1
        for each in pipeline.stages:
            each.word = "w"
    elif kind == "word":
        stage.word = dice.choice(["w", "v"])
    elif kind == "param":
        pipeline.param = dice.choice([1, 2])
    elif kind == "dep":
        _add_or_drop(stage, dice.choice([*INPUTS, *(other.out for other in pipeline.stages[: stage.number])]))
    elif kind == "delete":
        extra[stage.out] = None
    elif kind == "edit":
        extra[stage.out] = "by hand\n"
    elif kind == "fail":
        stage.fails = not stage.fails
    elif kind == "freeze":
        stage.frozen = not stage.frozen
    return {**pipeline.files(), **extra}


def _add_or_drop(stage: Stage, dep: str) -> None:
    if dep in stage.deps:
        stage.deps.remove(dep)
    elif not any(dep.startswith(other) for other in stage.deps):
        stage.deps.append(dep)


def mend(pipeline: Pipeline) -> Files:
    """Let no stage fail any more."""
    for stage in pipeline.stages:
        stage.fails = False
    return pipeline.files()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two minutes, and many times that where all cores are busy
@settings(
    max_examples=8,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(pipelines(), st.integers(0, 2**32), st.booleans(), st.booleans())
def test_random_pipelines(pipeline: Pipeline, seed: int, with_targets: bool, keep_going: bool) -> None:
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        shape = Shape("random", pipeline.files())
        serial, parallel = (make(Path(name, copy), shape, Path(name)) for copy in ("serial", "parallel"))
        step: Files = {}
        for number in range(4):
            for root in (serial, parallel):
                there = {
                    path: text for path, text in step.items() if text is not None or (root / path).exists()
                }
                put(root, there, root)
            # More than half of the graph, so that DVC's own order does not vary.
            targets = [f"s{n}" for n in range(len(pipeline.stages))][1:] if with_targets and number else []
            well = serial_repro(serial, targets=targets, on_error="keep-going" if keep_going else "fail")
            options = RunOptions(repo=parallel, targets=tuple(targets), jobs=3, keep_going=keep_going)
            report = run_pipeline(options)
            told = f"step {number} of {pipeline.files()['dvc.yaml']}\n{step}"
            assert report.well == well, told
            assert_as_planned(report)
            if keep_going:
                assert contents(parallel) == contents(serial), told
                step = change(pipeline, dice, [*KINDS, "freeze"])
            elif well:
                assert contents(parallel) == contents(serial), told
                step = {**change(pipeline, dice, KINDS), **change(pipeline, dice, ["fail", "nothing"])}
            else:  # what ran beside what failed is recorded before its turn, until the next run
                step = mend(pipeline)
