"""`darkroom init` in a DVC repository: prefect.yaml alone, and never another one's."""

from pathlib import Path

import pytest
import yaml

from darkroom.cli.main import run_command
from darkroom.projects.scheduled import add_schedule


def test_a_dvc_repository_gets_a_schedule_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".dvc").mkdir()
    assert run_command(["init", str(tmp_path)]) == 0
    assert "nothing else was changed" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == [".dvc", "prefect.yaml"]
    (deployment,) = yaml.safe_load((tmp_path / "prefect.yaml").read_text())["deployments"]
    assert deployment["parameters"] == {"branch": "darkroom/retrain", "fetch": False}
    assert run_command(["init", str(tmp_path)]) == 0
    assert "nothing was changed" in capsys.readouterr().out


def test_another_ones_prefect_yaml_stays(tmp_path: Path) -> None:
    (tmp_path / "prefect.yaml").write_text("mine")
    assert add_schedule(tmp_path, name="darkroom", remote=True) is None
    assert (tmp_path / "prefect.yaml").read_text() == "mine"
