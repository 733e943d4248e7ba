"""`darkroom generate`: handed on to the stages' own command, in a process of its own."""

import pytest

from darkroom.cli.main import Exit, run_command


@pytest.mark.slow
def test_says_what_is_wrong_in_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert run_command(["generate", "a bag", "--n", "4"]) == Exit.WRONG_INPUT
    said = "error: data/models/generator.safetensors: no such model; `dvc repro` or `darkroom run` makes it\n"
    assert capfd.readouterr() == ("", said)
