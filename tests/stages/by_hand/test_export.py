"""`darkroom export`: what other runtimes answer, beside the models themselves."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from stages.by_hand.export import main
from stages.classifier.network import ask, build_classifier, load_classifier, predict
from stages.detector.network import build_detector, detect, load_detector
from stages.networks.compute import Compute
from stages.networks.model_files import save_model
from tests.places import ROOT
from tests.stages.small_models import BOX_LABELS, CLASSIFIER, DETECTOR, LABELS, params_for_models, save_models

onnxruntime = pytest.importorskip("onnxruntime")

EXACT = Compute(device=torch.device("cpu"), dtype=torch.float32)
SIZES = {"classification": (16, 20, 3), "detection": (48, 64, 3)}
PICTURES = 12


def sure_detector(path: Path, network: dict[str, Any] | None = None) -> None:
    """One whose scores differ: with fresh weights all classes are nearly as likely."""
    config = DETECTOR | {
        "calibration": {"slope": 1.3, "offset": -0.4},
        "network": network or DETECTOR["network"],
    }
    torch.manual_seed(5)
    detector = build_detector(config)
    for weights in detector.parameters():
        if weights.ndim > 1:
            weights.data *= 1.5
    save_model(path, detector, kind="detector", config=config)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with trained models and packed pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/models").mkdir(parents=True)
    save_models(tmp_path / "data/models")
    sure_detector(tmp_path / "data/models/detector.safetensors")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params_for_models()))
    draw = np.random.default_rng(0)
    for task, size in SIZES.items():
        folder = tmp_path / "data/prepared" / task
        for split in ("val", "test"):
            (folder / split).mkdir(parents=True)
            np.save(folder / split / "images.npy", draw.integers(0, 256, (PICTURES, *size), dtype=np.uint8))
        names = LABELS if task == "classification" else BOX_LABELS
        (folder / "classes.json").write_text(json.dumps(names))
    for split in ("val", "test"):
        np.save(
            tmp_path / "data/prepared/classification" / split / "labels.npy",
            np.arange(PICTURES) % len(LABELS),
        )
        boxes = [
            {"image_id": number, "category_id": number % 2, "bbox": [4, 4, 20, 20]}
            for number in range(PICTURES)
        ]
        (tmp_path / "data/prepared/detection" / split / "annotations.json").write_text(
            json.dumps({"annotations": boxes})
        )
    return tmp_path


def pictures_of(task: str) -> Any:
    return np.load(f"data/prepared/{task}/test/images.npy")


@pytest.mark.slow
def test_onnxruntime_gives_the_classifiers_probabilities(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classifier"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("classifier.onnx: ")
    assert said[1].startswith(f"compared on {PICTURES} pictures: probabilities differ by at most ")
    assert said[1].endswith("; 0 pictures have another answer")
    session = onnxruntime.InferenceSession("classifier.onnx", providers=["CPUExecutionProvider"])
    network = load_classifier(Path("data/models/classifier.safetensors"))
    for number in (1, 5):  # any number of pictures
        pictures = pictures_of("classification")[:number]
        (found,) = session.run(["probabilities"], {"pictures": pictures})
        expected = predict(network, pictures, compute=EXACT).numpy()
        assert found == pytest.approx(expected, abs=1e-5)
    about = json.loads(session.get_modelmeta().custom_metadata_map["darkroom"])
    assert about["classes"] == LABELS
    assert about["input"] == {
        "pictures": ["N", 16, 20, 3],
        "type": "uint8",
        "colours": "RGB",
        "fit": "stretch",
        "ground": 7,
    }
    first = Path("classifier.onnx").read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in first
    assert main(["classifier", "--out", "again.onnx"]) == 0
    assert Path("again.onnx").read_bytes() == first


@pytest.mark.slow
@pytest.mark.parametrize("classes", [LABELS, []])
def test_attributes_are_exported_beside_the_classes_or_alone(classes: list[str], project: Path) -> None:
    config = CLASSIFIER | {
        "classes": classes,
        "attributes": ["wet", "old"],
        "attribute_temperatures": [0.5, 2.0],
        "thresholds": [0.4, 0.6],
    }
    model = Path("data/models/classifier.safetensors")
    save_model(model, build_classifier(config), kind="classifier", config=config)
    assert main(["classifier"]) == 0
    session = onnxruntime.InferenceSession("classifier.onnx", providers=["CPUExecutionProvider"])
    names = ["probabilities", "attributes"] if classes else ["attributes"]
    assert [one.name for one in session.get_outputs()] == names
    found = dict(zip(names, session.run(names, {"pictures": pictures_of("classification")}), strict=True))
    expected = ask(load_classifier(model), pictures_of("classification"), compute=EXACT)
    assert found["attributes"] == pytest.approx(expected.attributes.numpy(), abs=1e-5)
    if classes:
        assert found["probabilities"] == pytest.approx(expected.classes.numpy(), abs=1e-5)
    about = json.loads(session.get_modelmeta().custom_metadata_map["darkroom"])
    assert (about["attributes"], about["thresholds"]) == (["wet", "old"], [0.4, 0.6])


@pytest.mark.slow
def test_onnxruntime_finds_the_detectors_boxes(project: Path) -> None:
    assert main(["detector", "--out", "d.onnx"]) == 0
    session = onnxruntime.InferenceSession("d.onnx", providers=["CPUExecutionProvider"])
    pictures = pictures_of("detection")
    found = session.run(["boxes", "labels", "scores"], {"pictures": pictures})
    expected = detect(load_detector(Path("data/models/detector.safetensors")), pictures, EXACT, 4)
    assert sum(len(boxes) for boxes, _, _ in expected) > PICTURES
    for (boxes, labels, scores), *others in zip(expected, *found, strict=True):
        there = others[2] > 0
        assert there.sum() == len(scores)
        assert others[2][there] == pytest.approx(scores, abs=1e-5)
        assert others[1][there].tolist() == labels.tolist()
        assert others[0][there] == pytest.approx(boxes, abs=1e-3)
    assert [list(each[0]) for each in session.run(None, {"pictures": pictures[:1]})]


@pytest.mark.slow
def test_an_ssd_and_torchs_own_format(project: Path) -> None:
    backbone = {"model": "residual", "widths": [8, 8, 8], "blocks": [1, 1]}
    network = {"model": "ssd", "backbone": backbone, "features": 8, "strides": [4, 8], "candidates": 20}
    network |= {
        "anchor_sizes": [8.0, 20.0],
        "anchor_ratios": [1.0, 2.0],
        "detections_max": 6,
        "score_min": 0.1,
    }
    sure_detector(project / "ssd.safetensors", network)
    assert main(["detector", "--to", "torch-export", "--model", "ssd.safetensors", "--out", "ssd.pt2"]) == 0
    pictures = pictures_of("detection")
    boxes, labels, scores = torch.export.load("ssd.pt2").module()(torch.from_numpy(pictures))
    expected = detect(load_detector(Path("ssd.safetensors")), pictures, EXACT, 4)
    assert sum(len(found) for found, _, _ in expected) > PICTURES
    for number, (mine, names, sure) in enumerate(expected):
        there = scores[number] > 0
        assert scores[number][there].numpy() == pytest.approx(sure, abs=1e-5)
        assert labels[number][there].tolist() == names.tolist()
        assert boxes[number][there].numpy() == pytest.approx(mine, abs=1e-3)
    with zipfile.ZipFile("ssd.pt2") as archive:
        about = next(name for name in archive.namelist() if name.endswith("extra/darkroom.json"))
        assert json.loads(archive.read(about))["classes"] == BOX_LABELS
        graph = next(name for name in archive.namelist() if name.endswith("models/model.json"))
        assert b".py" not in archive.read(graph)  # no file of this machine


ASK_OPENVINO = """
import sys

sys.modules["openvino_telemetry"] = None  # asks another host
import numpy as np, openvino
pictures = np.load("data/prepared/classification/test/images.npy")
model = openvino.Core().compile_model("c.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
np.save("found.npy", model(pictures)["probabilities"])
"""


@pytest.mark.slow
def test_openvino_gives_the_same(project: Path) -> None:
    """In processes of their own: OpenVINO's threads stay as long as its process."""
    if find_spec("openvino") is None:
        pytest.skip("asks for openvino")
    module, words = "stages.by_hand.export", ["classifier", "--to", "openvino", "--out", "c.xml"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", module, *words], env=env, check=True)
    subprocess.run([sys.executable, "-c", ASK_OPENVINO], check=True)
    pictures = pictures_of("classification")
    expected = predict(load_classifier(Path("data/models/classifier.safetensors")), pictures, compute=EXACT)
    assert np.load("found.npy") == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.slow
def test_eight_bits_are_smaller_and_their_loss_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classifier", "--int8"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("classifier.int8.onnx: ")
    assert said[2].startswith("accuracy on the same pictures: ")
    session = onnxruntime.InferenceSession("classifier.int8.onnx", providers=["CPUExecutionProvider"])
    pictures = pictures_of("classification")
    (found,) = session.run(None, {"pictures": pictures})
    expected = predict(load_classifier(Path("data/models/classifier.safetensors")), pictures, compute=EXACT)
    assert found == pytest.approx(expected.numpy(), abs=0.1)
    assert (found != expected.numpy()).any()


WRONG = {
    "a format that has none": (
        ["classifier", "--int8", "--to", "torch-export"],
        "--int8: is for --to onnx alone",
    ),
    "no model": (["classifier", "--model", "none.safetensors"], "none.safetensors: no such model"),
    "another model": (["detector", "--model", "data/models/classifier.safetensors"], "holds a classifier"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, said = WRONG[case]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not list(project.glob("*.onnx"))


def test_proposals_from_outside_the_network_are_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = {name: value for name, value in DETECTOR["network"].items() if name in FAST_KEYS}
    sure_detector(
        project / "fast.safetensors",
        network | {"model": "fast-rcnn", "proposals": {"source": "regions", "count": 20}},
    )
    assert main(["detector", "--model", "fast.safetensors"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "its proposals come from OpenCV or from a file" in line


FAST_KEYS = {
    *(
        "backbone",
        "features",
        "roi_stride",
        "roi_size",
        "roi_width",
        "roi_hidden",
        "roi_batch",
        "roi_positive",
    ),
    *("score_min", "overlap_max", "detections_max"),
}
