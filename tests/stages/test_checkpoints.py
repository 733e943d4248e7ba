import json

import pytest
import torch

from stages.checkpoints import load_model, save_model, write_atomically, write_folder_atomically, write_json
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


def test_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"before")

    def full_disk(_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "deep/out"
    for name in ("first", "second"):
        with write_folder_atomically(folder) as partial:
            (partial / name).write_text(name)
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert list(folder.parent.iterdir()) == [folder]


def test_failed_folder_leaves_what_was_there(tmp_path):
    folder = tmp_path / "out"
    with write_folder_atomically(folder) as partial:
        (partial / "good").touch()

    def fail():
        with write_folder_atomically(folder) as partial:
            (partial / "half").touch()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert [path.name for path in folder.iterdir()] == ["good"]
    assert list(tmp_path.iterdir()) == [folder]


def test_json_keeps_order_and_refuses_what_json_has_not(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [2.5]})
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["b", "a"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()
