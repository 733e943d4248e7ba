import pytest
import torch

from stages.checkpoints import load_model, save_model
from stages.errors import ModelError


def build(config):
    return torch.nn.Linear(config["width"], 2)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = build({"width": 3})
    save_model(tmp_path / "model.safetensors", network, kind="classifier", config={"width": 3})
    return network, tmp_path / "model.safetensors"


def test_network_comes_back_in_evaluation_mode(saved):
    network, path = saved
    loaded = load_model(path, kind="classifier", build=build)
    assert not loaded.training
    inputs = torch.randn(5, 3)
    assert torch.equal(loaded(inputs), network(inputs))


def test_same_network_same_bytes(saved, tmp_path):
    network, path = saved
    save_model(tmp_path / "again", network, kind="classifier", config={"width": 3})
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_model_of_another_kind_is_refused(saved):
    with pytest.raises(ModelError, match="holds a classifier, a detector was asked for"):
        load_model(saved[1], kind="detector", build=build)


def test_model_of_other_code_is_refused_in_one_line(saved):
    with pytest.raises(ModelError, match=r"made by other code than this .*; train it again$") as refused:
        load_model(saved[1], kind="classifier", build=lambda config: torch.nn.Linear(config["width"] + 1, 2))
    assert "\n" not in str(refused.value)
    with pytest.raises(ModelError, match="made by other code than this"):
        load_model(saved[1], kind="classifier", build=lambda config: build({"width": config["depth"]}))


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(ModelError, match="no such model"):
        load_model(path, kind="classifier", build=build)
    path.write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_model(path, kind="classifier", build=build)
