import json

import pytest

from stages.core.errors import DataError
from stages.core.files import write_atomically, write_folder_atomically, write_json


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
    with pytest.raises(DataError, match=r"nan.json: the number is NaN or infinite"):
        write_json(tmp_path / "nan.json", float("nan"))
    with pytest.raises(DataError, match=r"nan.json: figures.by_class.1 is NaN or infinite"):
        write_json(tmp_path / "nan.json", {"figures": {"by_class": [0.5, float("inf")]}})
    assert not (tmp_path / "nan.json").exists()
