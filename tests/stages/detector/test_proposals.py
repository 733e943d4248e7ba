"""Where proposals come from: a network that learns, a method, a trained network, a file."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from stages.core.errors import DataError, ModelError
from stages.detector.network import build_detector
from stages.detector.params import FileProposalsParams
from stages.detector.proposals import GivenProposals, Regions, TrainedProposals, read_proposals
from stages.detector.regions import region_proposals
from tests.stages.detector.detector_networks import FASTER

CONFIG = {"classes": ["cat", "dog"], "channels": 1, "network": FASTER | {"proposal_overlap_max": 0.6}}
PICTURES = np.random.default_rng(1).integers(0, 256, (2, 32, 48, 1), dtype=np.uint8)
IMAGES = (torch.from_numpy(PICTURES).permute(0, 3, 1, 2) / 255 - 0.5) * 4  # as the network takes them


def test_the_network_that_proposes_is_told_what_params_say() -> None:
    network = build_detector(CONFIG).rpn
    assert network.stride == "8"
    assert (network.proposal_matcher.high_threshold, network.proposal_matcher.low_threshold) == (0.7, 0.3)
    sampler = network.fg_bg_sampler
    assert (sampler.batch_size_per_image, sampler.positive_fraction) == (32, 0.5)
    assert network.nms_thresh == 0.6
    assert (network.train().pre_nms_top_n(), network.post_nms_top_n()) == (80, 40)
    assert (network.eval().pre_nms_top_n(), network.post_nms_top_n()) == (80, 20)


def test_a_method_gives_the_boxes_of_the_pictures_own_grey_levels() -> None:
    found = Regions(12)(IMAGES)
    assert [boxes.tolist() for boxes in found] == [region_proposals(each, 12).tolist() for each in PICTURES]
    beyond = IMAGES.clone()
    beyond[PICTURES.transpose(0, 3, 1, 2) == 0] = -2.3
    beyond[PICTURES.transpose(0, 3, 1, 2) == 255] = 2.3  # brighter than white, as resizing may leave it
    assert all(torch.equal(a, b) for a, b in zip(Regions(12)(beyond), found, strict=True))


def test_what_the_targets_propose_goes_before_the_method_if_every_picture_has_it() -> None:
    given = GivenProposals(Regions(4))
    images = ImageList(IMAGES, [(32, 48)] * 2)
    by_method = Regions(4)(IMAGES)
    own: list[dict[str, Any]] = [{"proposals": torch.full((1, 4), number)} for number in (1.0, 2.0)]
    for targets, expected in (
        (None, by_method),
        (own, [target["proposals"] for target in own]),
        ([own[0], {}], by_method),
    ):
        found, losses = given(images, {}, targets)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert losses == {}


def test_a_trained_network_proposes_its_first_boxes_and_learns_no_more() -> None:
    detector = build_detector(CONFIG).eval()
    with torch.no_grad():
        expected, _ = detector.rpn(ImageList(IMAGES, [(32, 48)] * 2), detector.backbone(IMAGES))
    trained = TrainedProposals(detector.backbone, detector.rpn, 3)
    assert not trained.training
    assert trained.train() is trained
    assert not any(module.training for module in trained.modules())
    assert not any(weight.requires_grad for weight in trained.parameters())
    found = trained(IMAGES.clone().requires_grad_())
    assert [boxes.tolist() for boxes in found] == [boxes[:3].tolist() for boxes in expected]
    assert [len(boxes) for boxes in found] == [3, 3]
    assert not any(boxes.requires_grad for boxes in found)
    assert max(float(boxes[:, 2].max()) for boxes in expected) > 32  # as far as the picture is wide


def listed(folder: Path, content: Any, *, count: int = 2) -> FileProposalsParams:
    """A file of proposals, and the params that name it."""
    file = folder / "proposals.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return FileProposalsParams(source="file", file=str(file), sha256=digest, count=count)


def test_a_file_gives_the_best_boxes_of_each_picture_as_corners(tmp_path: Path) -> None:
    rows = [
        {"image_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 0, "bbox": [0, 0, 5, 6]},  # no score counts as none at all
        {"image_id": 0, "bbox": [9, 9, 1, 2], "score": 0.1},
        {"image_id": 0, "bbox": [7, 7, 2, 2], "score": 0.9},
        {"image_id": 2, "bbox": [0.5, 0, 1, 1], "score": 0.6},
    ]
    found = read_proposals(listed(tmp_path, {"val": rows, "test": []}), "val", 3)
    assert [boxes.tolist() for boxes in found] == [
        [[7, 7, 9, 9], [9, 9, 10, 11]],
        [],
        [[0.5, 0, 1.5, 1], [1, 2, 4, 6]],
    ]
    assert {boxes.dtype.name for boxes in found} == {"float32"}
    assert [boxes.shape for boxes in found] == [(2, 4), (0, 4), (2, 4)]


def test_boxes_without_a_score_are_taken_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [{"image_id": 0, "bbox": [place, 0, 1, 1]} for place in (5, 3, 4)]
    (found,) = read_proposals(listed(tmp_path, {"val": rows}), "val", 1)
    assert found[:, 0].tolist() == [5, 3]


WANTED = r'\{"val": \[\{"image_id": 0, "bbox": \[x, y, width, height\]\}, \.\.\.\], \.\.\.\} is wanted$'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no JSON", "JSONDecodeError: .*"),
        ({"train": []}, "KeyError: 'val'"),
        ([], "TypeError: .*"),
        ({"val": [{"bbox": [0, 0, 1, 1]}]}, "KeyError: 'image_id'"),
        ({"val": [{"image_id": 0, "bbox": [0, 0, 1]}]}, "ValueError: .*"),
        ({"val": [{"image_id": 0, "bbox": [0, 0, 0, 1]}]}, r"ValueError: a box of 0\.0 x 1\.0 pixels"),
        ({"val": [{"image_id": 0, "bbox": [0, 0, 1, 0]}]}, r"ValueError: a box of 1\.0 x 0\.0 pixels"),
        ({"val": [[0]]}, "TypeError: .*"),
        ({"val": [3]}, "TypeError: .*"),
    ],
)
def test_a_file_that_lists_no_proposals_is_one_line(content: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^\S*proposals\.json: no proposals of val \({reason}\); {WANTED}"):
        read_proposals(listed(tmp_path, content), "val", 1)


@pytest.mark.parametrize("number", [-1, 3])
def test_a_picture_that_the_split_lacks_is_named(number: int, tmp_path: Path) -> None:
    rows = [{"image_id": picture, "bbox": [0, 0, 1, 1]} for picture in (0, 2, number)]
    with pytest.raises(DataError, match=f"val has no picture {number}, only 0 to 2; "):
        read_proposals(listed(tmp_path, {"val": rows}), "val", 3)


def test_a_file_of_another_hash_is_refused(tmp_path: Path) -> None:
    params = listed(tmp_path, {"val": []})
    Path(params.file).write_text('{"val": [ ]}')
    with pytest.raises(ModelError, match="its sha256 is"):
        read_proposals(params, "val", 1)


@pytest.mark.parametrize("levels", [(0, 1), (254, 255)])
def test_the_darkest_and_the_brightest_grey_levels_are_told_apart(levels: tuple[int, int]) -> None:
    picture = np.full((40, 60, 1), levels[0], dtype=np.uint8)
    picture[10:20, 20:44] = levels[1]
    images = (torch.from_numpy(picture[None]).permute(0, 3, 1, 2) / 255 - 0.5) * 4
    assert [20, 10, 44, 20] in Regions(9)(images)[0].tolist()


def test_proposals_of_coloured_pictures_are_those_of_their_brightness() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    images = (torch.from_numpy(picture[None]).permute(0, 3, 1, 2) / 255 - 0.5) * 4
    assert Regions(12)(images)[0].tolist() == region_proposals(picture, 12).tolist()
