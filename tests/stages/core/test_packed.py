import json

import numpy as np
import pytest

from stages.core.errors import DataError
from stages.core.packed import load_classification, load_detection


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "classes.json").write_text('["cat", "dog"]')
    np.save(tmp_path / "val/images.npy", np.zeros((3, 10, 20, 1), np.uint8))
    np.save(tmp_path / "val/labels.npy", np.array([1, 0, 1]))
    annotations = [
        {"image_id": 2, "category_id": 2, "bbox": [1, 2, 3, 4]},
        {"image_id": 0, "category_id": 1, "bbox": [0, 0, 20, 10]},
        {"image_id": 2, "category_id": 1, "bbox": [5, 5, 1, 1]},
    ]
    (tmp_path / "val/annotations.json").write_text(json.dumps({"annotations": annotations}))
    return tmp_path


def test_boxes_become_corners_and_stay_with_their_picture(folder):
    split = load_detection(folder, "val")
    assert [boxes.tolist() for boxes in split.boxes] == [
        [[0, 0, 20, 10]],
        [],
        [[1, 2, 4, 6], [5, 5, 6, 6]],
    ]
    assert [labels.tolist() for labels in split.labels] == [[0], [], [1, 0]]
    assert split.boxes[1].shape == (0, 4)
    assert {boxes.dtype for boxes in split.boxes} == {np.dtype(np.float32)}


def test_pictures_are_mapped_not_read(folder):
    split = load_classification(folder, "val")
    assert isinstance(split.images, np.memmap)
    assert not split.images.flags.writeable
    assert split.labels.tolist() == [1, 0, 1]
    assert split.classes == ["cat", "dog"]


def test_labels_of_another_number_are_refused(folder):
    np.save(folder / "val/labels.npy", np.array([1, 0]))
    with pytest.raises(DataError, match="3 images but 2 labels"):
        load_classification(folder, "val")


@pytest.mark.parametrize("missing", ["classes.json", "val/images.npy", "val/annotations.json"])
def test_missing_file_is_named_with_the_mend(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(DataError, match=f"{missing}: no such file; `dvc repro preprocess`"):
        load_detection(folder, "val")


@pytest.mark.parametrize("file", ["classes.json", "val/images.npy", "val/labels.npy", "val/annotations.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"\x93NUMPY\x01\x00\x05\x00{'a':", b"[3"])
def test_damaged_file_is_one_line(folder, file, content):
    (folder / file).write_bytes(content)
    load = load_detection if "annotations" in file else load_classification
    with pytest.raises(DataError, match=f"{file}: damaged") as refused:
        load(folder, "val")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("held", [[], {}, {"annotations": 3}, {"annotations": [{"bbox": 3}]}])
def test_annotations_of_another_form_are_one_line(folder, held):
    (folder / "val/annotations.json").write_text(json.dumps(held))
    with pytest.raises(DataError, match=r"annotations\.json: damaged"):
        load_detection(folder, "val")
