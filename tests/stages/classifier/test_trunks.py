"""The networks by name, and pretrained weights for them."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torchvision.models import resnet18

from stages.classifier.network import Classifier, build_classifier
from stages.classifier.params import ResNetParams
from stages.core.errors import ModelError
from stages.core.params import WeightsParams
from stages.train_classifier.start import load_pretrained

COMMON: dict[str, Any] = {"classes": ["a", "b", "c"], "views": 1}
SIMPLE = {"model": "simple-cnn", "widths": [32, 64, 128], "dense": 128, "dropout": 0.5}
RESNET = {"model": "resnet", "depth": 18, "stem": "imagenet", "weights": None}


def build(network: dict[str, Any], *, channels: int = 1, size: tuple[int, int] = (28, 28)) -> Classifier:
    shape = {"mean": [0.0] * channels, "std": [1.0] * channels, "size": list(size)}
    return build_classifier(COMMON | shape | {"network": network}).eval()


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("network", [SIMPLE, RESNET, RESNET | {"stem": "small"}], ids=lambda n: n["model"])
def test_odd_sizes_in_grey_and_colour(network: dict[str, Any], channels: int) -> None:
    built = build(network, channels=channels, size=(29, 21))
    images = torch.rand(2, channels, 29, 21)
    assert built(images).shape == (2, 3)
    middle = built.feature_maps(images, 2)
    torch.testing.assert_close(built.logits_of(middle, 2), built(images))


def test_simple_cnn_has_the_textbook_s_size() -> None:
    # convolutions 1-32-64-128 of 3 x 3, then 128 x 3 x 3 -> 128 -> 3, all with biases
    convolutions = 32 * 10 + 64 * (32 * 9 + 1) + 128 * (64 * 9 + 1)
    assert sum(p.numel() for p in build(SIMPLE).parameters()) == convolutions + 128 * 1153 + 3 * 129


def params_of(path: Path, **changed: Any) -> ResNetParams:
    weights = {"file": str(path), "sha256": sha256(path.read_bytes()).hexdigest()} | changed
    return ResNetParams(model="resnet", depth=18, stem="imagenet", weights=WeightsParams(**weights))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    """torchvision's network with random weights and a thousand classes, and its file."""
    network = resnet18().eval()
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return network, path


@pytest.mark.parametrize("channels", [1, 3])
def test_pretrained_weights_make_the_features_of_their_network(
    pretrained: tuple[torch.nn.Module, Path], channels: int
) -> None:
    network, path = pretrained
    built = build(RESNET, channels=channels)
    load_pretrained(built, params_of(path))
    network.fc = torch.nn.Identity()  # type: ignore[assignment]
    images = torch.rand(2, channels, 28, 28)
    with torch.no_grad():
        wanted = network(images.expand(-1, 3, -1, -1))  # a grey picture is one in colour
        torch.testing.assert_close(built.features(images), wanted, rtol=1e-4, atol=1e-4)


def test_a_wrong_weights_file_is_one_line(tmp_path: Path) -> None:
    built, other = build(RESNET), tmp_path / "other.safetensors"
    safetensors.torch.save_file({"conv1.weight": torch.zeros(1)}, other)
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    for params, said in [
        (params_of(other), "of another network: lacks "),
        (params_of(other, sha256="0" * 64), "params.yaml asks for 000"),
        (params_of(other, file=str(tmp_path / "none")), "No such file or directory"),
        (params_of(broken), "no weights"),
    ]:
        with pytest.raises(ModelError, match=said) as raised:
            load_pretrained(built, params)
        assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_any_timm_network_by_name(tmp_path: Path) -> None:
    for name in ("resnet10t", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"):
        size = (224, 224) if "224" in name else (33, 40)
        built = build({"model": "timm", "name": name, "weights": None}, size=size)
        images = torch.rand(1, 1, *size)
        maps = built.feature_maps(images)
        assert built.logits_of(maps, 1).shape == built(images).shape == (1, 3)
        wanted = timm.create_model(name, in_chans=1, num_classes=3)
        assert sum(p.numel() for p in built.parameters()) == sum(p.numel() for p in wanted.parameters())
