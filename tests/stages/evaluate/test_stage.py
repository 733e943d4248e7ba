import json
import re
from itertools import chain

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from stages.classifier.network import build_classifier
from stages.core.errors import DataError
from stages.detector.network import build_detector
from stages.drift.reference import read_reference
from stages.evaluate.report import flat
from stages.evaluate.stage import main
from stages.networks.model_files import save_model, save_no_model
from stages.training.samples import ClassifierSamples, DetectorSamples, GeneratorSamples, write_samples
from tests.places import ROOT
from tests.stages.param_files import write_params
from tests.stages.projects import models_in, write_generator

CLASSES = ["dark", "bright", "absent"]
EVALUATE = {
    "batch_size": 4,
    "calibration_bins": 5,
    "resamples": 100,
    "generation": {
        "samples_per_class": 6,
        "neighbours": 2,
        "nearest_pictures": 4,
        "score": {"pictures": 12, "epochs": 1, "batch_size": 4, "learning_rate": 0.01},
        "inception": None,
    },
    "sheet_columns": 4,
    "sheet_scenes": 2,
    "sheet_boxes": 200,
    "score_min": 0.1,
}
SHEETS = [
    "box-label-errors.png",
    "boxes.png",
    "confusion.png",
    "detections.png",
    "generated-confusion.png",
    "generated-nearest.png",
    "generated.png",
    "grad-cam.png",
    "label-errors.png",
    "predictions.png",
    "worst-losses.png",
]
TRAINING = [
    "train-classifier.png",
    "train-detector.png",
    "train-gan/class-to-class.png",
    "train-gan/epoch-002.png",
    "train-gan/epoch-004.png",
    "train-gan/interpolation.png",
    "train-gan/samples.png",
    "train-gan/training.webp",
    "train-gan/truncation.png",
]


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def project(tmp_path, request):
    """Little made-up data and three untrained models."""
    channels = request.param
    write_classification(tmp_path / "classification", channels)
    write_detection(tmp_path / "detection", channels)
    write_models(tmp_path, channels)
    leave_samples(tmp_path, channels)
    own_params(tmp_path)
    return tmp_path


def own_params(folder, **changed):
    write_params(folder / "params.yaml", "evaluate", {**EVALUATE, **changed})


def write_classification(folder, channels):
    draw = np.random.default_rng(0)
    for split, number in (("train", 20), ("val", 6), ("test", 16)):
        (folder / split).mkdir(parents=True)
        labels = np.arange(number) % 2
        bright = (labels * 120)[:, None, None, None]
        images = (draw.integers(0, 120, (number, 16, 16, channels)) + bright).astype(np.uint8)
        np.save(folder / split / "images.npy", images)
        np.save(folder / split / "labels.npy", labels)
        lines = [f"raw/labels.csv: row {row}: {split}/{row}.png\n" for row in range(number)]
        (folder / split / "sources.txt").write_text("".join(lines))
    (folder / "classes.json").write_text(json.dumps(CLASSES))


def write_detection(folder, channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, channels), dtype=np.uint8)
    annotations = [{"image_id": n, "category_id": n % 2 + 1, "bbox": [4, 6, 12, 10]} for n in range(2)]
    lines = ["raw/a.png\tline 1\n", "raw/b.png\tline 4\n", "raw/c.png\n"]
    for split in ("train", "val", "test"):
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images.npy", images)
        (folder / split / "annotations.json").write_text(json.dumps({"annotations": annotations}))
        (folder / split / "sources.txt").write_text("".join(lines))
    (folder / "classes.json").write_text(json.dumps(CLASSES))


def write_models(folder, channels):
    torch.manual_seed(0)
    small = {"mean": [0.5] * channels, "std": [0.3] * channels, "size": [16, 16], "views": 2}
    compact = {"model": "compact", "widths": [[4], [8]], "grid": 2, "features": 8}
    network = yaml.safe_load((ROOT / "params.yaml").read_text())["train-detector"]["network"]
    built = {
        "classifier": (build_classifier, {"classes": CLASSES, **small, "network": compact}),
        "detector": (build_detector, {"classes": CLASSES, "channels": channels, "network": network}),
    }
    for kind, (build, config) in built.items():
        save_model(folder / f"{kind}.safetensors", build(config), kind=kind, config=config)
    write_generator(folder / "generator.safetensors", CLASSES, size=16, channels=channels)


def leave_samples(folder, channels):
    draw = np.random.default_rng(0)

    def pictures(*shape):
        return draw.integers(0, 256, (*shape, channels), dtype=np.uint8)

    left = {
        "classifier": ClassifierSamples(pictures=pictures(2, 3, 16, 16), labels=np.arange(2)),
        "detector": DetectorSamples(
            pictures=pictures(1, 4, 32, 32),
            box_counts=np.array([[1, 0, 2, 1]]),
            boxes=np.array([[4, 6, 16, 16]] * 4, np.float32),
            labels=np.array([0, 1, 2, 0]),
        ),
        "generator": GeneratorSamples(
            epochs=np.array([2, 4]),
            epoch_pictures=pictures(2, 6, 16, 16),
            steps=np.array([1, 7, 9]),
            step_pictures=pictures(3, 6, 16, 16),
        ),
    }
    for name, samples in left.items():
        write_samples(folder / f"{name}-samples.safetensors", samples)


def run(project, out="out"):
    main(
        classification=project / "classification",
        detection=project / "detection",
        **models_in(project),
        classifier_samples=project / "classifier-samples.safetensors",
        detector_samples=project / "detector-samples.safetensors",
        generator_samples=project / "generator-samples.safetensors",
        metrics=project / out / "evaluate.json",
        predictions=project / out / "predictions.csv",
        resampled=project / out / "resampled.csv",
        reliability=project / out / "reliability.csv",
        precision_recall=project / out / "precision-recall.csv",
        detection_reliability=project / out / "detection-reliability.csv",
        label_errors=project / out / "label-errors.csv",
        box_label_errors=project / out / "box-label-errors.csv",
        reference=project / out / "reference.safetensors",
        plots=project / out / "plots",
        training_plots=project / out / "training",
        report=project / out / "report.html",
    )
    return project / out


@pytest.mark.slow
def test_measures_all_three_models_and_draws_them(project, capsys):
    out = run(project)
    printed = capsys.readouterr().out
    assert re.search(
        r"16 pictures classified: \d+ a second\none picture alone classified in [\d.]+ ms", printed
    )
    assert re.search(r"one picture alone searched in [\d.]+ ms", printed)
    figures = json.loads((out / "evaluate.json").read_text())
    assert list(figures) == ["classifier", "detector", "generator", "labels"]
    assert read_reference(out / "reference.safetensors") is None, "six pictures of val are too few"
    assert set(figures["classifier"]["by_class"]) == {"dark", "bright"}
    assert set(figures["detector"]["by_class"]) == {"dark", "bright"}
    assert set(figures["generator"]) == {
        *figures["generator"]["floor"],
        "floor",
        "features",
        "by_class",
        "intervals",
    }
    # Noise is nothing like the pictures; training pictures are.
    assert figures["generator"]["frechet_distance"] > figures["generator"]["floor"]["frechet_distance"]
    assert sorted(path.name for path in (out / "plots").iterdir()) == SHEETS


@pytest.mark.slow
def test_tables_agree_with_the_figures(project):
    out = run(project)
    figures = json.loads((out / "evaluate.json").read_text())
    predictions = pd.read_csv(out / "predictions.csv")
    assert len(predictions) == 16
    right = (predictions["actual"] == predictions["predicted"]).mean()
    assert right == pytest.approx(figures["classifier"]["accuracy"])
    steps = pd.read_csv(out / "reliability.csv")
    assert (steps["accuracy"] * steps["pictures"]).sum() / 16 == pytest.approx(right, abs=1e-4)
    curve = pd.read_csv(out / "precision-recall.csv")
    assert curve["precision"].mean() == pytest.approx(figures["detector"]["map50"], abs=1e-4)


@pytest.mark.slow
def test_figures_in_draws_of_the_pictures_and_their_intervals(project):
    out = run(project)
    figures, drawn = json.loads((out / "evaluate.json").read_text()), pd.read_csv(out / "resampled.csv")
    assert len(drawn) == 100
    assert {"classifier.macro_f1", "detector.map", "generator.frechet_distance"} < set(drawn.columns)
    for part in ("classifier", "detector", "generator"):
        told = figures[part]["intervals"]
        of_part = {column.removeprefix(f"{part}.") for column in drawn if column.startswith(part)}
        assert set(told) == of_part - {"calibration_error"}
        for name, interval in told.items():
            assert interval["low"] <= figures[part][name] <= interval["high"], name


@pytest.mark.slow
def test_the_report_shows_every_figure_and_sheet(project):
    page = (run(project) / "report.html").read_text()
    figures = json.loads((project / "out/evaluate.json").read_text())
    assert page.count('src="data:image/png;base64,') == len(SHEETS)
    assert page.count("<svg") == 3 + 2  # and one of each class with boxes
    for name, value in chain(flat(figures["classifier"]), flat(figures["detector"])):
        shown = f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
        assert f"<tr><td>{name}</td><td>{shown}</td>" in page
    assert "<tr><td>dark</td>" in page
    edges = figures["detector"]["intervals"]["map"]
    shown = f"{figures['detector']['map']:,.4f}</td><td>{edges['low']:,.4f} to {edges['high']:,.4f}</td>"
    assert f"<tr><td>map</td><td>{shown}" in page


@pytest.mark.slow
def test_what_training_looked_like_is_drawn_from_what_the_trainers_left(project):
    folder = run(project) / "training"
    drawn = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert drawn == TRAINING
    with Image.open(folder / "train-gan/training.webp") as film:
        assert film.n_frames == 3
    with Image.open(folder / "train-classifier.png") as sheet:
        assert sheet.width > 3 * 5 * 16
        assert sheet.height > 2 * 5 * 16
    with Image.open(folder / "train-detector.png") as sheet:
        assert sheet.width > 4 * 7 * 32
        assert sheet.height > 7 * 32


@pytest.mark.slow
def test_the_same_bytes_twice(project):
    first, second = run(project, "first"), run(project, "second")
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 10 + len(SHEETS) + len(TRAINING)
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()


@pytest.mark.slow
def test_too_few_samples_are_refused_and_leave_no_sheets(project):
    own_params(project, generation=EVALUATE["generation"] | {"samples_per_class": 1})
    with pytest.raises(DataError, match="2 real pictures, the metric needs 3"):
        run(project)
    assert not (project / "out" / "plots").exists()
    assert not (project / "out" / "evaluate.json").exists()


OF_MODEL = {
    "classifier": {
        "confusion.png",
        "grad-cam.png",
        "label-errors.png",
        "predictions.png",
        "worst-losses.png",
    },
    "detector": {"box-label-errors.png", "boxes.png", "detections.png"},
    "generator": {"generated.png", "generated-nearest.png"},
}


@pytest.mark.slow
@pytest.mark.parametrize("project", [1], indirect=True)
@pytest.mark.parametrize("wanted", [*OF_MODEL, None])
def test_what_exists_is_evaluated_where_other_models_were_not_wanted(project, wanted, capsys):
    for model in OF_MODEL:
        if model != wanted:
            save_no_model(project / f"{model}.safetensors", f"train-{model} is null")
    out = run(project)
    figures = json.loads((out / "evaluate.json").read_text())
    judged = {"classifier": ["labels"], "detector": ["labels"]}.get(wanted, [])
    assert list(figures) == ([wanted, *judged] if wanted else [])
    sheets = {path.name for path in (out / "plots").iterdir()}
    assert sheets == OF_MODEL.get(wanted, set())
    page, printed = (out / "report.html").read_text(), capsys.readouterr().out
    for model in OF_MODEL.keys() - {wanted}:
        assert f"No {model} was trained: train-{model} is null." in page
        assert f"evaluate: no {model}: train-{model} is null\n" in printed
    tables = {path.stem: pd.read_csv(path) for path in out.glob("*.csv")}
    rows = {name: len(table) > 0 for name, table in tables.items()}
    assert rows == {
        "predictions": wanted == "classifier",
        "reliability": wanted == "classifier",
        "precision-recall": wanted == "detector",
        "detection-reliability": wanted == "detector",
        "resampled": wanted is not None,
        "label-errors": wanted == "classifier",
        "box-label-errors": wanted == "detector",
    }
    assert {"confidence", "accuracy"} <= set(tables["reliability"]) & set(tables["detection-reliability"])


@pytest.mark.slow
@pytest.mark.parametrize("project", [1], indirect=True)
def test_a_generator_is_measured_by_pixels_where_there_is_no_classifier(project):
    save_no_model(project / "classifier.safetensors", "train-classifier is null")
    figures = json.loads((run(project) / "evaluate.json").read_text())["generator"]
    assert figures["features"]["network"] == "none: pixels"
    assert "conditional_accuracy" not in figures
    assert figures["frechet_distance"] > figures["floor"]["frechet_distance"]
    assert figures["nearest_distance"] > figures["floor"]["nearest_distance"]
