"""Mutations of a repository's files: darkroom takes what DVC takes, and refuses the rest in one line.

The same examples in each run; `make fuzz` takes new ones.
"""

import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from darkroom.base.errors import DarkroomError
from darkroom.base.exits import Exit
from darkroom.cli import main as cli
from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions
from tests.darkroom.repositories import contents, make, serial_repro
from tests.darkroom.shapes import Shape

pytestmark = pytest.mark.slow
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))

PIPELINE = """\
vars:
  - more.yaml
stages:
  copied:
    cmd: cat raw.txt > copied.txt
    deps:
      - raw.txt
    params:
      - rate
      - model.depth
    outs:
      - copied.txt
  each:
    foreach: [red, blue]
    do:
      cmd: cat copied.txt > ${item}.txt
      deps: [copied.txt]
      outs:
        - ${item}.txt:
            persist: false
  grid:
    matrix:
      size: [small, large]
    cmd: cat red.txt > ${item.size}.txt
    deps: [red.txt]
    params:
      - more.yaml: [width]
    outs: [ "${item.size}.txt" ]
    meta: {timeout: 60}
  last:
    cmd: cat small.txt > last.json
    wdir: .
    deps: [small.txt]
    metrics:
      - last.json:
          cache: false
    always_changed: false
artifacts:
  best:
    path: small.txt
    type: model
"""
FILES = {
    "dvc.yaml": PIPELINE,
    "params.yaml": "rate: 0.1\nmodel:\n  depth: 3\n  name: net\n  sizes: [1, 2]\n",
    "more.yaml": "width: '7'\nuse: true\n",
    "raw.txt": "1\n",
}
ODD = [
    *("null", "''", "0", "-1", "1.5e3", "true", "2020-01-01", "[]", "{}", "[[[]]]", "{a: {b: c}}", "*a"),
    *("&a [*a]", "!!set {a}", "!odd x", '"\\0"', "~", ".inf", "${rate}", "${nothing}", "<<", "x: y", "\t"),
    *(
        "'\u202e'",
        "|",
        "9" * 5000,
        "0x" + "f" * 5000,
        "[" * 400 + "]" * 400,
        "s3://bucket/x",
        "\N{GRINNING FACE}",
    ),
]
SCALAR = re.compile(rb"(?<=[ \[])[\w.${}']+(?=[\n,\]])")
COMMAND = re.compile(r"cat [a-z]+\.txt > [a-z]+\.(txt|json)")


def cut_line(lines: list[bytes], at: int, _: int) -> list[bytes]:
    return lines[:at] + lines[at + 1 :]


def double_line(lines: list[bytes], at: int, other: int) -> list[bytes]:
    return [*lines[:other], lines[at], *lines[other:]]


def swap_lines(lines: list[bytes], at: int, other: int) -> list[bytes]:
    lines[at], lines[other] = lines[other], lines[at]
    return lines


def indent_line(lines: list[bytes], at: int, _: int) -> list[bytes]:
    return [*lines[:at], b" " + lines[at], *lines[at + 1 :]]


def truncate(lines: list[bytes], at: int, other: int) -> list[bytes]:
    return [*lines[:at], lines[at][: other % (len(lines[at]) + 1)]]


LINES: list[Callable[[list[bytes], int, int], list[bytes]]] = [
    cut_line,
    double_line,
    swap_lines,
    indent_line,
    truncate,
]


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A change of a file's bytes."""
    at, other = draw(st.integers(0, 9999)), draw(st.integers(0, 9999))
    odd = draw(st.sampled_from(ODD)).encode()
    kind = draw(st.sampled_from([*LINES, "scalar", "scalar", "retype", "flip", "byte"]))

    def mutate(content: bytes) -> bytes:
        if callable(kind):
            lines = content.splitlines(keepends=True)
            return b"".join(kind(lines, at % len(lines), other % len(lines)))
        if kind == "scalar" and (found := list(SCALAR.finditer(content))):
            start, end = found[at % len(found)].span()
            return content[:start] + odd + content[end:]
        if kind == "retype":
            return _retyped(content, at, other)
        place = at % len(content)
        if kind == "flip":
            # no slash and no dot: what an out's path is made of stays inside of the repository
            flipped = bytes([content[place] ^ 1 << other % 8]).translate(bytes.maketrans(b"/.~", b"xxx"))
            return content[:place] + flipped + content[place + 1 :]
        return content[:place] + bytes([other % 32 if other % 2 else 0xFF]) + content[place:]

    return mutate


def _retyped(content: bytes, at: int, other: int) -> bytes:
    """A value of the file's tree in the place of another one, written anew."""
    try:
        data = yaml.safe_load(content)
    except yaml.YAMLError:  # .dvc/config is none
        return content[: at % len(content)]
    places = list(_places(data))
    if not places:
        return content[: at % len(content)]
    (holder, key), (source, name) = places[at % len(places)], places[other % len(places)]
    value = source[name]
    holder[key] = [value] if other % 3 == 0 else {"x": value} if other % 3 == 1 else None
    return yaml.safe_dump(data, sort_keys=False).encode()


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, inner in list(items):
        yield data, key
        yield from _places(inner)


def fuzzed(examples: int) -> settings:
    """Few examples, the same ones each time, or as many new ones as are asked for."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        database=None,
        phases=[Phase.generate],
        deadline=None,
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository all of whose stages are up to date, with a remote."""
    folder = tmp_path_factory.mktemp("fuzzed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        root = make(folder / "r", Shape("fuzzed", FILES, add=("raw.txt",)), folder)
        (root / ".dvc/config").write_text(
            "[core]\n    remote = r\n['remote \"r\"']\n    url = ../../remote\n"
        )
        assert serial_repro(root)
    return root


MUTATED = ["dvc.yaml", "dvc.lock", "params.yaml", "more.yaml", "raw.txt.dvc", ".dvc/config"]


def read_by_dvc(root: Path) -> bool:
    """Whether DVC reads the repository's files, and finds stages in its dvc.yaml."""
    try:
        with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
            return len(repo.index.graph) > 0 and bool(repo.stage.collect("dvc.yaml"))
    except Exception:
        return False


def would_run(root: Path) -> set[str] | None:
    """What `dvc repro --dry` would run; None where it ends in an error."""
    try:
        with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
            return {stage.addressing for stage in repo.reproduce(dry=True)}
    except Exception:
        return None


def planned(root: Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run_command(["plan", "--json", "--repo", str(root)])
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("file", MUTATED)
def test_a_mutated_file_is_planned_as_by_dvc_or_refused_in_one_line(recorded: Path, file: str) -> None:
    original = (recorded / file).read_bytes()

    @fuzzed(12)
    @given(mutate=mutations(), twice=st.none() | mutations())
    def check(mutate: Callable[[bytes], bytes], twice: Callable[[bytes], bytes] | None) -> None:
        content = mutate(original) or b"\n"
        (recorded / file).write_bytes(twice(content) if twice else content)
        note(repr((recorded / file).read_bytes()))
        code, out, err = planned(recorded)
        if code == Exit.WRONG_INPUT:
            assert not read_by_dvc(recorded) or would_run(recorded) is None, err
            assert out == ""
            assert re.fullmatch(r"error: [^\n]+\n", err)
            assert "darkroom itself" not in err
            return
        assert err == ""
        assert code in (Exit.WELL, Exit.WORK_TO_DO, Exit.FAILED)
        assert read_by_dvc(recorded)
        left = {stage["name"] for stage in json.loads(out)["stages"] if stage["action"] != "skip"}
        assert (would_run(recorded) or set()) <= left

    try:
        check()
    finally:
        (recorded / file).write_bytes(original)


def may_be_run(root: Path) -> bool:
    """Whether no mutated command or path can do harm."""
    with contextlib.suppress(Exception), contextlib.closing(Repo(str(root))) as repo:
        return all(
            (not stage.cmd or COMMAND.fullmatch(str(stage.cmd)))
            and all(Path(out.fs_path).parent == root for out in stage.outs)
            for stage in repo.index.stages
        )
    return True  # nothing is run


@pytest.mark.parametrize("file", MUTATED)
def test_a_mutated_file_is_run_as_by_dvc(recorded: Path, tmp_path: Path, file: str) -> None:
    serial, parallel = tmp_path / "serial", tmp_path / "parallel"

    @fuzzed(12)
    @given(mutate=mutations())
    def check(mutate: Callable[[bytes], bytes]) -> None:
        content = mutate((recorded / file).read_bytes())
        for root in (serial, parallel):
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(recorded, root, symlinks=True)
            (root / file).write_bytes(content)
        if not may_be_run(serial):
            return
        note(repr(content))
        try:
            well = serial_repro(serial, on_error="keep-going")
        except Exception:
            with pytest.raises(DarkroomError) as raised:
                run_pipeline(RunOptions(repo=parallel, keep_going=True))
            assert "\n" not in str(raised.value)
            return
        report = run_pipeline(RunOptions(repo=parallel, keep_going=True))
        assert report.well == well, report.errors
        assert not any("\n" in error or "darkroom itself" in error for error in report.errors)
        assert contents(parallel) == contents(serial)

    check()
