import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from benchmarks.stages.differences import first_difference

WEIGHTS = {"conv.weight": np.zeros((2, 2), np.float32), "head.bias": np.zeros(3, np.float32)}
OTHER_WEIGHTS = {**WEIGHTS, "head.bias": np.array([0, 0, 1], np.float32)}
WIDER_WEIGHTS = {**WEIGHTS, "head.bias": np.zeros(4, np.float32)}


@pytest.mark.parametrize(
    ("name", "one", "other", "said"),
    [
        ("a.bin", b"same", b"same", None),
        ("a.bin", b"abcd", b"abXd", "byte 2 (of 4 and 4)"),
        ("a.bin", b"abc", b"abcd", "byte 3 (of 3 and 4)"),
        ("a.json", b'{"a": {"b": [1, 2]}}', b'{"a": {"b": [1, 3]}}', "key a.b[1]: 2 and 3"),
        ("a.json", b'{"a": 1}', b'{"a": 1, "b": 2}', "key b: only in one"),
        ("a.json", b'{"a": [1]}', b'{"a": [1, 2]}', "key a: 1 and 2 items"),
        ("a.json", b'{"a": 1}', b'{"a":  1}', "byte 6 (of 8 and 9)"),
        ("a.json", b'{"a": 1}', b'{"a": ', "byte 6 (of 8 and 6)"),
        ("a.safetensors", save(WEIGHTS), save(OTHER_WEIGHTS), "tensor head.bias"),
        ("a.safetensors", save(WEIGHTS), save(WIDER_WEIGHTS), "key header.head.bias.shape[0]: 3 and 4"),
    ],
)
def test_the_first_difference_is_named(
    tmp_path: Path, name: str, one: bytes, other: bytes, said: str | None
) -> None:
    for folder, content in (("1", one), ("2", other)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    assert first_difference(tmp_path / "1" / name, tmp_path / "2" / name) == said


def test_a_folder_s_first_file_that_differs_is_named(tmp_path: Path) -> None:
    for folder, score in (("1", 0.5), ("2", 0.25)):
        (tmp_path / folder / "sub").mkdir(parents=True)
        (tmp_path / folder / "same").write_text("same")
        (tmp_path / folder / "sub/m.json").write_text(json.dumps({"score": score}))
    assert first_difference(tmp_path / "1", tmp_path / "2") == "sub/m.json: key score: 0.5 and 0.25"
    (tmp_path / "2" / "same").unlink()
    assert str(first_difference(tmp_path / "1", tmp_path / "2")).endswith("2/same is missing")


def test_what_is_missing_on_both_sides_is_no_agreement(tmp_path: Path) -> None:
    assert "are missing" in str(first_difference(tmp_path / "1", tmp_path / "2"))
