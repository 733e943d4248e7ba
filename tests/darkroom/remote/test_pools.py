"""Which stages go where, and what is wrong with the file that says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from darkroom.base.errors import UsageError
from darkroom.base.exits import Exit
from darkroom.base.meta import parse_meta
from darkroom.cli.main import run_command
from darkroom.remote.pools import pools_of
from darkroom.reporting.letters import RUN_FLOW, STAGE_FLOW, Began, from_line
from darkroom.reporting.outbox import waiting_outboxes
from darkroom.runs.report import placed_here
from darkroom.schedule.plan import Node
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape

FILE = """\
storage: shared
pools:
  gpu: {stages: ["train-*"]}
  cpu: {kind: workers, jobs: 4}
"""
NODES = (
    Node(name="prepare"),
    Node(name="train-a"),
    Node(name="score", meta=parse_meta({"pool": "cpu"}, "dvc.yaml: score")),
    Node(name="data.dvc", executes=False),
)


def written(root: Path, text: str) -> Path:
    (root / ".darkroom").mkdir(exist_ok=True)
    (root / ".darkroom" / "pools.yaml").write_text(text)
    return root


def places(nodes: tuple[Node, ...]) -> list[str | None]:
    return [node.meta.resources.pool for node in nodes]


def test_stages_go_where_the_file_or_their_meta_says(tmp_path: Path) -> None:
    pools = pools_of(written(tmp_path, FILE))
    assert pools is not None
    assert places(pools.place(NODES)) == [None, "gpu", "cpu", None]
    assert pools.storage.address == str(tmp_path / "shared")


def test_the_command_line_says_it_of_all_stages(tmp_path: Path) -> None:
    pools = pools_of(written(tmp_path, FILE), "gpu")
    assert pools is not None
    assert places(pools.place(NODES)) == ["gpu", "gpu", "gpu", None]


def test_without_the_file_all_stages_run_here(tmp_path: Path) -> None:
    assert pools_of(tmp_path) is None
    assert places(placed_here(NODES)) == [None] * 4


def test_a_stage_of_this_host_may_need_one_of_a_pool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = """\
stages:
  train-a: {cmd: echo 1 > a.txt, outs: [a.txt]}
  score: {cmd: cp a.txt b.txt, deps: [a.txt], outs: [b.txt]}
  last: {cmd: cp b.txt c.txt, deps: [b.txt], outs: [c.txt]}
"""
    root = make(tmp_path / "r", Shape("pool", {"dvc.yaml": pipeline}), tmp_path)
    written(root, FILE.replace("storage: shared", f"storage: {tmp_path / 'shared'}"))
    assert run_command(["plan", "--json", "--repo", str(root)]) == Exit.WORK_TO_DO
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [(stage["name"], stage["action"]) for stage in stages] == [
        ("train-a", "run"),
        ("score", "run"),
        ("last", "run"),
    ]


def test_a_run_with_pools_is_told_to_prefect(tmp_path: Path) -> None:
    pipeline = "stages:\n  only: {cmd: echo 1 > a.txt, outs: [a.txt]}\n"
    root = make(tmp_path / "r", Shape("one", {"dvc.yaml": pipeline}), tmp_path)
    written(root, FILE.replace("storage: shared", f"storage: {tmp_path / 'shared'}"))
    assert run_command(["run", "--repo", str(root)]) == Exit.WELL
    (outbox,) = waiting_outboxes(root)
    letters = [from_line(line) for line in outbox.read_bytes().splitlines()]
    told = [letter for letter in letters if isinstance(letter, Began)]
    assert [(letter.flow, letter.parameters.get("place")) for letter in told] == [
        (RUN_FLOW, None),
        (STAGE_FLOW, None),
    ]


@pytest.mark.parametrize(
    ("text", "on", "said"),
    [
        (FILE, "big", "--on big: no such pool; .*has gpu, cpu"),
        (None, "gpu", "--on gpu: .*pools.yaml is missing"),
        ("pools: {}\n", None, "pools.yaml: storage: Field required"),
        ("storage: s\npools: {gpu: {kind: cloud}}\n", None, "pools.gpu.kind: Input should be"),
        ("storage: s\npool: {}\n", None, "pools.yaml: pool: Extra inputs"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, text: str | None, on: str | None, said: str
) -> None:
    if text is not None:
        written(tmp_path, text)
    with pytest.raises(UsageError, match=said) as error:
        pools_of(tmp_path, on)
    assert "\n" not in str(error.value)


def test_a_stage_of_an_unknown_pool_is_refused(tmp_path: Path) -> None:
    pools = pools_of(written(tmp_path, "storage: s\n"))
    assert pools is not None
    with pytest.raises(UsageError, match="no pool 'cpu', which score is to run on"):
        pools.place(NODES)
