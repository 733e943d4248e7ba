from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.darkroom.reproduce import QUICK, ROOT, difference, shorten
from stages.by_hand.check_params import faults_of


def paths(values: Any, *at: str) -> Iterator[tuple[str, ...]]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield from paths(value, *at, key)
    else:
        yield at


def test_quick_values_are_valid_and_others_stay(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text())
    before = yaml.safe_load(params.read_text())
    shorten(params)
    after = yaml.safe_load(params.read_text())
    changed = set(paths(QUICK))
    kept = [path for path in paths(after) if path not in changed]
    assert kept == [path for path in paths(before) if path in kept]
    assert all(_at(after, path) == _at(before, path) for path in kept)
    assert all(_at(after, path) == _at(QUICK, path) for path in changed)
    assert not [fault for fault in faults_of(params) if "libraries" not in fault]


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values[key]
    return values


def write(folder: Path, contents: dict[str, str]) -> Path:
    """A folder with files and a dvc.lock that says nothing of their hashes, in this order."""
    folder.mkdir()
    for name, text in contents.items():
        (folder / name).write_text(text)
    stages = {f"make-{name}": {"outs": [{"path": name}]} for name in contents}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    return folder


def test_the_first_out_that_differs_in_the_order_of_dvc_lock_is_named(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"z": "same", "m.json": '{"f1": 1}', "a": "other"})
    other = write(tmp_path / "other", {"z": "same", "m.json": '{"f1": 2}', "a": "content"})
    assert difference(one, other) == "make-m.json: m.json: key f1: 1 and 2"
    assert difference(one, one) is None


def test_a_dvc_lock_that_differs_alone_is_named(tmp_path: Path) -> None:
    one, other = (write(tmp_path / name, {"a": "same", "b": "same"}) for name in ("one", "other"))
    stages = yaml.safe_load((one / "dvc.lock").read_text())["stages"]
    turned = {"stages": dict(reversed(stages.items()))}
    (other / "dvc.lock").write_text(yaml.safe_dump(turned, sort_keys=False))
    assert str(difference(one, other)).startswith("dvc.lock: byte ")
