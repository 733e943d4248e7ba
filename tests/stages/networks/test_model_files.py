import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save

from stages.core.errors import ModelError
from stages.networks.model_files import load_model, save_model


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


def with_header(path, header):
    """The model file with other bytes in place of its header."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])


@pytest.mark.parametrize(
    "said",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '{"kind": "classifier"}',
        '{"kind": 3, "config": {}}',
        '{"kind": "classifier", "config": []}',
        "[" * 100_000,
    ],
)
def test_damaged_words_of_the_header_are_one_line(saved, said):
    path = saved[1]
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    path.write_bytes(save(state, metadata={"darkroom": said}))
    with pytest.raises(ModelError, match="its header is damaged; train it again") as refused:
        load_model(path, kind="classifier", build=build)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "config",
    [{"width": "x"}, {"width": None}, {"width": -1}, {"width": [3]}, {"width": 2**62}, {}, {"width": 2.5}],
)
def test_damaged_values_of_the_header_are_one_line(saved, config):
    save_model(saved[1], saved[0], kind="classifier", config=config)
    with pytest.raises(ModelError, match="made by other code than this") as refused:
        load_model(saved[1], kind="classifier", build=build)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_other_header_is_one_line(saved, header):
    path = saved[1].with_name("other")
    path.write_bytes(saved[1].read_bytes())
    with_header(path, header)
    with pytest.raises(ModelError) as refused:
        load_model(path, kind="classifier", build=build)
    assert "\n" not in str(refused.value)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_with_other_bytes_in_it_is_read_or_refused_in_one_line(saved, data):
    content = bytearray(saved[1].read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    path = saved[1].with_name("other")
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert "\n" not in refusal(path)


def refusal(path):
    """What is said of the file; empty where it is read."""
    try:
        load_model(path, kind="classifier", build=build)
    except ModelError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    network = torch.nn.Linear(2, 1)
    with torch.no_grad():
        network.weight[0, 1] = value
    save_model(tmp_path / "m.safetensors", network, kind="classifier", config={})
    with pytest.raises(ModelError, match=r"NaN or infinite in 1 of its 2 tensors, such as weight; train it"):
        load_model(tmp_path / "m.safetensors", kind="classifier", build=lambda _: torch.nn.Linear(2, 1))
