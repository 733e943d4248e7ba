from typing import Annotated, Literal

import pytest
from pydantic import Field

from stages.core.errors import ParamsError
from stages.core.params import ComputeParams, StageParams, load_params


class Inner(StageParams):
    depth: int


class Outer(StageParams):
    inner: Inner
    rate: float


class Disc(StageParams):
    shape: Literal["disc"]
    radius: float


class Square(StageParams):
    shape: Literal["square"]
    side: float


class Drawing(StageParams):
    figure: Annotated[Disc | Square, Field(discriminator="shape")]


def load(tmp_path, text, cls=Outer):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_params(path, "section", cls)


def test_values_arrive_typed_and_frozen(tmp_path):
    values = load(tmp_path, "section: {inner: {depth: 3}, rate: 0.5}")
    assert values == Outer(inner=Inner(depth=3), rate=0.5)
    with pytest.raises(ValueError, match="frozen"):
        values.rate = 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("section: {inner: {depht: 3}, rate: 1}", "section.inner.depth: missing"),
        ("section: {inner: {depht: 3}, rate: 1}", "section.inner.depht: unknown key; did you mean 'depth'?"),
        ("section: {inner: {depth: 3}}", "section.rate: missing"),
        ("section: {inner: {depth: '3'}, rate: 1}", "section.inner.depth: input should be a valid integer"),
        ("section: {inner: {depth: 3}, rate: fast}", "section.rate: input should be a valid number"),
        ("section: {inner: {depth: 3}, rate: fast}", "got 'fast'"),
        ("sektion: {}", "section 'section' is missing; did you mean 'sektion'?"),
        ("just text", "section 'section' is missing"),
        ("a: [1", "not YAML"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(tmp_path, text, message):
    with pytest.raises(ParamsError) as raised:
        load(tmp_path, text)
    assert message in str(raised.value)
    assert str(tmp_path / "params.yaml") in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{shape: square, seid: 2}", r"section\.figure\.seid: unknown key; did you mean 'side'\?"),
        ("{shape: square}", r"section\.figure\.side: missing"),
        ("{shape: disc, radius: wide}", r"section\.figure\.radius: input should be a valid number"),
        ("{shape: oval}", r"section\.figure: .*'oval'.*'disc', 'square'"),
        ("{}", r"section\.figure: .*'shape'"),
    ],
)
def test_variants_of_a_section_are_named_as_the_file_has_them(tmp_path, text, message):
    with pytest.raises(ParamsError, match=message):
        load(tmp_path, f"section: {{figure: {text}}}", Drawing)


def test_missing_file(tmp_path):
    with pytest.raises(ParamsError, match="no such file"):
        load_params(tmp_path / "params.yaml", "section", Outer)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_is_one_that_every_generator_takes(tmp_path, seed):
    with pytest.raises(ParamsError, match=r"section\.seed"):
        load(tmp_path, f"section: {{seed: {seed}, threads: 1, precision: auto}}", ComputeParams)
