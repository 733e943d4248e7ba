from copy import deepcopy
from typing import Any

import pytest
from dvc.utils.serialize import dumps_yaml, parse_yaml

from darkroom.ledger.other_outs import other_outs

LOCK: dict[str, Any] = {
    "schema": "2.0",
    "stages": {
        name: {
            "cmd": f"make {name}",
            "deps": [{"path": "data", "hash": "md5", "md5": "aa", "size": 2}],
            "params": {"params.yaml": {name: 1}},
            "outs": [
                {"path": f"{name}.{kind}", "hash": "md5", "md5": "bb", "size": 2} for kind in ("bin", "json")
            ],
        }
        for name in ("train", "test")
    },
}


def found(now: str, then: str, chosen: tuple[str, ...] = ("train", "test")) -> dict[str, tuple[str, ...]]:
    return other_outs(now, then, lambda text: parse_yaml(text, "dvc.lock"), chosen)


def with_other_out(**changes: Any) -> dict[str, Any]:
    lock = deepcopy(LOCK)
    lock["stages"]["train"]["outs"][0]["md5"] = "cc"
    lock["stages"]["train"].update(changes)
    return lock


LAYOUTS = {
    "DVC's own": dumps_yaml,
    "with comments": lambda lock: dumps_yaml(lock).replace("  train:\n", "  # by hand\n  train: # here\n\n"),
    "flow style": repr,
    "an anchor that another stage names": lambda lock: (
        dumps_yaml(lock).replace("md5: aa", "md5: &hash aa", 1).replace("md5: aa", "md5: *hash", 1)
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_out_that_differs_is_named_in_any_layout(layout: str) -> None:
    now, then = LAYOUTS[layout](with_other_out()), LAYOUTS[layout](LOCK)
    assert found(now, then) == {"train": ("train.bin",)}
    assert found(now, dumps_yaml(LOCK)) == {"train": ("train.bin",)}
    assert found(then, dumps_yaml(LOCK)) == {}
    assert found(now, then, chosen=("test",)) == {}


@pytest.mark.parametrize(
    "inputs",
    [
        {"cmd": "make it better"},
        {"deps": [{"path": "data", "hash": "md5", "md5": "ab", "size": 2}]},
        {"params": {"params.yaml": {"train": 2}}},
    ],
)
def test_other_inputs_are_reason_enough(inputs: dict[str, Any]) -> None:
    assert found(dumps_yaml(with_other_out(**inputs)), dumps_yaml(LOCK)) == {}


def test_a_stage_or_an_out_that_was_not_there_is_no_difference() -> None:
    less = deepcopy(LOCK)
    del less["stages"]["test"], less["stages"]["train"]["outs"][0]
    assert found(dumps_yaml(LOCK), dumps_yaml(less)) == {}
    assert found(dumps_yaml(LOCK), "") == {}
