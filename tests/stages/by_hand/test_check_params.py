"""Everything that is wrong with params.yaml, at once."""

from pathlib import Path

import pytest
import yaml

from stages.by_hand.check_params import LIBRARIES, SECTIONS, main
from tests.places import ROOT

PARAMS = ROOT / "params.yaml"


def test_the_shipped_file_is_valid() -> None:
    main(params=PARAMS)


def test_every_section_that_a_stage_lists_is_looked_at() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    listed = {param.partition(".")[0] for stage in stages.values() for param in stage["params"]}
    assert listed - {"libraries"} <= set(SECTIONS)
    assert all("check_params" in stage["meta"] for stage in stages.values())


def test_all_faults_are_said_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = yaml.safe_load(PARAMS.read_text())
    values["compute"]["sed"] = values["compute"].pop("seed")
    values["train-classifier"]["epochs"] = "many"
    values["train-detector"] = None  # not wanted: nothing is wrong with it
    del values["fuse"]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(SystemExit) as ended:
        main(params=path)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert f"error: {path}: compute.sed: unknown key; did you mean 'seed'?" in lines
    assert any("train-classifier.epochs: " in line for line in lines)
    assert any(line.endswith("`fuse: {}` takes its defaults") for line in lines)


def test_what_is_wrong_with_the_whole_file_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(params=tmp_path / "none.yaml")
    (line,) = capsys.readouterr().err.splitlines()
    assert "no such file" in line


def test_versions_of_libraries_are_compared_though_none_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = yaml.safe_load(PARAMS.read_text())
    values["libraries"] = dict.fromkeys(values["libraries"], "0.0")
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(SystemExit):
        main(params=path)
    (line,) = capsys.readouterr().err.splitlines()
    assert {name for name in values["libraries"] if f"libraries.{name} asks for 0.0" in line} >= set(
        LIBRARIES
    )


def test_a_transform_that_albumentations_does_not_have_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = yaml.safe_load(PARAMS.read_text())
    values["train-classifier"]["augmentations"] = [{"Rotat": {}}]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(SystemExit):
        main(params=path)
    (line,) = capsys.readouterr().err.splitlines()
    assert "albumentations has no transform 'Rotat'; did you mean 'Rotate'?" in line
