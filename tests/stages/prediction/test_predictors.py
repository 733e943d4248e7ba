"""A trained model asked from Python."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from stages.core.errors import DataError, ModelError
from stages.intake.form import Form
from stages.intake.geometry import Fit
from stages.networks.compute import Compute
from stages.prediction import (
    Classified,
    ClassifierPredictor,
    Detected,
    DetectorPredictor,
    Unread,
    load_classifier,
    load_detector,
)
from stages.prediction.models import TrainedModel, load_models
from stages.prediction.predictors import AugmentedDetectorPredictor
from tests.stages.small_models import BOX_LABELS, LABELS, params_for_models, save_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, their params.yaml, and four pictures of which one is none."""
    folder = tmp_path_factory.mktemp("models")
    save_models(folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(params_for_models()))
    draw = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(draw.integers(0, 256, (30, 50, 3), dtype=np.uint8)).save(folder / name)
    (folder / "d.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def classifier(folder: Path) -> ClassifierPredictor:
    return load_classifier(folder / "classifier.safetensors", params=folder / "params.yaml")


@pytest.fixture(scope="module")
def detector(folder: Path) -> DetectorPredictor:
    return load_detector(folder / "detector.safetensors", params=folder / "params.yaml")


def test_each_picture_has_its_answer_in_order_whatever_the_batch(
    folder: Path, classifier: ClassifierPredictor
) -> None:
    paths = [folder / name for name in ("d.png", "a.png", "b.png", "none.png", "c.png")]
    for batch in (1, 2, 32):
        answers = list(classifier.predict(paths, batch=batch))
        assert [answer.picture for answer in answers] == list(map(str, paths))
        assert [isinstance(answer, Unread) for answer in answers] == [True, False, False, True, False]
    assert isinstance(answers[3], Unread)
    assert answers[3].reason == "No such file or directory"
    for answer in answers:
        if isinstance(answer, Classified):
            assert (answer.width, answer.height) == (50, 30)
            assert sorted(answer.probabilities) == sorted(LABELS)
            assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
            assert (
                answer.probability == answer.probabilities[answer.label] == max(answer.probabilities.values())
            )


def test_an_array_is_as_good_as_its_file(
    folder: Path, classifier: ClassifierPredictor, detector: DetectorPredictor
) -> None:
    array = np.asarray(Image.open(folder / "a.png"))
    (by_file,), (by_array,) = classifier.predict([folder / "a.png"]), classifier.predict([array])
    assert isinstance(by_file, Classified)
    assert isinstance(by_array, Classified)
    assert by_array.picture == "#1"
    assert by_array.probabilities == by_file.probabilities
    (found,), (in_array,) = detector.predict([folder / "a.png"]), detector.predict([array])
    assert isinstance(found, Detected)
    assert isinstance(in_array, Detected)
    assert found.boxes == in_array.boxes


def test_grey_arrays_are_pictures_and_others_are_refused(classifier: ClassifierPredictor) -> None:
    grey = np.full((20, 30), 90, dtype=np.uint8)
    (two,), (three,) = classifier.predict([grey]), classifier.predict([np.stack([grey] * 3, axis=2)])
    assert isinstance(two, Classified)
    assert isinstance(three, Classified)
    assert two.probabilities == three.probabilities
    with pytest.raises(DataError, match=r"picture #1: float64 \[20, 30\] is no picture"):
        list(classifier.predict([grey / 255]))


def test_boxes_lie_in_the_picture_the_surest_first(folder: Path, detector: DetectorPredictor) -> None:
    (answer,) = detector.predict([folder / "b.png"])
    assert isinstance(answer, Detected)
    assert 0 < len(answer.boxes) <= 5
    assert [box.score for box in answer.boxes] == sorted((box.score for box in answer.boxes), reverse=True)
    for box in answer.boxes:
        assert box.label in BOX_LABELS
        assert 0 <= box.x1 < box.x2 <= answer.width
        assert 0 <= box.y1 < box.y2 <= answer.height


def test_a_model_of_the_other_kind_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="detector"):
        load_classifier(folder / "detector.safetensors", params=folder / "params.yaml")


def test_a_size_that_params_leave_open_is_the_models(folder: Path, tmp_path: Path) -> None:
    params = params_for_models()
    for task in ("classification", "detection"):
        params["preprocess"][task]["shape"] = "auto"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    files = folder / "classifier.safetensors", folder / "detector.safetensors"
    stated, left_open = (load_models(one / "params.yaml", *files, "") for one in (folder, tmp_path))
    for kind in ("classifier", "detector"):
        assert getattr(left_open, kind).form == getattr(stated, kind).form


class FindsBright(nn.Module):
    """Finds what is bright, a box around all of it, and keeps in mind which sizes it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"classes": ["light"]}
        self.seen: list[tuple[int, int]] = []

    def forward(self, images: list[Tensor], _given: object) -> list[dict[str, Tensor]]:
        self.seen += [(image.shape[-2], image.shape[-1]) for image in images]
        return [self.found(image) for image in images]

    def found(self, image: Tensor) -> dict[str, Tensor]:
        rows, columns = (image.mean(dim=0) > 0.5).nonzero().unbind(dim=1)
        low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
        box = torch.stack([*low, *high]).float()[None]
        return {"boxes": box, "labels": torch.ones(1).long(), "scores": torch.full((1,), 0.75)}


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("size", [(60, 90), (100, 40)])
def test_boxes_of_mirrored_and_scaled_views_come_back_to_their_place(fit: Fit, size: tuple[int, int]) -> None:
    form = Form(
        height=48,
        width=64,
        channels=3,
        fit=fit,
        ground=0,
        max_pixels=10**6,
        refused=frozenset(),
        kept=frozenset(),
    )
    network = FindsBright()
    compute = Compute(device=torch.device("cpu"), dtype=torch.float32)
    model = TrainedModel(network=network, config=network.config, form=form)
    picture = np.full((*size, 3), 20, np.uint8)
    picture[10:34, 4:24] = 250  # nearer to the left and to the top
    (answer,) = AugmentedDetectorPredictor(model, compute).predict([picture])
    assert isinstance(answer, Detected)
    (box,) = answer.boxes
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((4, 10, 24, 34), abs=1.6)
    assert box.score == pytest.approx(0.75)  # every view finds it
    assert network.seen == [(48, 64), (48, 64), (40, 56), (40, 56), (56, 80), (56, 80)]
