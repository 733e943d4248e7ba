"""`darkroom init` in a DVC repository: prefect.yaml alone, and never another one's."""

from pathlib import Path

import pytest
import yaml

from darkroom.cli.main import run_command
from darkroom.projects.scheduled import add_schedule
from darkroom.service.workers import pools_of


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


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("flowers", "flowers"),
        ("My flowers, 2026", "my-flowers-2026"),
        ("007", "007"),
        ("on", "on"),
        ("Prefect demo", "darkroom-prefect-demo"),
        ("äö", "darkroom"),
    ],
)
def test_project_and_work_pool_are_called_as_the_folder(tmp_path: Path, folder: str, name: str) -> None:
    root = tmp_path / folder
    (root / ".dvc").mkdir(parents=True)
    assert run_command(["init", str(root)]) == 0
    held = yaml.safe_load((root / "prefect.yaml").read_text())
    assert (held["name"], held["deployments"][0]["work_pool"]["name"]) == (name, name)
    assert pools_of(root) == (name,)


def test_another_ones_prefect_yaml_stays(tmp_path: Path) -> None:
    (tmp_path / "prefect.yaml").write_text("mine")
    assert add_schedule(tmp_path, remote=True) is None
    assert (tmp_path / "prefect.yaml").read_text() == "mine"
