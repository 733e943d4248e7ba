"""`darkroom fuse`, `generate` and `data`: handed on to the stages in a process of their own."""

import cv2
import numpy as np
import pytest

from darkroom.cli.main import Exit, app, run_command


@pytest.mark.slow
def test_fuses_and_says_what_is_wrong_in_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stages").mkdir()  # a folder of the user's own, which must not be taken for ours
    (tmp_path / "stages/__init__.py").write_text("raise SystemExit('not this one')")
    for name, value in (("a", 100), ("b", 201)):
        cv2.imwrite(f"{name}.png", np.full((20, 20, 3), value, np.uint8))
    words = ["fuse", "a.png", "b.png", "--method", "average", "--alpha", "0.75", "--out", "c.png"]
    assert run_command(words) == Exit.WELL
    assert (cv2.imread("c.png") == 125).all()
    assert capfd.readouterr() == ("c.png\n", "")
    assert (
        run_command(["fuse", "a.png", "none.png", "--method", "average", "--out", "d.png"])
        == Exit.WRONG_INPUT
    )
    assert capfd.readouterr() == ("", "error: none.png: no such file\n")


@pytest.mark.slow
def test_generate_says_what_is_wrong_in_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert run_command(["generate", "a bag", "--n", "4"]) == Exit.WRONG_INPUT
    said = "error: data/models/generator.safetensors: no such model; `dvc repro` or `darkroom run` makes it\n"
    assert capfd.readouterr() == ("", said)


def test_each_command_has_a_help_of_its_own():
    said = [command.help for command in app.commands.values()]
    assert all(said)
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("command", ["data", "fuse", "generate"])
def test_a_project_runs_its_own_stages_and_nothing_that_lies_beside_them(
    command, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stages/by_hand").mkdir(parents=True)
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/by_hand/__init__.py").touch()
    (tmp_path / "stages/by_hand/words.py").write_text("import logging, sys\nWORDS = sys.argv[1:]\n")
    text = "from stages.by_hand.words import WORDS\nprint('own', *WORDS)\nraise SystemExit(5)\n"
    (tmp_path / f"stages/by_hand/{command}.py").write_text(text)
    (tmp_path / "logging.py").write_text("raise SystemExit('not this one')")
    assert run_command([command, "--help", "b"]) == 5
    assert capfd.readouterr() == ("own --help b\n", "")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["classify"], "classifier"),
        (["detect"], "detector"),
        (["explain"], "classifier"),
        (["explain", "--detector"], "detector"),
    ],
)
def test_a_project_that_trains_no_such_model_says_so(words, kind, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages:\n  a: {cmd: 'true', outs: [data/models/other.safetensors]}\n")
    (tmp_path / "a.png").touch()
    assert run_command([*words, "a.png"]) == Exit.WRONG_INPUT
    said = f"error: no stage of dvc.yaml trains a {kind}; name a model by --model FILE\n"
    assert capfd.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("models", "words"),
    [(["detector"], "explain --detector a.png"), (["detector", "classifier"], "explain a.png")],
)
def test_a_project_of_boxes_alone_explains_boxes(models, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    outs = ", ".join(f"data/models/{model}.safetensors" for model in models)
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  a: {{cmd: 'true', outs: [{outs}]}}\n")
    (tmp_path / "stages/by_hand").mkdir(parents=True)
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/by_hand/__init__.py").touch()
    (tmp_path / "stages/by_hand/predict.py").write_text("import sys\nprint(*sys.argv[1:])\n")
    assert run_command(["explain", "a.png"]) == Exit.WELL
    assert capfd.readouterr() == (words + "\n", "")
