"""dvc.lock in blocks: the bytes that DVC's own stage after stage rewriting ends in."""

from __future__ import annotations

from typing import Any

import pytest
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.lock_text import LockText


def load(text: str) -> Any:
    return parse_yaml_for_update(text, "dvc.lock")


def survives(number: float) -> bool:
    """DVC's writer takes the last digit of some floats with an exponent down, each time it rewrites."""
    text = dumps_yaml({"n": number})
    return dumps_yaml(load(text)) == text


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
pieces = st.sampled_from(["echo", "x" * 30, "a: b", "# c", "'q'", "ü ✓"])
long_words = st.lists(pieces, max_size=9).map(" ".join)
odd_words = ["1", "1e3", "yes", "null", "~", "", "0o7", "2020-01-01", "a\nb", "a \n b\n", "\t", "=", "1_000"]
scalars = st.one_of(
    words,
    long_words,
    st.sampled_from(odd_words),
    st.integers(),
    st.floats(allow_nan=False).filter(survives),
    st.booleans(),
    st.none(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
params = st.dictionaries(words, st.dictionaries(words, values, min_size=1, max_size=3), max_size=2)
commands = long_words | st.lists(words, min_size=1, max_size=3)
entries = st.fixed_dictionaries({"cmd": commands}, optional={"params": params})
locks = st.dictionaries(words, entries, min_size=1, max_size=4)


def by_dvc(text: str, stages: dict[str, Any]) -> str:
    """One stage after the other, each time the whole file, as DVC's Lockfile.dump_stages does."""
    for name, entry in stages.items():
        data = load(text) if text else {"schema": "2.0"}
        data["stages"] = data.get("stages", {})
        data["stages"].update({name: entry})
        text = dumps_yaml(data)
    return text


@pytest.mark.slow
@settings(max_examples=40)
@given(locks, locks)
def test_blocks_laid_end_to_end_are_dvcs_bytes(first: dict[str, Any], second: dict[str, Any]) -> None:
    text = by_dvc("", first)
    expected = by_dvc(text, second)
    lock = LockText(text, dumps_yaml, load)
    assert lock.names == tuple(first)
    order = [*first, *(name for name in second if name not in first)]
    assert lock.update(second, order) == expected


def test_new_stages_come_where_the_order_says() -> None:
    lock = LockText(by_dvc("", {"old": {"cmd": "o"}}), dumps_yaml, load)
    lock.update({"c": {"cmd": "c"}}, ["old", "c"])
    text = lock.update({"b": {"cmd": "b"}}, ["old", "b", "c"])
    assert text == by_dvc("", {"old": {"cmd": "o"}, "b": {"cmd": "b"}, "c": {"cmd": "c"}})


def test_comments_and_anchors_are_left_to_dvcs_own_writer() -> None:
    text = (
        "# by hand\nschema: '2.0'\nstages:\n  a:\n    cmd: x # why\n    params:\n      p: &k\n        n: 1\n"
    )
    text += "      q: *k\n"
    lock = LockText(text, dumps_yaml, load)
    expected = load(text)
    expected["stages"]["b"] = {"cmd": "y"}
    assert lock.update({"b": {"cmd": "y"}}, ["a", "b"]) == dumps_yaml(expected)


def test_one_object_in_two_places_becomes_an_alias_as_with_dvc() -> None:
    shared = {"x": [1, 2]}
    entry = {"cmd": "c", "params": {"p": {"a": shared, "a.x": shared["x"]}}}
    stages = {"one": entry, "two": {"cmd": "t"}, "three": entry}
    lock = LockText("", dumps_yaml, load)
    text = ""
    for count, name in enumerate(stages, 1):
        text = lock.update({name: stages[name]}, list(stages)[:count])
    assert text == by_dvc("", stages)


def test_what_follows_the_stages_stays() -> None:
    text = "schema: '2.0'\nstages:\n  a:\n    cmd: x\ndatasets:\n- name: d\n"
    lock = LockText(text, dumps_yaml, load)
    assert lock.update({"b": {"cmd": "y"}}, ["a", "b"]).endswith("  b:\n    cmd: y\ndatasets:\n- name: d\n")


def test_floats_keep_the_digits_that_dvcs_rewriting_loses() -> None:
    number = 8.375779756625729e-07
    assert not survives(number)
    lock = LockText("", dumps_yaml, load)
    text = lock.update({"a": {"cmd": "a", "params": {"p": {"n": number}}}}, ["a"])
    again = LockText(text, dumps_yaml, load).update({"b": {"cmd": "b"}}, ["a", "b"])
    assert again.startswith(text)
    assert "n: 8.375779756625729e-07\n" in again


def test_text_of_another_layout_goes_dvcs_way() -> None:
    text = "schema: '2.0'\nstages: {a: {cmd: \"x\"}}\n"
    lock = LockText(text, dumps_yaml, load)
    assert lock.update({"b": {"cmd": "y"}}, ["a", "b"]) == by_dvc(text, {"b": {"cmd": "y"}})
