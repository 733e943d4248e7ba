"""`darkroom metrics` and `diff` in repositories that are none of ours."""

import json
import re
from pathlib import Path

import pytest
from dvc.repo import Repo

from darkroom.cli.main import Exit, run_command
from tests.darkroom.repositories import git, make, serial_repro
from tests.darkroom.shapes import Shape

DVC_YAML = """
stages:
  train:
    cmd: cp in.json metrics.json; cp params.yaml model.txt
    deps: [in.json, raw.txt]
    params: [lr]
    outs: [model.txt]
    metrics:
      - metrics.json:
          cache: false
          meta: {higher_is_better: [accuracy], lower_is_better: [val.loss]}
"""
FIRST = {
    "accuracy": 0.5,
    "val": {"loss": 1.5},
    "odd": float("inf"),
    "intervals": {"accuracy": {"low": 0.45, "high": 0.55}},
}
SECOND = {
    "accuracy": 0.75,
    "val": {"loss": 2.0},
    "odd": 1,
    "intervals": {"accuracy": {"low": 0.7, "high": 0.8}},
}


@pytest.fixture(params=["", "below"])
def root(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository, at git's root and in a folder of git's, with two commits of results."""
    files = {"dvc.yaml": DVC_YAML, "in.json": json.dumps(FIRST), "raw.txt": "1", "params.yaml": "lr: 0.1\n"}
    root = make(tmp_path / "project", Shape("results", files, root=request.param, add=("raw.txt",)), tmp_path)
    commit(root, "first")
    (root / "in.json").write_text(json.dumps(SECOND))
    (root / "params.yaml").write_text("lr: 0.2\n")
    commit(root, "second")
    monkeypatch.chdir(root)
    return root


def words_of(said: str, name: str) -> list[str]:
    """What stands in the row of a table, without its name."""
    return next(line.split()[1:] for line in said.splitlines() if line.split()[:1] == [name])


def commit(root: Path, message: str) -> None:
    assert serial_repro(root)
    git(root, "add", "-A")
    git(root, "commit", "-m", message)
    git(root, "tag", message)


def test_metrics_of_revisions_are_read_without_a_checkout(root, capsys):
    assert run_command(["metrics", "first", "second"]) == Exit.WELL
    said = capsys.readouterr().out
    assert words_of(said, "accuracy") == ["0.5", "0.75", "better"]
    assert words_of(said, "loss") == ["1.5", "2", "worse"]
    assert run_command(["metrics", "--json", "first", "second"]) == Exit.WELL
    told = json.loads(capsys.readouterr().out)
    assert [one["subject"] for one in told["revisions"]] == ["first", "second"]
    accuracy = next(one for one in told["metrics"] if one["name"] == "accuracy")
    assert (accuracy["then"], accuracy["now"], accuracy["standing"]) == (0.5, 0.75, "better")
    assert accuracy["change_interval"] == pytest.approx([0.25 - 0.0707107, 0.25 + 0.0707107])
    assert next(one["then"] for one in told["metrics"] if one["name"] == "odd") is None


def test_without_a_revision_the_workspace_stands_against_the_last_commit(root, capsys):
    assert run_command(["metrics"]) == Exit.WELL
    assert "workspace, the same as HEAD" in capsys.readouterr().out
    (root / "metrics.json").write_text(json.dumps(FIRST))
    assert run_command(["metrics"]) == Exit.WELL
    assert words_of(capsys.readouterr().out, "accuracy")[-2:] == ["-0.25", "worse"]


def test_the_difference_names_metrics_parameters_and_files(root, capsys):
    assert run_command(["diff", "first", "second"]) == Exit.WELL
    said = capsys.readouterr().out
    assert words_of(said, "metric") == ["then", "now", "change", "interval", "verdict"]
    for words in ("+0.25", "better", "lr", "in.json", "model.txt"):
        assert words in said
    assert words_of(said, "lr") == ["0.1", "0.2"]
    assert "raw.txt" not in said
    assert re.search(r"model\.txt: \w{7}, \d+ bytes -> ", said)
    assert run_command(["diff", "first", "--json"]) == Exit.WELL
    told = json.loads(capsys.readouterr().out)
    assert told["now"] == {"name": "workspace", "commit": None, "subject": "", "time": None}
    assert told["params"] == [{"file": "params.yaml", "name": "lr", "then": 0.1, "now": 0.2}]
    assert run_command(["diff", "second"]) == Exit.WELL
    assert "no metric differs" in capsys.readouterr().out


def test_a_narrow_terminal_shows_all_in_its_width(root, capsys, monkeypatch):
    monkeypatch.setattr("darkroom.show.terminal.PIPE_WIDTH", 60)
    for words in (["metrics"], ["metrics", "first", "second"], ["diff", "first"]):
        assert run_command(words) == Exit.WELL
        _, *table = capsys.readouterr().out.splitlines()
        assert max(len(line.rstrip()) for line in table) <= 60
        assert any("0.75" in line for line in table)


def test_what_is_wrong_is_one_line(root, capsys):
    def said(*words: str) -> str:
        assert run_command(list(words)) == Exit.WRONG_INPUT
        out, line = capsys.readouterr()
        assert out == ""
        assert line.count("\n") == 1
        return line

    assert "nope: no such revision" in said("diff", "nope")
    assert "nope: no such revision" in said("metrics", "first", "nope")
    (root / "metrics.json").unlink()
    (root / "dvc.lock").unlink()
    (root / "dvc.yaml").write_text("stages: {a: {cmd: echo}}\n")
    (root / "dvc.yaml").write_text("stages: [")
    assert "dvc.yaml" in said("metrics")


def test_a_broken_metrics_file_is_named_with_its_line(root, capsys):
    (root / "metrics.json").write_text('{"accuracy": 1,\n oops')
    assert run_command(["metrics"]) == Exit.WELL
    said = capsys.readouterr()
    assert "metrics.json" in said.err
    assert "line 2" in said.err
    assert said.err.count("\n") == 1
    assert "gone" in said.out


def test_without_git_there_are_figures_and_no_revisions(tmp_path, monkeypatch, capsys):
    root = tmp_path / "plain"
    root.mkdir()

    Repo.init(str(root), no_scm=True).close()
    (root / "dvc.yaml").write_text(DVC_YAML.replace(", raw.txt", ""))
    (root / "in.json").write_text(json.dumps(FIRST))
    (root / "params.yaml").write_text("lr: 1\n")
    monkeypatch.chdir(root)
    assert run_command(["metrics"]) == Exit.WRONG_INPUT
    assert "not there yet" in capsys.readouterr().err
    assert serial_repro(root)
    assert run_command(["metrics"]) == Exit.WELL
    assert "0.45 to 0.55" in capsys.readouterr().out
    assert run_command(["diff"]) == Exit.WRONG_INPUT
    assert capsys.readouterr().err.startswith("error: HEAD: there are no revisions")
