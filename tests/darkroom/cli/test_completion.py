"""`darkroom completion`, and examples in the help of every command."""

import shlex
import shutil
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from darkroom.cli.completion import VARIABLE
from darkroom.cli.examples import EXAMPLES
from darkroom.cli.main import GROUPS, app, run_command

PIPELINE = (
    "stages:\n  train:\n    cmd: a\n  tried:\n    foreach: [x, y]\n    do: {cmd: b}\n  other:\n    cmd: c\n"
)


def completed(*words: str) -> list[str]:
    """What could come in place of the last word."""
    asked = ShellComplete(app, {}, "darkroom", VARIABLE)
    return [found.value for found in asked.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell_names_the_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    if shell == "bash" and not shutil.which("bash"):
        pytest.skip("no bash here")
    assert run_command(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "darkroom" in script
    assert VARIABLE in script


def test_commands_options_and_stages_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    assert completed("pl") == ["plan"]
    assert "--keep-going" in completed("run", "--")
    assert completed("run", "tr") == ["train", "tried@x", "tried@y"]
    monkeypatch.chdir("/")
    assert completed("plan", "--repo", str(tmp_path), "o") == ["other"]
    assert completed("plan", "o") == []


def test_a_broken_dvc_yaml_completes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("a: [1", "- a", "stages:\n", "stages: [a]\n", "stages: {a: 1}\n"):
        (tmp_path / "dvc.yaml").write_text(text)
        assert completed("run", "") == []


def test_every_command_is_listed_once_and_has_examples_that_it_takes() -> None:
    listed = [name for names in GROUPS.values() for name in names]
    assert sorted(listed) == sorted(app.commands)
    for name in set(listed) - set(EXAMPLES):
        passes_on = app.commands[name].context_settings.get("ignore_unknown_options")
        assert passes_on or "Examples:" in (app.commands[name].help or "")
    for name, lines in EXAMPLES.items():
        for line in lines:
            program, command, *words = shlex.split(line.partition(" | ")[0].partition(" >")[0])
            assert (program, command) == ("darkroom", name)
            app.commands[name].make_context(name, words)


def test_the_help_of_every_command_shows_its_examples_unbroken() -> None:
    for name, lines in EXAMPLES.items():
        shown = app.commands[name].get_help(
            click.Context(app.commands[name], info_name=name, terminal_width=60)
        )
        assert all(f"  {line}\n" in f"{shown}\n" for line in lines)
