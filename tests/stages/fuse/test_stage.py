import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from stages.classifier.network import build_classifier
from stages.core.errors import DataError, ParamsError
from stages.core.packed import pack_left_out
from stages.detector.network import build_detector
from stages.fuse.stage import main
from stages.fusion.files import write_picture
from stages.fusion.sets import exposed, half_sharp
from stages.networks.model_files import save_model, save_no_model
from tests.stages import projects
from tests.stages.fusion.scenery import half_blurred, scenery
from tests.stages.param_files import write_params
from tests.stages.projects import models_in

CLASSES = ["dark", "bright"]
METHODS = ["average", "maximum", "laplacian", "wavelet", "exposure", "guided", "features"]
MADE = ["focus", "exposure", "generated", "scenes"]
FUSE = {
    "pictures": 5,
    "scenes": 3,
    "methods": METHODS,
    "weights": None,
    "levels": None,
    "feature_stages": 1,
    "blur_sigma": 1.5,
    "stops": [-1.0, 0.5, 1.0],
    "cut_out_threshold": 32,
    "overlap_min": 0.5,
    "score_min": 0.5,
    "mosaic_columns": 4,
    "batch_size": 4,
    "sheet_rows": 2,
    "own": {"manifest": "groups.csv", "pattern": None, "registration": "check"},
}
NETWORK = {
    "model": "faster-rcnn",
    "backbone": {"model": "residual", "widths": [4, 4, 8], "blocks": [1, 1]},
    "features": 8,
    "rpn_stride": 8,
    "roi_stride": 4,
    "anchor_sizes": [12.0],
    "anchor_ratios": [1.0],
    "proposal_candidates": 8,
    "proposal_overlap_max": 0.7,
    "proposals_train": 4,
    "proposals_test": 4,
    "rpn_batch": 4,
    "roi_batch": 4,
    "roi_positive": 0.5,
    "roi_size": 2,
    "roi_width": 4,
    "roi_hidden": 4,
    "score_min": 0.0,
    "overlap_max": 0.5,
    "detections_max": 4,
}


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def project(tmp_path, request):
    """Eight test pictures of 20 pixels, four scenes of 48, untrained networks, a group of the user's own."""
    channels = request.param
    draw = np.random.default_rng(0)
    for kind, number, side in (("classification", 8, 20), ("detection", 4, 48)):
        folder = tmp_path / kind / "test"
        folder.mkdir(parents=True)
        np.save(folder / "images.npy", draw.integers(0, 256, (number, side, side, channels), dtype=np.uint8))
        (tmp_path / kind / "classes.json").write_text(json.dumps(CLASSES))
    np.save(tmp_path / "classification/test/labels.npy", np.arange(8) % 2)
    boxes = [{"image_id": n, "bbox": [4, 6, 12, 10], "category_id": 1 + n % 2} for n in range(4)]
    (tmp_path / "detection/test/annotations.json").write_text(json.dumps({"annotations": boxes}))
    (tmp_path / "own").mkdir()
    (tmp_path / "own/groups.csv").write_text("group,picture,truth\n")
    own_params(tmp_path)
    torch.manual_seed(0)
    write_classifier(tmp_path, channels)
    write_generator(tmp_path, size=20, channels=channels)
    write_detector(tmp_path, CLASSES, channels)
    return tmp_path


def own_params(folder, **changed):
    write_params(folder / "params.yaml", "fuse", {**FUSE, **changed})


def own_group(folder):
    scene = scenery(60, 80)
    left, right = half_blurred(scene)
    write_picture(folder / "own/left.png", left.astype(np.uint16) * 257)
    write_picture(folder / "own/right.png", right.mean(axis=2, keepdims=True).astype(np.uint8))
    write_picture(folder / "own/sharp.png", scene)
    lines = ["group,picture,truth", "hill/top,left.png,sharp.png", "hill/top,right.png,"]
    (folder / "own/groups.csv").write_text("\n".join(lines) + "\n")


def write_classifier(folder, channels):
    config = {
        "classes": CLASSES,
        "mean": [0.5] * channels,
        "std": [0.3] * channels,
        "size": [20, 20],
        "network": {"model": "compact", "widths": [[4], [8]], "grid": 2, "features": 8},
        "views": 1,
    }
    save_model(folder / "classifier.safetensors", build_classifier(config), kind="classifier", config=config)


def write_detector(folder, classes, channels, **changed):
    config = {"classes": classes, "channels": channels, "network": {**NETWORK, **changed}}
    save_model(folder / "detector.safetensors", build_detector(config), kind="detector", config=config)


def write_generator(folder, *, size, channels):
    projects.write_generator(folder / "generator.safetensors", CLASSES, size=size, channels=channels)


def run(project, out="out"):
    main(
        data=project / "classification",
        detection=project / "detection",
        own=project / "own",
        **models_in(project),
        fused=project / out / "fused",
        metrics=project / out / "fuse.json",
        sheets=project / out / "sheets",
        table=project / out / "fuse.csv",
    )
    return project / out


@pytest.mark.slow
def test_writes_what_every_method_makes_of_every_kind(project):
    own_group(project)
    out = run(project)
    figures = json.loads((out / "fuse.json").read_text())
    assert list(figures) == [*MADE, "own", "composites"]
    for kind in MADE:
        seen = "map50" if kind == "scenes" else "accuracy"
        known = [] if kind == "generated" else ["truth"]
        assert list(figures[kind]) == ["sources", *known, *METHODS]
        sources = np.load(out / "fused" / kind / "sources.npy")
        assert sources.shape[:2] == (3 if kind == "scenes" else 5, 3 if kind == "exposure" else 2)
        for method in METHODS:
            fused = np.load(out / "fused" / kind / f"{method}.npy")
            assert fused.dtype == np.uint8
            assert fused.shape == (len(sources), *sources.shape[2:])
            assert 0 <= figures[kind][method][seen] <= 1
            assert ("truth_psnr" in figures[kind][method]) == bool(known)
        assert (np.load(out / "fused" / kind / "maximum.npy") == sources.max(axis=1)).all()
    for method in METHODS:
        with Image.open(out / "fused/own/hill_top" / f"{method}.png") as picture:
            assert picture.size == (80, 60)
        assert figures["own"][method]["truth_psnr"] > 10
    assert set(figures["composites"]) == {"paste", "poisson"}
    check_table(out, figures)


def check_table(out, figures):
    """It has every picture, and its means are the metrics."""
    with (out / "fuse.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (3 * 5 + 3 + 1) * len(METHODS)
    for kind in MADE:
        mine = [row for row in rows if (row["kind"], row["method"]) == (kind, "wavelet")]
        mean = sum(float(row["vif"]) for row in mine) / len(mine)
        assert figures[kind]["wavelet"]["vif"] == pytest.approx(mean, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("project", [1], indirect=True)
def test_the_same_bytes_twice(project):
    first, second = run(project, "first"), run(project, "second")
    files = sorted(path.relative_to(first) for path in first.rglob("*.*") if path.is_file())
    # a kind: each method's pictures, the sources, two sheets; composites, their sheet; mosaic; metrics, table
    assert len(files) == len(MADE) * (len(METHODS) + 1 + 2) + 2 + 2 + 2
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("project", [1], indirect=True)
def test_of_fewer_pictures_and_scenes_than_asked_for_it_takes_all(project):
    own_params(project, pictures=200, scenes=40, methods=["average"])
    out = run(project)
    assert len(np.load(out / "fused/focus/average.npy")) == 8
    assert len(np.load(out / "fused/scenes/average.npy")) == 4
    assert len(np.load(out / "fused/composites/paste.npy")) == 4


def found_by_a_detector_of(classes, project):
    """The share of items that are named right by an untrained detector, which sees something everywhere."""
    (project / "detection/classes.json").write_text(json.dumps(classes))
    torch.manual_seed(0)
    write_detector(project, classes, channels=3, proposals_test=300, detections_max=300)
    return json.loads((run(project) / "fuse.json").read_text())["composites"]["paste"]["found"]


@pytest.mark.slow
@pytest.mark.parametrize("project", [3], indirect=True)
def test_what_the_detector_finds_is_compared_by_name(project):
    own_params(project, methods=["average"], overlap_min=0.01, score_min=0.0)
    as_they_are, reversed_ = (found_by_a_detector_of(order, project) for order in (CLASSES, CLASSES[::-1]))
    assert as_they_are + reversed_ == pytest.approx(1.0)
    assert as_they_are > 0
    assert found_by_a_detector_of(["cat", "cow", "dog", "fly"], project) == 0


@pytest.mark.slow
@pytest.mark.parametrize("project", [1], indirect=True)
def test_scenes_without_room_for_an_item_have_no_composites(project, capsys):
    np.save(project / "detection/test/images.npy", np.zeros((4, 28, 28, 3), dtype=np.uint8))
    write_detector(project, CLASSES, channels=3)
    own_params(project, methods=["average"])
    out = run(project)
    assert "composites" not in json.loads((out / "fuse.json").read_text())
    assert not (out / "sheets/composites.png").exists()
    assert (
        "3 of 3 generated items are too dark or too large to be set into a scene" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": [0.5, 0.4]}, "fuse.weights: weights must sum to 1, these sum to 0.9, got [0.5, 0.4]"),
        ({"weights": [0.5, 0.2, 0.3]}, "fuse: of kind focus: 3 weights for 2 pictures"),
        ({"levels": 4}, "fuse.levels: 4, but pictures of 20 x 20 pixels allow at most 3"),
        ({"feature_stages": 3}, "fuse.feature_stages: 3, but the classifier has 2 stages"),
        ({"methods": ["median"]}, "fuse.methods.0: input should be 'average', 'maximum',"),
        ({"own": FUSE["own"] | {"pattern": "(.)"}}, "fuse.own: give either a manifest or a pattern"),
    ],
)
@pytest.mark.parametrize("project", [1], indirect=True)
def test_params_that_do_not_fit_are_refused_in_one_line(project, changed, message):
    own_params(project, **changed)
    with pytest.raises(ParamsError) as refused:
        run(project)
    assert f"params.yaml: {message}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (project / "out").exists()


@pytest.mark.parametrize("project", [1], indirect=True)
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
    lights = exposed(np.array([[[[10], [100], [200]]]], np.uint8), [-1.0, 0.0, 1.0])
    assert lights[0, :, 0, :, 0].tolist() == [[5, 50, 100], [10, 100, 200], [20, 200, 255]]


@pytest.mark.slow
@pytest.mark.parametrize("project", [1], indirect=True)
@pytest.mark.parametrize(
    ("tasks", "models", "kinds"),
    [
        (["classification"], ["classifier"], ["focus", "exposure"]),
        (["classification"], ["generator"], ["focus", "exposure", "generated"]),
        (["detection"], ["detector"], ["scenes"]),
    ],
)
def test_fuses_what_there_is(project, tasks, models, kinds, capsys):
    for task in {"classification", "detection"} - set(tasks):
        shutil.rmtree(project / task)
        (project / task).mkdir()
        pack_left_out(project / task, f"preprocess.{task} is null")
    for model in {"classifier", "detector", "generator"} - set(models):
        save_no_model(project / f"{model}.safetensors", f"train-{model} is null")
    out = run(project)
    methods = METHODS if "classifier" in models else METHODS[:-1]
    figures = json.loads((out / "fuse.json").read_text())
    assert list(figures) == kinds
    assert [name for name in figures[kinds[0]] if name not in ("sources", "truth")] == methods
    assert ("accuracy" in figures[kinds[0]]["average"]) == ("classifier" in models)
    assert (out / "sheets/mosaic.png").exists() == ("classification" in tasks)
    assert ("features is left out" in capsys.readouterr().out) == ("classifier" not in models)
