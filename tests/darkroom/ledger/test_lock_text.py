"""dvc.lock in blocks: the bytes that DVC's own stage after stage rewriting ends in, whatever stood there."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from dvc.utils.serialize import dumps_yaml, parse_yaml, parse_yaml_for_update
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from darkroom.ledger.lock_text import LockText
from darkroom.workspace.recording import YAML


def load(text: str) -> Any:
    return parse_yaml_for_update(text, "dvc.lock")


def read(text: str) -> Any:
    return parse_yaml(text, "dvc.lock")


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
        data = load(text) if text else {}
        if not data:
            data = {"schema": "2.0"}
        data["stages"] = data.get("stages", {})
        data["stages"].update({name: entry})
        text = dumps_yaml(data)
    return text


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(locks, locks)
def test_blocks_laid_end_to_end_are_dvcs_bytes(first: dict[str, Any], second: dict[str, Any]) -> None:
    text = by_dvc("", first)
    expected = by_dvc(text, second)
    lock = LockText(text, YAML)
    assert lock.names == tuple(first)
    assert lock.update(second) == expected


SCHEMA_KEYS = ["schema", "'schema'", '"schema"', "? schema\n"]


class Emitter:
    """Writes the same data in another layout each time: all that YAML's rules leave to the writer."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._anchors: dict[str, str] = {}

    def lock(self, stages: dict[str, Any]) -> str:
        dice = self._dice
        schema = dice.choice(["'2.0'", '"2.0"', "!!str 2.0", '"\\x32.0"'])
        keys = [
            f"{dice.choice(SCHEMA_KEYS)}: {schema}\n",
            f"stages:{self.value(stages, 0)}",
            *dice.sample(
                [f"datasets:{self.value([{'name': 'd', 'type': 'url', 'url': 'u'}], 0)}"], dice.randint(0, 1)
            ),
        ]
        dice.shuffle(keys)
        text = dice.choice(["", "", "---\n", "# by hand\n\n", "%YAML 1.2\n---\n", "\n\n"])
        text += self.gap(0).join(keys) + dice.choice(["", "", "...\n", "\n\n", "# end\n"])
        if dice.random() < 0.2:
            text = text.rstrip("\n")
        if dice.random() < 0.2:
            text = text.replace("\n", "\r\n")
        return dice.choice(["", "", "", "\ufeff"]) + text

    def gap(self, indent: int) -> str:
        """Between two keys."""
        return self._dice.choice(["", "", "", "\n", "\n \n", f"{' ' * indent}# why\n", "# far left\n"])

    def after(self) -> str:
        """At the end of a line."""
        return self._dice.choice(["", "", "", "  ", "\t", "  # so"])

    def value(self, value: Any, indent: int) -> str:
        """What follows a colon or a dash, with its line end."""
        name = json.dumps(value, sort_keys=True, default=str)
        if value and isinstance(value, (dict, list)) and self._dice.random() < 0.5:
            if name in self._anchors and self._dice.random() < 0.7:
                return f" *{self._anchors[name]}{self.after()}\n"
            self._anchors[name] = anchor = f"a{len(self._anchors)}"
            return f" &{anchor}" + self.plain(value, indent)
        return self.plain(value, indent)

    def plain(self, value: Any, indent: int) -> str:
        if not isinstance(value, (dict, list)) or not value or self._dice.random() < 0.15:
            if isinstance(value, str) and "\n" in value and self._dice.random() < 0.5:
                return self.literal(value, indent)
            return f" {self.flow(value)}{self.after()}\n"
        deeper = indent + self._dice.choice([1, 2, 2, 4])
        if isinstance(value, list):
            lines = [f"{' ' * deeper}-{self.value(item, deeper + 1)}" for item in value]
        else:
            lines = [
                f"{' ' * deeper}{self.key(key)}:{self.value(item, deeper)}" for key, item in value.items()
            ]
            if self._dice.random() < 0.2:
                lines = self.merged(lines, value, deeper)
        return f"{self.after()}\n" + self.gap(deeper).join(lines)

    def merged(self, lines: list[str], value: dict[str, Any], indent: int) -> list[str]:
        """The first key by a merge key."""
        key, item = next(iter(value.items()))
        return [f"{' ' * indent}<<: {{{self.flow(key)}: {self.flow(item)}}}\n", *lines[1:]]

    def literal(self, text: str, indent: int) -> str:
        lines = text.split("\n")
        keep = "+" if text.endswith("\n") else "-"
        body = lines[:-1] if text.endswith("\n") else lines
        return f" |4{keep}\n" + "".join(f"{' ' * (indent + 4)}{line}\n" for line in body)

    def key(self, key: str) -> str:
        quoted = [json.dumps(key, ensure_ascii=self._dice.random() < 0.5), "'" + key.replace("'", "''") + "'"]
        bare = [key] if key.isidentifier() and key.isascii() and read(key) == key else []
        return self._dice.choice([*quoted, *bare, *bare])

    def flow(self, value: Any) -> str:
        """On one line."""
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self.key(key)}: {self.flow(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(self.flow(item) for item in value) + "]"
        if isinstance(value, str):
            return self._dice.choice(["", "", "!!str "]) + json.dumps(
                value, ensure_ascii=self._dice.random() < 0.5
            )
        if isinstance(value, float) and math.isinf(value):
            return ".inf" if value > 0 else "-.inf"
        return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(locks, locks, st.integers(0, 2**32))
def test_in_any_layout_all_that_stood_there_stays_and_what_is_new_is_there_once(
    first: dict[str, Any], second: dict[str, Any], seed: int
) -> None:
    text = Emitter(seed).lock(first)
    try:
        held = read(text)
    except Exception:
        assume(False)
    assume(list(held["stages"]) == list(first))
    expected = {**held, "stages": {**held["stages"], **second}}
    updated = LockText(text, YAML).update(second)
    assert repr(read(updated)) == repr(read(YAML.unfolded(expected)))
    once_more = LockText(updated, YAML).update(second)
    assert repr(read(once_more)) == repr(read(updated))
    try:
        dvcs = by_dvc(text, second)
        right = repr(read(dvcs)) == repr(read(updated))
    except Exception:  # DVC itself cannot
        return
    assert updated == dvcs or not right


def block(name: str, command: str) -> str:
    return f"  {name}:\n    cmd: {command}\n"


LAYOUTS = {
    "empty line": "schema: '2.0'\nstages:\n  a:\n    cmd: x\n\n  b:\n    cmd: y\n",
    "empty line first": "schema: '2.0'\nstages:\n\n  a:\n    cmd: x\n  b:\n    cmd: y\n",
    "empty line in a stage": "schema: '2.0'\nstages:\n  a:\n\n    cmd: x\n  b:\n    cmd: y\n",
    "empty lines last": "schema: '2.0'\nstages:\n  a:\n    cmd: x\n  b:\n    cmd: y\n\n\n",
    "comments": "# 1\nschema: '2.0'\nstages:\n  # 2\n  a:\n    cmd: x # 3\n  b: #4\n    cmd: y\n",
    "far left": "schema: '2.0'\nstages:\n# left\n  a:\n    cmd: x\n# left\n  b:\n    cmd: y\n",
    "one space": "schema: '2.0'\nstages:\n a:\n  cmd: x\n b:\n  cmd: y\n",
    "four spaces": "schema: '2.0'\nstages:\n    a:\n        cmd: x\n    b:\n        cmd: y\n",
    "flow": "schema: '2.0'\nstages: {a: {cmd: x}, b: {cmd: y}}\n",
    "json": '{"schema": "2.0", "stages": {"a": {"cmd": "x"}, "b": {"cmd": "y"}}}\n',
    "anchor": "schema: '2.0'\nstages:\n  a: &k\n    cmd: x\n  b:\n    <<: *k\n    cmd: y\n",
    "no line end": "schema: '2.0'\nstages:\n  a:\n    cmd: x\n  b:\n    cmd: y",
    "byte order mark": "\ufeffschema: '2.0'\nstages:\n  a:\n    cmd: x\n  b:\n    cmd: y\n",
    "document": "%YAML 1.2\n---\nschema: '2.0'\nstages:\n  a:\n    cmd: x\n  b:\n    cmd: y\n...\n",
    "tags": "schema: !!str 2.0\nstages: !!map\n  a:\n    cmd: !!str x\n  b:\n    cmd: y\n",
    "quoted": '"schema": "2.0"\n\'stages\':\n  \'a\':\n    "cmd": x\n  "b":\n    cmd: \'y\'\n',
    "stages first": "stages:\n  a:\n    cmd: x\n  b:\n    cmd: y\nschema: '2.0'\n",
    "scalars": "schema: '2.0'\nstages:\n  a:\n    cmd: |-\n      x\n  b:\n    cmd: >-\n      y\n",
    "escape": 'schema: \'2.0\'\nstages:\n  "\\x61":\n    cmd: "\\u0078"\n  b:\n    cmd: y\n',
    "question": "schema: '2.0'\nstages:\n  ? a\n  : cmd: x\n  ? b\n  : cmd: y\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_stage_stands_once_in_a_dvc_lock_of_any_layout(layout: str, name: str) -> None:
    text = LAYOUTS[layout]
    assert read(text)["stages"] == {"a": {"cmd": "x"}, "b": {"cmd": "y"}}
    lock = LockText(text, YAML)
    assert lock.names == ("a", "b")
    updated = lock.update({name: {"cmd": "new"}})
    assert updated == by_dvc(text, {name: {"cmd": "new"}})
    assert read(updated)["stages"] == {"a": {"cmd": "x"}, "b": {"cmd": "y"}, name: {"cmd": "new"}}
    again = lock.update({"d": {"cmd": "z"}})
    assert again == by_dvc(updated, {"d": {"cmd": "z"}})
    assert LockText(updated, YAML).update({"d": {"cmd": "z"}}) == again


def test_what_dvc_reads_but_cannot_rewrite_keeps_its_data() -> None:
    text = "schema: '2.0'\nstages:\n  a:\n    cmd:\tx\n"  # a tab behind a colon
    assert read(text)["stages"] == {"a": {"cmd": "x"}}
    assert LockText(text, YAML).update({"b": {"cmd": "y"}}) == by_dvc(
        "", {"a": {"cmd": "x"}, "b": {"cmd": "y"}}
    )


ODD_NAMES = ["x" * 200, "a b", "a: b", "- a", "? a", ": a", "#a", "a #b", "&a", "'", '"', "é", "1", "~"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_stages_of_odd_names_are_found_again(name: str) -> None:
    text = LockText("", YAML).update({name: {"cmd": "x"}, "b": {"cmd": "y"}})
    assert text == by_dvc("", {name: {"cmd": "x"}, "b": {"cmd": "y"}})
    lock = LockText(text, YAML)
    assert lock.names == (name, "b")
    assert lock.update({name: {"cmd": "z"}}) == by_dvc(text, {name: {"cmd": "z"}})


def test_of_a_long_line_no_space_is_lost() -> None:
    command = f"{'x' * 70}  y  {'z' * 30}  {'q' * 80}"
    assert read(by_dvc("", {"a": {"cmd": command}}))["stages"]["a"]["cmd"] != command
    text = LockText("", YAML).update({"a": {"cmd": command}})
    again = LockText(text, YAML).update({"b": {"cmd": "b"}})
    assert again == text + block("b", "b")
    assert read(again)["stages"]["a"]["cmd"] == command
    commented = LockText(f"# why\n{text}", YAML).update({"b": {"cmd": "b"}})
    assert read(commented)["stages"] == {"a": {"cmd": command}, "b": {"cmd": "b"}}


def test_a_block_that_was_kept_for_later_is_the_same_as_its_entry() -> None:
    entry = {"cmd": "x", "params": {"p": {"n": 8.375779756625729e-07}}}
    lock = LockText("", YAML)
    kept = lock.block("d", entry)
    assert lock.update({"d": kept}) == by_dvc("", {"d": entry})
    for text in (LAYOUTS["comments"], LAYOUTS["flow"]):
        assert LockText(text, YAML).update({"d": kept}) == by_dvc(text, {"d": entry})


def test_one_object_in_two_places_becomes_an_alias_as_with_dvc() -> None:
    shared = {"x": [1, 2]}
    entry = {"cmd": "c", "params": {"p": {"a": shared, "a.x": shared["x"]}}}
    stages: dict[str, Any] = {"one": entry, "two": {"cmd": "t"}, "three": entry}
    lock, kept = LockText("", YAML), LockText("", YAML)
    for name in stages:
        text = lock.update({name: stages[name]})
        from_kept = kept.update({name: kept.block(name, stages[name])})
    assert text == from_kept == by_dvc("", stages)


def test_what_follows_the_stages_stays() -> None:
    text = "schema: '2.0'\nstages:\n  a:\n    cmd: x\ndatasets:\n- name: d\n"
    updated = LockText(text, YAML).update({"b": {"cmd": "y"}})
    assert updated.endswith(f"{block('b', 'y')}datasets:\n- name: d\n")


def test_floats_keep_the_digits_that_dvcs_rewriting_loses() -> None:
    number = 8.375779756625729e-07
    assert not survives(number)
    text = LockText("", YAML).update({"a": {"cmd": "a", "params": {"p": {"n": number}}}})
    again = LockText(text, YAML).update({"b": {"cmd": "b"}})
    assert again.startswith(text)
    assert "n: 8.375779756625729e-07\n" in again
    commented = LockText(f"# why\n{text}", YAML).update({"b": {"cmd": "b"}})
    assert read(commented)["stages"]["a"]["params"]["p"]["n"] == number


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing yet\n", "schema: '2.0'\n", "schema: '2.0'\nstages: {}\n"]
)
def test_a_dvc_lock_without_stages_gets_its_first(text: str) -> None:
    assert LockText(text, YAML).update({"a": {"cmd": "x"}}) == by_dvc(text, {"a": {"cmd": "x"}})
