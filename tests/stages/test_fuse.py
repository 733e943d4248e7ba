import json

import numpy as np
import pytest
import torch
from PIL import Image

from stages.checkpoints import save_model
from stages.errors import DataError, ParamsError
from stages.fuse import dark_and_bright, half_sharp, main
from stages.models.classifier import build_classifier
from stages.models.gan import build_generator
from tests.stages.param_files import write_params

CLASSES = ["dark", "bright"]
METHODS = ["weighted-average", "maximum", "laplacian-pyramid", "exposure-fusion", "feature-level"]
FUSE = {
    "pairs": 5,
    "methods": METHODS,
    "weights": [0.5, 0.5],
    "pyramid_levels": 2,
    "feature_stages": 1,
    "blur_sigma": 1.5,
    "stops": 1.0,
    "batch_size": 4,
    "sheet_pairs": 2,
}


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def project(tmp_path, request):
    """Eight test pictures of 20 pixels, an untrained classifier, an untrained generator."""
    channels = request.param
    folder = tmp_path / "data" / "test"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    np.save(folder / "images.npy", draw.integers(0, 256, (8, 20, 20, channels), dtype=np.uint8))
    np.save(folder / "labels.npy", np.arange(8) % 2)
    (tmp_path / "data" / "classes.json").write_text(json.dumps(CLASSES))
    own_params(tmp_path)
    torch.manual_seed(0)
    config = {
        "classes": CLASSES,
        "mean": [0.5] * channels,
        "std": [0.3] * channels,
        "size": [20, 20],
        "network": {"model": "compact", "widths": [[4], [8]], "grid": 2, "features": 8},
        "views": 1,
    }
    save_model(
        tmp_path / "classifier.safetensors", build_classifier(config), kind="classifier", config=config
    )
    write_generator(tmp_path, size=20, channels=channels)
    return tmp_path


def own_params(folder, **changed):
    write_params(folder / "params.yaml", "fuse", {**FUSE, **changed})


def write_generator(folder, *, size, channels):
    config = {"size": size, "channels": channels, "classes": 2, "latent": 4, "embedding": 2, "width": 4}
    save_model(folder / "generator.safetensors", build_generator(config), kind="generator", config=config)


def run(project, out="out"):
    main(
        data=project / "data",
        params=project / "params.yaml",
        classifier=project / "classifier.safetensors",
        generator=project / "generator.safetensors",
        fused=project / out / "fused",
        metrics=project / out / "fuse.json",
        sheet=project / out / "fuse.png",
    )
    return project / out


def test_writes_what_every_method_makes_of_every_kind(project):
    out = run(project)
    figures = json.loads((out / "fuse.json").read_text())
    assert list(figures) == ["focus", "exposure", "generated"]
    for kind, methods in figures.items():
        assert list(methods) == ["sources", *METHODS]
        sources = np.load(out / "fused" / kind / "sources.npy")
        assert sources.shape[:2] == (5, 2)
        for method in METHODS:
            fused = np.load(out / "fused" / kind / f"{method}.npy")
            assert fused.dtype == np.uint8
            assert fused.shape == (5, *sources.shape[2:])
            assert 0 <= methods[method]["edge_preservation"] <= 1
            assert ("truth_psnr" in methods[method]) == (kind != "generated")
    with Image.open(out / "fuse.png") as sheet:
        assert sheet.height > 6 * 80  # two pairs of each of three kinds


def test_the_same_bytes_twice(project):
    first, second = run(project, "first"), run(project, "second")
    files = sorted(path.relative_to(first) for path in first.rglob("*.*") if path.is_file())
    assert len(files) == 3 * (len(METHODS) + 2) + 2
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_fused_by_the_maximum_is_the_maximum(project):
    out = run(project)
    for kind in ("focus", "exposure", "generated"):
        sources = np.load(out / "fused" / kind / "sources.npy")
        assert (np.load(out / "fused" / kind / "maximum.npy") == sources.max(axis=1)).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": [0.5, 0.4]}, "fuse.weights: weights must sum to 1, these sum to 0.9, got [0.5, 0.4]"),
        ({"pairs": 9}, "fuse.pairs: 9, but the test split has 8 pictures"),
        ({"pyramid_levels": 4}, "fuse.pyramid_levels: 4, but pictures of 20 x 20 pixels allow at most 3"),
        ({"feature_stages": 3}, "fuse.feature_stages: 3, but the classifier has 2 stages"),
        ({"methods": ["median"]}, "fuse.methods.0: input should be 'weighted-average', 'maximum',"),
    ],
)
def test_params_that_do_not_fit_are_refused_in_one_line(project, changed, message):
    own_params(project, **changed)
    with pytest.raises(ParamsError) as refused:
        run(project)
    assert f"params.yaml: {message}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (project / "out").exists()


def test_a_generator_of_other_pictures_is_refused(project):
    write_generator(project, size=24, channels=1)
    with pytest.raises(DataError, match=r"generated pictures are \[24, 24, 1\], the test split's \[20, 20, "):
        run(project)


@pytest.mark.parametrize("channels", [1, 3])
def test_one_half_stays_sharp(channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 10, channels), dtype=np.uint8)
    pairs = half_sharp(images, 1.0)
    assert pairs.shape == (2, 2, 9, 10, channels)
    assert (pairs[:, 0, :, :5] == images[:, :, :5]).all()
    assert (pairs[:, 1, :, 5:] == images[:, :, 5:]).all()
    assert pairs[:, 0, :, 5:].std() < images[:, :, 5:].std()


def test_one_stop_halves_and_doubles_up_to_white():
    pairs = dark_and_bright(np.array([[[[10], [100], [200]]]], np.uint8), 1.0)
    assert pairs[0, :, 0, :, 0].tolist() == [[5, 50, 100], [20, 200, 255]]
