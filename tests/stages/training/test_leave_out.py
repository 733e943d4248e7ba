"""A training without work ends at once, and leaves what dvc.yaml names."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.numpy import load

import stages.train_classifier.stage
import stages.train_detector.stage
import stages.train_gan.stage
from stages.core.errors import ModelError
from stages.core.packed import pack_left_out
from stages.networks.model_files import load_model, why_no_model
from tests.places import ROOT
from tests.stages.param_files import write_params

MAINS: dict[str, Callable[..., None]] = {
    "train-classifier": stages.train_classifier.stage.main,
    "train-detector": stages.train_detector.stage.main,
    "train-gan": stages.train_gan.stage.main,
}
OF_PROJECT = yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.mark.parametrize("stage", MAINS)
@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_to_do(stage: str, wanted: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_params(tmp_path / "params.yaml", stage, OF_PROJECT[stage] if wanted else None)
    why = f"{stage} is null"
    if wanted:
        why = "preprocess.classification is null"
        pack_left_out(tmp_path / "data", why)
    names = ["model", "metrics", "history", "samples", "checkpoint"]
    rates = {"rates": tmp_path / "rates"} if stage == "train-classifier" else {}
    paths = {name: tmp_path / name for name in names} | rates
    paths["checkpoint"].write_text("of a training before")
    MAINS[stage](data=tmp_path / "data", params=tmp_path / "params.yaml", **paths)
    assert capsys.readouterr().out == f"{stage}: nothing to do: {why}\n"
    assert why_no_model(paths["model"]) == why
    with pytest.raises(ModelError, match=f"model: holds no model: {why}"):
        load_model(paths["model"], kind="classifier", build=lambda _: None)
    assert load(paths["samples"].read_bytes()) == {}
    assert json.loads(paths["metrics"].read_text()) == {}
    assert not paths["checkpoint"].exists()
    for table in ("history", *rates):
        assert len(pd.read_csv(paths[table])) == 0
