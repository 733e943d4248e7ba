"""Attributes from a table to figures, through public doors: pictures whose attributes can be seen."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from stages.by_hand.predict import main as by_hand
from stages.classifier.network import load_classifier
from stages.core.errors import DataError, ParamsError
from stages.core.packed import UNCLASSED, load_classification
from stages.evaluate.stage import main as evaluate
from stages.prediction.predictors import load_classifier as load_predictor
from stages.preprocess.stage import main as preprocess
from stages.train_classifier.stage import main as train
from tests.stages.projects import preprocess_paths

SIDE = 16
ATTRIBUTES = ["bright", "corner", "stripe"]
NETWORK = {"model": "compact", "widths": [[8], [16]], "grid": 2, "features": 32}
TRAIN: dict[str, Any] = {
    "network": NETWORK,
    "epochs": 8,
    "batch_size": 16,
    "attributes": "all",
    "mirror": False,
    "shift": 0,
    "views": 1,
    "range_test": {"steps": 2},
}


def write_project(folder: Path, pictures: int, *, label: str | None = "colour", **training: Any) -> None:
    """Pictures in a table: red or green, or of unknown colour; bright, with a corner mark, with a stripe.

    Brightness is a column of -1 and 1, the marks are a list; a tenth of each is unknown.
    """
    rng = np.random.default_rng(0)
    rows = ["file,colour,bright,marks"]
    (folder / "raw/img").mkdir(parents=True)
    for number in range(pictures):
        pixels = rng.integers(30, 80, (SIDE, SIDE, 3))
        colour, bright, stripe, corner = rng.random(4) < (0.5, 0.5, 0.4, 0.3)
        pixels[5:11, 5:11, int(colour)] += 90
        pixels += 60 * int(bright)
        if stripe:
            pixels[12:14] = 250
        if corner:
            pixels[:3, :3] = 250
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"raw/img/{number}.png")
        unknown = rng.random(3) < 0.1
        named = "" if unknown[0] else ("red", "green")[int(colour)]
        light = "" if unknown[1] else str(2 * int(bright) - 1)
        marks = [word for word, has in (("stripe", stripe), ("corner", corner)) if has]
        rows.append(f"{number}.png,{named},{light},{'' if unknown[2] else '+'.join(marks) or '+'}")
    (folder / "raw/list.csv").write_text("\n".join(rows) + "\n")
    columns = {"picture": "file", "label": label, "attributes": ["bright"], "label_lists": {"marks": "+"}}
    source = {"format": "csv", "file": "list.csv", "pictures": "img", "columns": columns}
    form = {"shape": [SIDE, SIDE], "channels": 3, "split": {"val": 0.25, "test": 0.25}}
    document = {
        "compute": {"seed": 1, "threads": 1, "precision": "float32"},
        "libraries": {},
        "preprocess": {"classification": source | form, "policy": {"max_refused": 1.0}},
        "train-classifier": TRAIN | training,
        "evaluate": {"resamples": 100, "sheet_columns": 4},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(document))


def prepared(folder: Path, pictures: int = 80, **settings: Any) -> Path:
    """The folder of packed pictures."""
    write_project(folder, pictures, **settings)
    preprocess(**preprocess_paths(folder, folder / "out"))
    return folder / "out/classification"


def trained(folder: Path) -> Path:
    """The model file of a training on packed pictures."""
    names = ("model", "metrics", "history", "rates", "samples", "checkpoint")
    files = {name: folder / f"train/{name}" for name in names}
    (folder / "train").mkdir(exist_ok=True)
    train(data=folder / "out/classification", params=folder / "params.yaml", **files)
    return files["model"]


def evaluated(folder: Path, model: Path) -> Any:
    """The figures of the classifier on the test split."""
    out = folder / "evaluated"
    named = ("metrics", "predictions", "attributes", "resampled", "reliability", "precision_recall")
    more = (
        "reference",
        "detection_reliability",
        "label_errors",
        "box_label_errors",
        "plots",
        "training_plots",
        "report",
    )
    evaluate(
        classification=folder / "out/classification",
        detection=folder / "out/detection",
        params=folder / "params.yaml",
        classifier=model,
        classifier_samples=folder / "train/samples",
        **{name: out / name for name in (*named, *more)},
    )
    return json.loads((out / "metrics").read_text())["classifier"]


def test_pictures_without_a_class_stand_last_and_are_asked_for(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    for split in ("train", "val", "test"):
        all_ = load_classification(data, split, unclassed=True)
        classed = load_classification(data, split)
        count = len(classed.labels)
        assert 0 < count < len(all_.labels)
        assert (classed.labels != UNCLASSED).all()
        assert (all_.labels[count:] == UNCLASSED).all()
        np.testing.assert_array_equal(classed.images, all_.images[:count])
        assert classed.attributes is not None
        assert {len(column) for column in classed.attributes.values()} == {count}
        assert list(classed.attributes) == ["bright", *ATTRIBUTES[1:]]
    report = (tmp_path / "out/report/report.md").read_text()
    assert "| pictures with, of known | train | val | test |" in report
    counts = json.loads((tmp_path / "out/metrics.json").read_text())["classification"]["train"]
    assert sum(counts["by_attribute"]["stripe"].values()) == counts["images"]


def test_without_any_class_what_needs_one_is_told_so(tmp_path: Path) -> None:
    data = prepared(tmp_path, 40, label=None)
    assert load_classification(data, "train", unclassed=True).classes == []
    with pytest.raises(DataError, match="have attributes and no class: name its column"):
        load_classification(data, "train")


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        (["smiling"], "'smiling' is no attribute of the pictures; they have bright, corner, stripe"),
        (["price"], "'price' holds numbers other than 0 and 1, or -1 and 1"),
        (["same"], "'same' is the same for all training pictures of which it is known"),
    ],
)
def test_what_cannot_be_learnt_is_one_line(attributes: list[str], said: str, tmp_path: Path) -> None:
    data = prepared(tmp_path, 40, attributes=attributes)
    path = data / "train/attributes.json"
    columns = json.loads(path.read_text())
    pictures = len(columns["bright"])
    path.write_text(json.dumps(columns | {"price": list(range(pictures)), "same": [1] * pictures}))
    with pytest.raises(ParamsError, match=said):
        trained(tmp_path)


def test_without_classes_and_attributes_there_is_nothing_to_learn(tmp_path: Path) -> None:
    prepared(tmp_path, 40, label=None, attributes=[])
    with pytest.raises(DataError, match="have attributes and no class"):
        trained(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("label", ["colour", None])
def test_attributes_that_can_be_seen_are_learnt(
    label: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(tmp_path, 320, label=label)
    model = trained(tmp_path)
    config = load_classifier(model).config
    assert config["attributes"] == ["bright", "corner", "stripe"]
    assert len(config["thresholds"]) == len(config["attribute_temperatures"]) == 3
    assert all(0 < threshold < 1 for threshold in config["thresholds"])
    figures = evaluated(tmp_path, model)
    chance = np.mean([one["share"] for one in figures["by_attribute"].values()])
    assert chance < 0.55
    assert figures["attribute_map"] > 0.9
    assert figures["attribute_macro_f1"] > 0.8
    assert ("accuracy" in figures) == (label is not None)
    assert {"attribute_map", "attribute_macro_f1"} <= set(figures["intervals"])
    assert (tmp_path / "evaluated/plots/attributes.png").is_file()
    rows = list(csv.DictReader((tmp_path / "evaluated/attributes").read_text().splitlines()))
    assert {row["actual"] for row in rows} == {"yes", "no", ""}
    assert {row["attribute"] for row in rows} == set(ATTRIBUTES)

    picture = str(tmp_path / "raw/img/0.png")
    predictor = load_predictor(model, params=tmp_path / "params.yaml")
    (answer,) = predictor.predict([picture])
    assert set(answer.attributes) == set(ATTRIBUTES)  # type: ignore[union-attr]
    asked = ["classify", picture, "--model", str(model), "--params", str(tmp_path / "params.yaml")]
    capsys.readouterr()
    assert by_hand([*asked, "--format", "json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["label"] is None) == (label is None)
    assert {name: one["present"] for name, one in told["attributes"].items()} == {
        name: one.present
        for name, one in answer.attributes.items()  # type: ignore[union-attr]
    }
    assert by_hand([*asked, "--format", "csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert {name.removeprefix("attribute:") for name in row if ":" in name} == set(ATTRIBUTES)
    assert by_hand(asked) == 0
    assert "has " in capsys.readouterr().out
